"""What training settings of the experts do to the curves of one base."""

from mergelaw.laws.schemas.table import COUNT, FLAG, NUMBER, TEXT, Table

CAPACITY = Table(
    "capacity.parquet",
    {
        "size": TEXT,  # as in all tables; under another setting SIZE@SETTING
        "base_size": TEXT,  # size of the ladder, whose base it has
        "setting": TEXT,  # null: `training.expert`, the reference
        "training_tokens": NUMBER,  # of an expert, prompts included: mean over experts
        "steps": NUMBER,  # mean over experts
        "learning_rate": NUMBER,  # peak, as the config has it
        "lora_rank": COUNT,  # null: full fine-tuning
        "task_vector_norm": NUMBER,  # mean over experts
        "mean_vector_norm": NUMBER,  # of the mean of all experts' task vectors
        "method": TEXT,
        "domain": TEXT,
        # measured: "loss_own" (of single experts at home), "loss_1" and "loss_pool" (of the curve);
        # fitted: "floor", "tail", "offset"
        "quantity": TEXT,
        "value": NUMBER,
        "stderr": NUMBER,  # of the fit: scatter about the curve; of the curve's losses: `loss_se`
        "identified": FLAG,  # of the fit; null for a measured loss
        "change": NUMBER,  # value less that of the reference; null: it is the reference
        "change_text_se": NUMBER,  # items resampled, the same under both; null for "loss_own"
        "change_experts_se": NUMBER,  # jackknife, the same expert left out of both pools
    },
    ("size", "method", "domain", "quantity"),
)

CAPACITY_FITS = Table(  # the law over training tokens and k, of the macro loss
    "capacity_fits.parquet",
    {
        "base_size": TEXT,
        "method": TEXT,
        "n_settings": COUNT,  # that differ in their steps or epochs alone, the reference among them
        "parameter": TEXT,  # at one million training tokens
        "value": NUMBER,
        "stderr": NUMBER,  # null at a bound or with no degree of freedom left
        "at_bound": FLAG,
        "identified": FLAG,  # of the whole fit
        "r2": NUMBER,
        "largest_error": NUMBER,  # relative, of the fitted points
        "note": TEXT,  # what is not identified, and why
    },
    ("base_size", "method", "parameter"),
)

TABLES = (CAPACITY, CAPACITY_FITS)
