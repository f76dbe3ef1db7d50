"""How far the law misses on one study: sets `CALIBRATED` of `mergelaw.planning.misfit`.

Forecast errors of curves whose subsets are all in are Student's t, of scale and freedom that are
found by maximum likelihood, each curve counting once (a composite likelihood of its k; Varin, Reid
& Firth 2011, Statistica Sinica 21). A study that calibrates must not be one that judges.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.stats import t as student

from benchmarks.plan_forecast import TRIPLES, known_curves, later
from mergelaw.laws.forms import Array
from mergelaw.planning.estimators import estimate
from mergelaw.planning.misfit import LINEAR, correlation, size

CLASSES = {"linear": LINEAR, "ties": ("ties",), "any": (*LINEAR, "ties")}


class Missed(NamedTuple):
    """What one forecast missed, in units of a departure of sigma = unit.

    Attributes
    ----------
    errors
        At later k.
    contrast
        What the points themselves show of the departure; None where they are fitted exactly.
    """

    method: str
    errors: Array
    contrast: float | None


def main() -> None:
    """Print the calibration of the studies given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="Folders such as results/default.")
    found = [one for folder in parser.parse_args().results for one in misses(folder)]
    for name, methods in CLASSES.items():
        mine = [one for one in found if one.method in methods]
        share, freedom = calibration(mine)
        print(f"{name}: share {share:.4f}, freedom {freedom:.2f}, from {len(mine)} forecasts")


def misses(folder: Path) -> Iterator[Missed]:
    """Yield what the forecasts of a study missed, from `TRIPLES` of its measured k."""
    for curve in known_curves(folder):
        for ks in TRIPLES:
            points = np.array(ks, float)
            losses = np.array([curve.losses[k] for k in ks])
            law = estimate(points, losses)
            if law.case == "not_identified":
                continue
            at = np.array(later(curve, ks), float)
            error = np.hstack([law.follow(points, at), -np.eye(len(at))])
            every = np.append(points, at)
            spread = np.sqrt(np.diag(error @ correlation(every, every) @ error.T))
            unit = size(losses)
            truth = np.array([curve.losses[int(k)] for k in at])
            contrast = _contrast(law.slopes(points), points, losses - law.loss(points))
            yield Missed(
                curve.method,
                (law.loss(at) - truth) / (unit * spread),
                None if contrast is None else contrast / unit,
            )


def _contrast(slopes: Array, ks: Array, rest: Array) -> float | None:
    if slopes.shape[1] == len(ks):
        return None
    contrast = np.linalg.svd(slopes)[0][:, -1]
    return float(contrast @ rest / np.sqrt(contrast @ correlation(ks, ks) @ contrast))


def calibration(missed: Sequence[Missed]) -> tuple[float, float]:
    """Return the share and the freedom of the departure's prior that make the errors likeliest."""

    def surprise(x: Array) -> float:
        share, freedom = np.exp(x)
        total = 0.0
        for one in missed:
            scale, degrees = share, freedom
            if one.contrast is not None:
                total -= student.logpdf(one.contrast / share, freedom) - np.log(share)
                degrees = freedom + 1
                scale = np.sqrt((freedom * share**2 + one.contrast**2) / degrees)
            total -= np.mean(student.logpdf(one.errors / scale, degrees)) - np.log(scale)
        return float(total)

    share, freedom = np.exp(minimize(surprise, np.log([0.005, 3.0]), method="Nelder-Mead").x)
    return float(share), float(freedom)


if __name__ == "__main__":
    main()
