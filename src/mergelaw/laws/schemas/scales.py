"""The scale axis: losses, the quadratic in the scale, and the best scale checked by real merges."""

from mergelaw.laws.schemas.table import COUNT, FLAG, NUMBER, TEXT, Table

POINT = {"size": TEXT, "method": TEXT, "domain": TEXT, "k": COUNT, "scale": NUMBER}

SCALE_CURVES = Table(
    "scale_curves.parquet",
    {
        **POINT,
        "n_subsets": COUNT,
        "loss": NUMBER,  # mean over subsets, the same at every scale
        "loss_fitted": NUMBER,  # the surface of scale_fits.parquet; null: no fit
        "relative_error": NUMBER,  # (loss_fitted - loss) / loss
        "fitted": FLAG,  # the fit saw this point; else it shows where the quadratic fails
    },
    ("size", "method", "domain", "k", "scale"),
)

SCALE_FITS = Table(  # L(c, k) = level + c slope + c^2/2 (curvature + spread/k)
    "scale_fits.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "domain": TEXT,
        "parameter": TEXT,  # "level", "slope", "curvature", "spread"
        "value": NUMBER,
        "stderr": NUMBER,
        "offset": NUMBER,  # spread / curvature: the offset of the law at the best scale; repeated
        "r2": NUMBER,
        "n_points": COUNT,
        "identified": FLAG,
        "note": TEXT,
    },
    ("size", "method", "domain", "parameter"),
)

BEST_SCALES = Table(
    "best_scales.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "k": COUNT,
        "scale": NUMBER,  # c*(k) = -slope / (curvature + spread/k), of the macro loss
        "loss_predicted": NUMBER,
        "loss": NUMBER,  # of real merges at that scale
        "relative_error": NUMBER,
        "reference_scale": NUMBER,  # measured scale nearest to 1
        "gain_predicted": NUMBER,  # against the reference scale
        "gain": NUMBER,  # measured
        "inside": FLAG,  # c* lies within the fitted scales
    },
    ("size", "method", "k"),
)

TABLES = (SCALE_CURVES, SCALE_FITS, BEST_SCALES)
