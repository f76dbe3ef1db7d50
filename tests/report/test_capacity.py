"""Training settings in the report: pages are about the ladder, the capacity section about all."""

import polars as pl
import pytest

from mergelaw.laws.schemas import CURVES, FITS, MACRO
from mergelaw.laws.schemas.capacity import CAPACITY, CAPACITY_FITS
from mergelaw.report import capacity_words
from mergelaw.report.context import Facts, about, headline
from mergelaw.report.inputs import fits_on_ladder, on_ladder
from tests.report import tables
from tests.report.drawing import draw, drawn_as, panel, whole_text

SETTINGS = [
    {"name": "short", "steps": 10},
    {"name": "long", "steps": 160},
    {"name": "lora", "learning_rate": 0.01, "lora": {"rank": 2}},
]
STEPS = {None: 40, "short": 10, "long": 160, "lora": 40}
FLOORS = {None: 2.0, "short": 2.5, "long": 2.25, "lora": 2.125}
TAILS = {None: 0.25, "short": 0.125, "long": 0.5, "lora": 0.1875}


@pytest.fixture(scope="module")
def study():
    return tables.make_study(1, training={"settings": SETTINGS})


def rows_of(study, lost=()) -> list[dict]:
    """Each setting's quantities; changes with an error of 0.125 for new text, 0.25 for experts."""
    found = []
    for size in study.sizes:
        name = size.setting or None
        training = study.expert_training(size.name)
        values = {"floor": FLOORS, "tail": TAILS}
        levels = {quantity: of[name] for quantity, of in values.items()}
        levels |= {"loss_pool": FLOORS[name] + 0.0625, "loss_1": FLOORS[name] + 0.5}
        reference = {"floor": 2.0, "tail": 0.25, "loss_pool": 2.0625, "loss_1": 2.5}
        found += [
            {
                **{"size": size.name, "base_size": size.base_size, "setting": name},
                **{
                    "training_tokens": 100.0 * STEPS[name],
                    "steps": STEPS[name],
                    "mean_vector_norm": 1.5,
                },
                "learning_rate": training.learning_rate,
                "lora_rank": training.lora.rank if training.lora else None,
                **{"method": "average", "domain": MACRO, "quantity": quantity},
                **{"value": value, "stderr": 0.03125},
                "identified": name not in lost if quantity in values else None,
                "change": value - reference[quantity] if name else None,
                "change_text_se": 0.125 if name else None,
                "change_experts_se": 0.25 if name else None,
            }
            for quantity, value in levels.items()
        ]
    return found


def frames(study, lost=(), fits=()):
    return {
        CAPACITY.file: CAPACITY.frame(rows_of(study, lost)),
        CAPACITY_FITS.file: CAPACITY_FITS.frame(list(fits)),
    }


def said(study, *marks, lost=(), fits=()) -> list[str]:
    """Sentences that hold all marks."""
    sentences = capacity_words.capacity(study, frames(study, lost, fits))
    return [text for text in sentences if all(mark in text for mark in marks)]


def test_the_length_of_training_is_followed_to_where_it_turns(study):
    [text] = said(study, "from 10 to 160 steps")
    assert text == (
        "w32, average, from 10 to 160 steps (1K to 16K training tokens of an expert): L(4) does "
        "not go one way: 2.562 at first, least 2.062 at 40 steps, 2.312 at last, the floor does "
        "not go one way: 2.500 at first, least 2.000 at 40 steps, 2.250 at last and the tail rises "
        "from 0.125 to 0.500 (macro loss, nats/token)."
    )


def test_what_changes_more_than_the_length_is_compared_with_the_reference(study):
    [text] = said(study, "lora (LoRA of rank 2, rate 0.01), against the reference")
    assert "the floor +0.125 ± 0.125 / 0.250" in text
    assert "the tail −0.062 ± 0.125 / 0.250" in text
    assert not said(study, "long", "against the reference:")


def test_changes_are_counted_against_their_errors(study):
    """Floors change by 0.5, 0.25 and 0.125: one and none are above two errors."""
    [text] = said(study, "Of the floor against the reference's")
    assert "1 of 3 changes exceed two standard errors for new text" in text
    assert "none of 3 changes exceed two standard errors for new experts" in text


