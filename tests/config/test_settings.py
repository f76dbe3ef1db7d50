"""Training settings: what they train, the sizes that come of them, refusals in words."""

import pytest

from mergelaw.paths import StudyPaths, checkpoint_folder
from tests.config.test_problems import problems
from tests.helpers import study_of

HALF = {"name": "half", "steps": 2}
LORA = {"name": "lora", "learning_rate": 0.02, "lora": {"rank": 2}}


def settings(*entries):
    return ("training.settings", list(entries))


def test_every_size_comes_once_more_under_every_setting():
    study = study_of(settings(HALF, LORA))
    assert study.size_names == (
        *("small", "large"),
        *("small@half", "large@half"),
        *("small@lora", "large@lora"),
    )
    assert study.ladder == ("small", "large")
    assert study.off_ladder == study.size_names[2:]
    assert study.size("large@lora").architecture == study.size("large").architecture
    assert (study.size("large@lora").base_size, study.size("large@lora").setting) == (
        "large",
        "lora",
    )
    assert (study.size("large").base_size, study.size("large").setting) == ("large", "")


def test_a_setting_changes_what_it_names_and_nothing_else():
    study = study_of(settings(HALF, LORA))
    reference = study.expert_training("small")
    assert reference == study.training.expert
    assert study.expert_training("small@half") == reference.model_copy(update={"steps": 2})
    lora = study.expert_training("large@lora")
    assert (lora.steps, lora.learning_rate, lora.lora.rank) == (reference.steps, 0.02, 2)


@pytest.mark.parametrize(
    ("length", "setting", "expected"),
    [
        ({"epochs": 2.0}, {"steps": 5}, (5, None)),
        ({"steps": 5}, {"epochs": 2.0}, (5, 2.0)),
        ({"epochs": 2.0}, {"learning_rate": 0.5}, (40, 2.0)),
    ],
)
def test_steps_replace_epochs_and_epochs_win_over_steps(length, setting, expected):
    expert = {"batch_rows": 4, "max_length": 96} | length
    study = study_of(("training.expert", expert), settings({"name": "other"} | setting))
    other = study.expert_training("small@other")
    assert (other.steps, other.epochs) == expected


def test_all_settings_have_the_base_of_the_listed_size():
    study, paths = study_of(settings(HALF)), StudyPaths.of(study_of())
    shared = paths.trained("small", "base")
    assert checkpoint_folder(study, paths, "small@half", "base") == shared
    assert checkpoint_folder(study, paths, "small@half", "code") == paths.trained(
        "small@half", "code"
    )


def test_a_study_without_settings_is_as_before():
    study = study_of()
    assert study.ladder == study.size_names == ("small", "large")
    assert study.off_ladder == ()


def test_all_mistakes_are_told_at_once():
    both = {"name": "half", "steps": 2, "epochs": 1.0}
    assert problems(settings(HALF, both, {"name": "same"}), ("training.expert.epochs", 2.0)) == [
        "training.expert: give either `steps` or `epochs`",
        "training.settings[1]: give either `steps` or `epochs`",
        "training.settings.name = 'half' occurs 2 times: every name must be used once",
        "training.settings[2] = 'same': trains experts just as training.expert does; change "
        "something, or leave it out",
    ]


def test_finished_experts_cannot_be_trained_in_other_ways():
    size = {"name": "own", "base": "/base", "experts": {"algebra": "/a", "code": "/c"}}
    assert problems(settings(HALF), ("sizes", [size]), ("tokenizer", {"path": "/base"})) == [
        "sizes[0].experts: algebra, code are finished, and training.settings trains every expert "
        "under each setting; leave one of them out"
    ]


@pytest.mark.parametrize("name", ["a@b", "a/b", ""])
def test_a_name_that_is_no_folder_s_is_refused(name):
    [found] = problems(settings(HALF | {"name": name}))
    assert found.startswith(f"training.settings[0].name = {name!r}: ")


def test_an_unknown_key_of_a_setting_is_told():
    [found] = problems(settings(HALF | {"max_length": 5}))
    assert found.startswith("training.settings[0].max_length: unknown key")
