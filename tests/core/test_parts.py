"""Parts of a study: one size, or one method at one size, are the study with the rest left out."""

import pytest

from mergelaw.design import chunks
from mergelaw.errors import ConfigError
from mergelaw.parts import part_of, parts
from mergelaw.provenance import fingerprint
from tests.helpers import study_of

OWN = ("sizes.1.design", [{"kind": "exhaustive", "k": [2]}])


def test_every_size_and_every_method_at_every_size_is_a_part():
    methods = ("average", "ta", "ties", "dare")
    assert parts(study_of()) == [
        *("small", "large"),
        *(f"{size}/{method}" for size in ("small", "large") for method in methods),
    ]


def test_a_part_has_its_size_and_its_methods_alone():
    study = study_of()
    size, method = part_of(study, "large"), part_of(study, "large/ties")
    assert (size.size_names, size.method_labels) == (("large",), study.method_labels)
    assert (method.size_names, method.method_labels) == (("large",), ("ties",))


def test_a_part_has_the_chunks_and_the_experts_of_its_study():
    study = study_of(OWN)
    for size in study.size_names:
        assert chunks(part_of(study, f"{size}/ties"), size) == chunks(study, size)
    assert part_of(study, "large").experts == study.experts


@pytest.mark.parametrize("name", ["huge", "small/slerp", "small/", "ties", "", "small/ties/0"])
def test_an_unknown_part_is_refused_with_those_that_there_are(name):
    with pytest.raises(ConfigError, match=r"no such part; .*small, large, small/average"):
        part_of(study_of(), name)


def changed(edit, part: str) -> set[str]:
    """The jobs of a part that an edit makes again."""
    before, after = study_of(OWN), study_of(OWN, edit)
    jobs = {"part": "sweep", "part_curves": "laws"}
    return {
        job
        for job, stage in jobs.items()
        if fingerprint(before, stage, job, part=part) != fingerprint(after, stage, job, part=part)
    }


def test_an_edit_of_another_part_leaves_a_part_alone():
    other_size = ("sizes.1.design", [{"kind": "exhaustive", "k": [1]}])
    new_method = ("methods.4", {"label": "ta2", "method": "task_arithmetic"})
    for edit in (other_size, new_method):
        assert changed(edit, "small/ties") == set()
    assert changed(other_size, "large/ties") == {"part", "part_curves"}
    assert changed(new_method, "small") == {"part", "part_curves"}
    assert changed(("laws.resamples", 300), "small/ties") == {"part_curves"}
    assert changed(("laws.n_params", "nonembedding"), "small/ties") == {"part_curves"}