def test_what_is_not_identified_is_named_and_left_out(study):
    [text] = said(study, "not identified", lost=("long",))
    assert "w32@long (average)" in text
    [text] = said(study, "from 10 to 160 steps", lost=("long",))
    assert "the floor falls from 2.500 to 2.000 and the tail rises from 0.125 to 0.250" in text
    assert said(study, "trained once")


LAW = {"base_size": "w32", "method": "average", "n_settings": 5, "r2": 0.9, "largest_error": 0.02}


def test_the_law_is_told_where_it_is_identified_and_else_why_not(study):
    assert said(study, "No law over training tokens was fitted")
    row = LAW | {"parameter": "tail_exponent", "value": -0.5, "at_bound": False}
    names = ("floor_limit", "size_scale", "size_exponent", "tail_scale", "offset")
    fit = [row, *(row | {"parameter": name, "value": 1.0} for name in names)]
    known = [r | {"stderr": 0.25, "identified": True} for r in fit]
    [text] = said(study, "γ = −0.500 ± 0.250", fits=known)
    assert "5 settings" in text
    lost = [r | {"identified": False, "note": "fewer than 5 capacities"} for r in fit]
    [text] = said(study, "is not identified: fewer than 5 capacities", fits=lost)
    assert "γ = −0.500" not in text


def test_the_table_has_a_row_per_setting_in_the_order_of_tokens(study):
    grid = capacity_words.grid(study, frames(study, lost=("long",)))
    assert [row[1] for row in grid.rows] == [
        "short (10 steps)",
        "reference (40 steps)",
        "lora (LoRA of rank 2, rate 0.01)",
        "long (160 steps)",
    ]
    floor, change = grid.head.index("floor"), grid.head.index("change of floor")
    assert grid.rows[0][floor] == "2.500 ± 0.031"
    assert grid.rows[0][grid.head.index("at home")] == "–"
    assert grid.rows[0][change] == "+0.500 ± 0.125 / 0.250"
    assert grid.rows[1][change] == "–"
    assert grid.rows[3][floor] == "2.250 ± 0.031*"


def test_the_figure_joins_lengths_and_names_the_others(study):
    figure = draw(study, frames(study), "capacity")
    axes = panel(figure, "floor, w32")
    [line] = [xy for xy in drawn_as(axes, "#1f6fb4", "o") if len(xy[0]) == 3]
    assert line == ([1000.0, 4000.0, 16000.0], [2.5, 2.0, 2.25])
    [place] = [x for x in axes.get_xticks() if axes.xaxis.get_major_formatter()(x) == "lora"]
    assert place > 16000
    assert ([place], [2.125]) in drawn_as(axes, "#1f6fb4", "o")
    assert {axes.get_title(loc="left") for axes in figure.axes} == {
        "L(4), w32",
        "floor, w32",
        "tail, w32",
    }


def test_one_way_of_training_is_said_in_the_figure(small_study):
    empty = {table.file: table.frame([]) for table in (CAPACITY, CAPACITY_FITS)}
    assert "trained in one way" in whole_text(draw(small_study, empty, "capacity"))


def test_pages_are_about_the_ladder(study):
    sizes = [*study.size_names, None]
    frame = pl.DataFrame({"size": sizes})
    assert on_ladder(study, frame)["size"].to_list() == ["w32", None]
    fits = {"fits": [{"size": size} for size in sizes], "refused": [], "provenance": {}}
    assert fits_on_ladder(study, fits)["fits"] == [{"size": "w32"}, {"size": None}]


def test_a_study_of_one_way_of_training_is_shown_whole(small_study, small_tables):
    for file in (CURVES.file, FITS.file):
        frame = small_tables[0][file]
        assert on_ladder(small_study, frame).equals(frame)


def test_bases_are_told_once_and_settings_are_named(study, small_study):
    frames = tables.build(study)[0]
    facts = Facts(12, {"algebra": 120}, tables.contents_frame(study))
    shown = {file: on_ladder(study, frame) for file, frame in frames.items()}
    text = " ".join(about(study, shown, facts))
    assert "The bases w32 were pre-trained" in text
    assert "trained in 4 ways" in text
    assert "3 further settings, short, long and lora" in text
    assert "experts trained in 4 ways: 12 merges" in headline(study, shown, facts)[0]
    alone = {file: frame for file, frame in tables.build(small_study)[0].items()}
    assert "ways" not in " ".join(about(small_study, alone, facts))
