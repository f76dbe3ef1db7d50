"""Law files for the page's tests: a large one, and ones that lack this or that."""

import numpy as np

from mergelaw.laws import forms
from mergelaw.planning.law_file import (
    METRIC,
    Baseline,
    Costs,
    Curve,
    Joint,
    Law,
    LawFile,
    Size,
)

METHODS = ("average", "task_arithmetic", "ties", "dare")
DOMAINS = (
    "macro",
    "algebra",
    "analysis",
    "biology",
    "chemistry",
    "code",
    "discrete",
    "geometry",
    "number_theory",
    "physics",
)
SIZES = {"w32": 2.5e-5, "w48": 6.1e-5, "w80": 1.5e-4, "w128": 4.0e-4}


def curve_of(size, floor, tail, offset, pool, stderr=0.002, freedom=11.0, **changed):
    """Return a curve whose errors grow with k, and whose points lie beside the law."""
    k = np.arange(1, pool + 1)
    loss = forms.floor_tail(k, floor, tail, offset)
    errors = (
        {}
        if stderr is None
        else {
            "floor_stderr": 2 * stderr,
            "stderr": tuple(float(x) for x in stderr * (1 + 0.05 * k)),
            "gain_stderr": tuple(float(x) for x in stderr * (0.8 + 0.15 * k[:-1])),
            "freedom": freedom,
        }
    )
    known = {
        "floor": floor,
        "tail": tail,
        "offset": offset,
        "identified": True,
        "loss": tuple(float(x) for x in loss),
        "measured": tuple(float(x) for x in loss + 0.001 * np.cos(k)),
    }
    return Curve.model_validate({"size": size} | known | errors | changed)


def costs_of(n):
    """Return device-hours that grow with N."""
    return Costs(
        device="cpu",
        source="measured",
        train_expert=40 * n,
        train_multitask=300 * n,
        merge=n,
        merge_per_expert=0.3 * n,
        evaluate=2 * n,
        serve_per_billion_tokens=5000 * n,
    )


def large(pool=9):
    """Return laws of four methods, ten domains and four sizes, with everything known."""
    laws = []
    for m, method in enumerate(METHODS):
        for d, domain in enumerate(DOMAINS):
            joint = Joint(
                floor_limit=0.1 + 0.01 * m,
                size_scale=0.02 + 0.002 * d,
                size_exponent=0.4 - 0.01 * d,
                tail_scale=0.05 + 0.005 * m,
                tail_exponent=0.2 + 0.01 * d,
                offset=0.3 * m + 0.1 * d,
                identified=True,
            )
            curves = [
                curve_of(
                    size,
                    float(forms.size_floor(n, 0.1 + 0.01 * m, 0.02 + 0.002 * d, 0.4 - 0.01 * d)),
                    float(forms.size_tail(n, 0.05 + 0.005 * m, 0.2 + 0.01 * d)),
                    joint.offset,
                    pool,
                )
                for size, n in SIZES.items()
            ]
            laws.append(Law(method=method, domain=domain, curves=tuple(curves), joint=joint))
    return LawFile(
        name="ladder",
        source="made up for tests",
        caveats=("Made up: says nothing about any model.",),
        metric=METRIC,
        pool=pool,
        experts=DOMAINS[1:],
        n_params="nonembedding",
        sizes=tuple(
            Size(name=name, n_params_billions=n, costs=costs_of(1000 * n))
            for name, n in SIZES.items()
        ),
        laws=tuple(laws),
        baselines=tuple(
            Baseline(size=size, domain=domain, base=3.0, expert=1.0, multitask=1.2)
            for size in SIZES
            for domain in DOMAINS
        ),
        provenance={"data": "abc", "versions": {"mergelaw": "0.1.0"}},
    )


def bare(pool=9, **changed):
    """Return one law without errors, costs, points, law over sizes or N."""
    curve = curve_of("7B", 0.4, 0.2, 0.1, pool, stderr=None, measured=(), **changed)
    return LawFile(
        name="a paper's",
        source="printed <b>somewhere</b> & else",
        metric=METRIC,
        pool=pool,
        sizes=(Size(name="7B"),),
        laws=(Law(method="average", domain="code", curves=(curve,)),),
    )


def unidentified():
    """Return a law whose points do not determine it."""
    file = bare(notes=("the loss does not bend",), identified=False)
    return file.model_copy(update={"name": "open"})


def two_devices():
    """Return the large file with one size's hours of another device."""
    file = large()
    first, *others = file.sizes
    costs = first.costs.model_copy(update={"device": "H100"})
    sizes = (first.model_copy(update={"costs": costs}), *others)
    return file.model_copy(update={"sizes": sizes, "name": "mixed"})


def mean_only():
    """Return the large file without a law over sizes of its own for the mean over domains."""
    file = large()
    laws = [
        law.model_copy(update={"joint": None}) if law.domain == "macro" else law
        for law in file.laws
    ]
    return file.model_copy(update={"laws": tuple(laws), "name": "mean"})


FILES = {
    "large": large(),
    "bare": bare(),
    "open": unidentified(),
    "two": bare(2),
    "one": bare(1),
    "mean": mean_only(),
    "mixed": two_devices(),
}
"""By the name of their pages."""
