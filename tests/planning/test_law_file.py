"""Law files: read, refused in words, and those that come with the package."""

import json

import pytest

from benchmarks.known_laws import qwen25
from mergelaw.errors import TableError
from mergelaw.planning.finding import KNOWN, find, known_names
from mergelaw.planning.law_file import read_law_file, write_laws
from tests.planning.plan_laws import JOINT, baseline, curve, law_file


@pytest.fixture
def stored(tmp_path):
    """A law file on disk."""
    path = tmp_path / "laws.json"
    file = law_file(curve(stderr=(0.1,) * 4, gain_stderr=(0.1,) * 3, freedom=5.0, notes=("a",)))
    law = file.laws[0].model_copy(update={"joint": JOINT})
    write_laws(path, file.model_copy(update={"laws": (law,), "baselines": (baseline(base=3.0),)}))
    return path


def changed(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    return path


def test_a_law_file_is_read_as_it_was_written(stored, tmp_path):
    file = read_law_file(stored)
    write_laws(tmp_path / "again.json", file)
    assert (tmp_path / "again.json").read_bytes() == stored.read_bytes()
    assert file.laws[0].curves[0].loss == curve().loss
    assert file.laws[0].joint == JOINT


def test_a_law_of_another_metric_is_refused(stored):
    with pytest.raises(TableError, match="metric = 'accuracy': planning is for 'cross-entropy"):
        read_law_file(changed(stored, metric="accuracy"))


def test_every_problem_is_told(stored):
    laws = json.loads(stored.read_text())["laws"]
    laws[0]["curves"][0] |= {"loss": [3.0, 2.5], "size": "huge"}
    with pytest.raises(TableError) as found:
        read_law_file(changed(stored, laws=laws))
    assert "average/code/huge: the size is not among `sizes`" in str(found.value)
    assert "loss has 2 numbers, k = 1..4" in str(found.value)
    with pytest.raises(TableError, match=r"pool: is missing|unknown key"):
        read_law_file(changed(stored, pol=4))


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not JSON"), ("[1]", "must be a mapping"), ('{"format": 1}', "problems"), ("", "JSON")],
)
def test_what_is_no_law_file_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "laws.json"
    path.write_text(text)
    with pytest.raises(TableError, match=words):
        read_law_file(path)


def test_negative_losses_are_refused(stored):
    laws = json.loads(stored.read_text())["laws"]
    laws[0]["curves"][0]["loss"][2] = -0.5
    with pytest.raises(TableError, match=r"average/code/small: loss at k = 3 is -0\.5"):
        read_law_file(changed(stored, laws=laws))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"stderr": [0.1, -0.1, 0.1, 0.1]}, r"curves\[0\]\.stderr\[1\] = -0\.1"),
        ({"floor_stderr": -1}, "floor_stderr = -1: .*0"),
        ({"gain_stderr": [-1, 0, 0]}, "gain_stderr"),
        ({"freedom": 0}, "freedom = 0"),
        ({"offset": -0.5}, r"average/code/small: offset = -0\.5: is below 0"),
        ({"tail": -0.5}, r"tail = -0\.5: is below 0"),
    ],
)
def test_numbers_of_a_curve_out_of_range_are_refused(stored, keys, words):
    laws = json.loads(stored.read_text())["laws"]
    laws[0]["curves"][0] |= keys
    with pytest.raises(TableError, match=words):
        read_law_file(changed(stored, laws=laws))


def test_hours_below_zero_and_laws_without_curves_are_refused(stored):
    raw = json.loads(stored.read_text())
    raw["sizes"][0]["n_params_billions"] = 0
    raw["sizes"][0]["costs"]["train_expert"] = -1
    raw["laws"][0]["curves"] = []
    with pytest.raises(TableError) as found:
        read_law_file(changed(stored, **raw))
    for key in ("n_params_billions = 0", "train_expert = -1", "laws[0].curves = []"):
        assert key in str(found.value)


def test_names_that_occur_twice_are_all_told(stored):
    raw = json.loads(stored.read_text())
    raw["laws"][0]["curves"] *= 2
    twice = {name: raw[name] * 2 for name in ("laws", "sizes", "baselines")}
    with pytest.raises(TableError) as found:
        read_law_file(changed(stored, **twice))
    for name in ("average/code", "'small'", "average/code/small", "code/small"):
        assert f": {name} is given twice; keep one" in str(found.value)


@pytest.mark.parametrize("method", ["a/b", ""])
def test_a_law_that_could_not_be_named_is_neither_read_nor_written(stored, tmp_path, method):
    laws = json.loads(stored.read_text())["laws"]
    laws[0]["method"] = method
    with pytest.raises(TableError, match=f"method '{method}'.*give it another name"):
        read_law_file(changed(stored, laws=laws))
    law = law_file().laws[0].model_copy(update={"method": method})
    with pytest.raises(TableError, match=f"method '{method}'"):
        write_laws(tmp_path / "new.json", law_file(laws=(law,)))
    assert not (tmp_path / "new.json").exists()


def test_a_file_without_its_format_is_told_with_what_else_lacks(stored):
    raw = json.loads(stored.read_text())
    del raw["format"], raw["sizes"]
    stored.write_text(json.dumps(raw))
    with pytest.raises(TableError, match=r"sizes: is missing \(The bases") as found:
        read_law_file(stored)
    assert "format: is missing; it is 'mergelaw laws 1'" in str(found.value)


def test_a_study_is_found_by_its_folder(stored):
    folder = stored.parent / "results"
    (folder / "planning").mkdir(parents=True)
    stored.rename(folder / "planning" / "laws.json")
    for named in (folder, f"{folder}/", folder / "planning", folder / "planning" / "laws.json"):
        assert find(str(named)).file.name == "made"
    found = find(f"{folder}/average/code")
    assert (found.method, found.domain) == ("average", "code")
    assert find(f"{folder}/average").domain is None


def test_the_papers_laws_are_what_their_script_makes(tmp_path):
    write_laws(tmp_path / "qwen2.5.json", qwen25())
    assert (tmp_path / "qwen2.5.json").read_text() == (KNOWN / "qwen2.5.json").read_text()


def test_shipped_laws_can_be_used():
    assert "qwen2.5" in known_names()
    for name in known_names():
        file = find(name).file
        assert file.name == name
        assert file.caveats
        assert file.provenance.get("study") in (None, "default")


def test_merge_times_are_the_printed_ones():
    size = next(size for size in find("qwen2.5").file.sizes if size.name == "72b")
    hours = size.costs.merge_by_method
    assert {m: round(3600 * h) for m, h in hours.items()} == {
        "task_arithmetic": 2686,
        "average": 2280,
        "dare": 2360,
        "ties": 2967,
    }
