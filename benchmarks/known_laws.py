"""The laws that come with the package: `python -m benchmarks.known_laws [--ladder RESULTS]`.

`qwen2.5` is the paper's printed joint fits, with merge times as printed and the rest of the costs
by the cost model; `ladder` is the law file of the default study, with a word on what it is.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergelaw.config import Study, read_study
from mergelaw.costs.devices import device_of
from mergelaw.costs.inputs import Case, SizeModel, text_length
from mergelaw.costs.machine_file import usual_machine
from mergelaw.costs.shapes import assumed_shape
from mergelaw.costs.sweep import SweepSize
from mergelaw.costs.training_inputs import TrainingInputs, launch_files
from mergelaw.costs.training_rows import training_row
from mergelaw.laws.forms import joint, size_floor, size_tail
from mergelaw.laws.published import DOMAINS, JOINT_FITS, JOINT_PARAMETERS, POOL, joint_fits, rows
from mergelaw.laws.schemas import MACRO
from mergelaw.planning.finding import KNOWN, mean_tail
from mergelaw.planning.law_file import (
    METRIC,
    Costs,
    Curve,
    Joint,
    Law,
    LawFile,
    Size,
    read_law_file,
    write_laws,
)
from mergelaw.planning.study_costs import serving_hours

ROOT = Path(__file__).parents[1]
DEVICE = "H100"
CHECKPOINT_BYTES = 2.0
"""Of an entry: bfloat16."""

CAVEATS = (
    "The parameters are printed without errors: no probability can be told, and digits are few.",
    "R2 of the printed fits is 0.975 to 0.997, on the points that were fitted; nothing held out is "
    "printed. Subsets above 8B are samples, and unbalanced ones.",
    "Floors are extrapolations to endless experts: the pool of nine reaches L(9) only. In seven of "
    "nine domains of Average the tail does not shrink with N.",
    "TIES: the scale is not printed with the table; its numbers agree with scale 0.5, not with 1. "
    "The fits of DARE are not published.",
    "Merge times are Table 13's, of one merge on a machine that is not told; it does not say of "
    "how many experts. All other hours are estimated (`mergelaw estimate`, config/qwen2.5.yaml): "
    "the settings of Table 2, 20,000 items a domain of 16,384 tokens, the most. Real text is "
    "shorter: the paper tells about 1,300 H800-hours of multitask training at 72B.",
    "Losses are of the paper's text, which is not published; losses on other text do not compare.",
)


def qwen25() -> LawFile:
    """Return the paper's laws."""
    study = read_study(ROOT / "config" / "qwen2.5.yaml")
    sizes = tuple(_size(study, size.name) for size in study.sizes)
    laws = [law for method in JOINT_FITS for law in _laws(method, sizes)]
    return LawFile(
        name="qwen2.5",
        source="Wang et al., Model Merging Scaling Laws in Large Language Models, arXiv 2509.24244 "
        "v4: joint fits of Tables 3 (average), 4 (task_arithmetic) and 5 (ties), Table 13",
        caveats=CAVEATS,
        metric=METRIC,
        pool=POOL,
        experts=DOMAINS,
        n_params=None,
        sizes=sizes,
        laws=tuple(laws),
    )


def _laws(method: str, sizes: Sequence[Size]) -> list[Law]:
    values = [
        dict(zip(JOINT_PARAMETERS, map(float, row), strict=True))
        for row in joint_fits(method).value
    ]
    single = [
        Law(
            method=method,
            domain=domain,
            curves=tuple(_curve(size, [parameters]) for size in sizes),
            joint=Joint(**parameters, identified=True),
        )
        for domain, parameters in zip(DOMAINS, values, strict=True)
    ]
    curves = tuple(_curve(size, values) for size in sizes)
    return [Law(method=method, domain=MACRO, curves=curves), *single]


def _curve(size: Size, laws: Sequence[dict[str, float]]) -> Curve:
    """Return the mean of some joint laws at a size."""
    n = float(size.n_params_billions or math.nan)
    loss = [math.fsum(float(joint(n, k, **law)) for law in laws) for k in range(1, POOL + 1)]
    floors = [
        float(size_floor(n, law["floor_limit"], law["size_scale"], law["size_exponent"]))
        for law in laws
    ]
    tails = [float(size_tail(n, law["tail_scale"], law["tail_exponent"])) for law in laws]
    tail, offset = mean_tail(tails, [law["offset"] for law in laws])
    mean = "the mean of nine laws; tail and offset are those for many experts"
    return Curve(
        size=size.name,
        floor=_digits(math.fsum(floors) / len(laws)),
        tail=_digits(tail),
        offset=_digits(offset),
        identified=True,
        notes=(mean,) if len(laws) > 1 else (),
        loss=tuple(_digits(value / len(laws)) for value in loss),
    )


def _size(study: Study, name: str) -> Size:
    """Return a size with the printed merge times and estimated hours."""
    at = SweepSize(_case(study), name)
    n = float(str(study.size(name).name).removesuffix("b"))  # the paper's N: 0.5, not 0.494
    merges = {
        str(row["method"]): _digits(float(row["seconds"]) / 3600)
        for row in rows("13")
        if float(row["n_params_billions"]) == n
    }
    expert = training_row(at, "expert", study.expert_names[:1])
    multitask = training_row(at, "multitask")
    costs = Costs(
        device=DEVICE,
        source="merges as printed (Table 13), the rest estimated",
        train_expert=_digits(expert.device_seconds / 3600),
        train_multitask=_digits(multitask.device_seconds / 3600),
        merge_by_method=merges,
        evaluate=_digits(at.devices_per_job * at.score_seconds / 3600),
        serve_per_billion_tokens=_digits(
            serving_hours(n, device_of(DEVICE), study.dtype, at.case.machine.utilisation)
        ),
    )
    return Size(name=name, n_params_billions=n, costs=costs)


def _case(study: Study) -> Case:
    """Return the study as its config alone has it, whatever is on this machine."""
    sizes = {
        size.name: SizeModel(assumed_shape(size.n_params or 0), CHECKPOINT_BYTES, "`n_params`")
        for size in study.sizes
    }
    training = TrainingInputs(launch_files(study, ROOT))
    text = text_length(study, Path("not prepared"))
    return Case(study, usual_machine(DEVICE).machine(), text, sizes, training=training)


def _digits(value: float) -> float:
    """Return six significant digits: more than the printed parameters carry."""
    return float(f"{value:.6g}")


LADDER_CAVEATS = (
    "Models of 25 to 397 thousand parameters, trained on procedural text: laws of the method, not "
    "of large models.",
    "One seed. Every subset of nine experts was merged and scored; intervals are for the mean over "
    "all subsets on new text.",
    "The law over sizes rests on four of them: its limit is not identified.",
    "Hours are of two CPU cores that did nothing else.",
)


def ladder(results: Path) -> LawFile:
    """Return the default study's laws, from its results."""
    file = read_law_file(results / "planning" / "laws.json")
    told: dict[str, Any] = {
        "name": "ladder",
        "source": "mergelaw's default study (config/default.yaml, seed 0): "
        "8,176 merges of nine experts at four sizes",
        "caveats": LADDER_CAVEATS,
    }
    return file.model_copy(update=told)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ladder", type=Path, help="Results of the default study.")
    results = parser.parse_args().ladder
    write_laws(KNOWN / "qwen2.5.json", qwen25())
    if results is not None:
        write_laws(KNOWN / "ladder.json", ladder(results))


if __name__ == "__main__":
    main()
