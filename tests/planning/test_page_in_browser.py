"""The planner at work in headless Chromium: controls, words, tables, links, keyboard, looks."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.planning.browser import PRICED
from tests.planning.page_laws import FILES

expect = pytest.importorskip("playwright.sync_api").expect


def test_the_answer_is_said_in_numbers_of_the_plan(open_page):
    opened = open_page(method="ties", domain="code", size="w80", loss=0.85, budget=2)
    plan_ = opened.plan()
    [size] = [size for size in plan_["sizes"] if size["size"] == "w80"]
    [needed] = size["needed"]
    best = plan_["bought"]["best"]
    assert opened.text("experts") == f"{needed['k']} of 9"
    assert f"{size['points'][needed['k'] - 1]['loss']:.4f}" in opened.text("experts-why")
    assert opened.text("best").startswith(f"{best['size']}, {best['k']} expert")
    assert f"{best['loss']:.4f}" in opened.text("best-why")
    [cost] = [
        c["cost"] for c in plan_["bought"]["choices"] if (c["size"], c["k"]) == ("w80", needed["k"])
    ]
    assert opened.text("cost") == f"{cost:.3g} device-hours"
    expect(opened.page.locator("#spoken")).to_contain_text(opened.text("experts"))


def test_every_control_moves_the_answer_and_the_address(open_page):
    opened = open_page()

    def moved(change, *names):
        before = {name: opened.text(name) for name in names}, opened.page.url
        change()
        after = {name: opened.text(name) for name in names}
        assert all(after[name] != before[0][name] for name in names), (names, after)
        assert opened.page.url != before[1]

    moved(lambda: opened.choose("method", "dare"), "experts", "remarks", "command")
    moved(lambda: opened.choose("domain", "code"), "remarks", "curve-table")
    moved(lambda: opened.choose("size", "w48"), "remarks", "curve-table", "cost")
    moved(lambda: opened.choose("target", "60"), "experts", "experts-why", "curve-table")
    moved(lambda: opened.choose("slider", "97"), "experts", "command")
    assert opened.page.locator("#target").input_value() == "97"
    moved(lambda: opened.choose("eps", "0.5"), "stop-why")
    moved(lambda: opened.choose("serve", "3"), "cost-why")
    moved(lambda: opened.choose("evaluations", "20"), "cost", "cost-why")
    moved(lambda: opened.page.locator("#trained").check(), "cost", "cost-why")
    moved(lambda: opened.choose("price-0", "0.5"), "cost", "budget-label")
    moved(lambda: opened.choose("currency", "NOK"), "cost", "budget-label")
    moved(lambda: opened.choose("budget", "1.5"), "best", "budget-table")
    moved(lambda: opened.choose_kind("loss"), "experts-why", "target-label")
    moved(lambda: opened.choose("target", "1.33"), "experts", "experts-why")
    moved(lambda: opened.choose("probability", "10"), "command")
    moved(lambda: opened.choose_kind("gap"), "experts-why", "target-label")
    moved(lambda: opened.choose("target", "0.02"), "experts")
    moved(lambda: opened.choose("size", "other"), "remarks")
    moved(lambda: opened.choose("n", "0.0003"), "remarks", "curve-table")
    moved(lambda: opened.page.locator("#reset").click(), "experts", "curve-table")
    assert parse_qs(urlsplit(opened.page.url).fragment) == {
        "method": ["average"],
        "domain": ["macro"],
        "size": ["w128"],
        "return": ["0.9"],
    }


def test_an_address_brings_the_same_view(open_page):
    first = open_page(method="ties", domain="code", size="w48", gap=0.07, budget=3, **PRICED)
    second = open_page(**{k: v[0] for k, v in parse_qs(urlsplit(first.page.url).fragment).items()})
    assert first.plan() == second.plan()
    assert first.cards() == second.cards()
    second.go(method="dare", domain="code", size="w32", **{"return": 0.5})
    assert second.page.locator("#target").input_value() == "50"


def test_what_an_address_says_wrongly_is_as_at_first(open_page):
    opened = open_page(
        method="mean", domain="cooking", size="w1", loss=-3, eps="x", budget=0, probability=7
    )
    assert opened.text("experts") == "5 of 9"
    assert not re.search(r"\b(NaN|undefined|null|Infinity)\b", opened.text("main"))


MISTAKES = [
    ("target", "120", "at most 100%"),
    ("target", "", "above 0%"),
    ("eps", "-1", "above 0"),
    ("eps", "0", "above 0"),
    ("serve", "-2", "0 or more"),
    ("evaluations", "1.5", "whole number"),
    ("budget", "0", "above 0"),
    ("price-0", "0", "above 0"),
]


def test_what_makes_no_sense_is_said_at_its_field(open_page):
    opened = open_page()
    for name, value, words in MISTAKES:
        before, field = opened.cards(), opened.page.locator(f"#{name}")
        at_first = field.input_value()
        field.fill(value)
        assert words in opened.text(f"{name}-problem")
        assert field.get_attribute("aria-invalid") == "true"
        assert opened.cards() == before
        opened.choose("domain", "code")
        assert field.input_value() == value  # to be put right, not to be typed again
        opened.choose("domain", "macro")
        field.fill(at_first)
        assert opened.page.locator(f"#{name}-problem").is_hidden()
        assert field.get_attribute("aria-invalid") == "false"


def test_what_cannot_be_told_is_not_told(open_page):
    opened = open_page("open", loss=0.41)
    assert opened.text("experts") == "not identified"
    assert "floor and tail are not identified" in opened.text("remarks")
    assert "The loss does not bend" in opened.text("remarks")
    assert "no probability can be told" in opened.text("remarks")
    assert opened.text("cost") == "not known"
    assert "7B is left out, because hours are not known" in opened.text("budget-none")
    assert opened.page.locator("#budget-table").is_hidden()
    opened = open_page("bare", loss=0.41)
    assert opened.text("experts") == "unreachable: pool too small"
    assert "20 experts, more than there are" in opened.text("experts-why")
    opened.choose("target", "0.4")
    assert opened.text("experts") == "unreachable"
    assert "floor of 0.4000" in opened.text("experts-why")


def test_names_in_csv_are_no_formulas(open_page):
    opened = open_page("two")
    rows = [{"name": name, "x": -0.5} for name in ("=1+1", "-a", "@a", "plain", "a\rb")]
    csv = opened.page.evaluate(
        "rows => Tables.csv([{ key: 'name' }, { key: 'x' }], rows)",
        rows,
    )
    lines = ["name,x", "'=1+1,-0.5", "'-a,-0.5", "'@a,-0.5", "plain,-0.5", '"a\rb",-0.5', ""]
    assert csv.split("\n") == lines


def test_a_pool_of_one_has_nothing_to_plan(open_page):
    opened = open_page("one")
    assert opened.text("experts") == "none"
    assert opened.text("stop-why") == "The pool has one expert."


def test_tables_are_sorted_by_pointer_and_keyboard(open_page):
    opened = open_page()
    head = opened.page.locator("#laws-table thead th").nth(6)
    assert head.inner_text().startswith("loss at k = 9")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    losses = [float(text) for text in opened.column("laws-table", 7)]
    assert len(losses) == 160
    assert losses == sorted(losses)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in opened.column("laws-table", 7)] == losses[::-1]
    opened.page.locator("#laws-table thead th").nth(1).locator("button").press("Space")
    assert head.get_attribute("aria-sort") is None
    assert opened.column("laws-table", 2) == sorted(opened.column("laws-table", 2))
    opened.choose("domain", "code")
    assert opened.column("laws-table", 2) == sorted(opened.column("laws-table", 2))


def test_a_row_is_chosen_by_its_first_cell(open_page):
    opened = open_page()
    opened.page.get_by_role("button", name="Choose ties, code, w48").press("Enter")
    chosen = {name: opened.page.locator(f"#{name}").input_value() for name in ("method", "size")}
    assert chosen == {"method": "ties", "size": "w48"}
    assert opened.page.locator("#laws-table tr[aria-current=true] td").first.inner_text() == "code"


def test_the_keyboard_is_enough(open_page):
    opened = open_page()
    keys = opened.page.keyboard
    order = []
    for _ in range(60):
        keys.press("Tab")
        order.append(
            opened.page.evaluate("document.activeElement.id || document.activeElement.name")
        )
    wanted = ["theme", "method", "domain", "size", "kind", "target", "slider", "eps", "trained"]
    wanted += ["price-0", "currency", "evaluations", "serve", "budget", "reset", "curve-table-csv"]
    assert [name for name in dict.fromkeys(order) if name in wanted] == wanted
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert opened.page.evaluate(outline) == "solid"
    opened.page.locator("#method").focus()
    keys.press("ArrowDown")
    assert opened.page.locator("#method").input_value() == "task_arithmetic"
    opened.page.locator("input[name=kind]:checked").focus()
    keys.press("ArrowRight")
    assert opened.page.locator("input[name=kind]:checked").input_value() == "loss"
    keys.press("Tab")
    keys.press("Control+a")
    keys.type("0.3")
    assert opened.text("experts") == "unreachable"
    keys.press("Tab")
    keys.press("End")
    assert opened.text("experts") == "1 of 9"
    opened.page.locator(".skip").focus()
    keys.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "answer"
    assert "loss=" in opened.page.url


def test_every_control_has_a_name_and_drawings_have_words(open_page):
    opened = open_page(loss=0.7)
    names = opened.page.evaluate(
        """[...document.querySelectorAll("select, input, button")]
        .filter(field => !(field.labels?.length || field.textContent.trim()
            || field.getAttribute("aria-label") || field.getAttribute("aria-labelledby")))
        .map(field => field.outerHTML)"""
    )
    assert names == []
    label = opened.page.locator("#curve").get_attribute("aria-label")
    assert "average on macro at w128" in label
    assert opened.text("experts") in label
    assert "36 sizes and numbers" in opened.page.locator("#pareto").get_attribute("aria-label")


@pytest.mark.parametrize("name", FILES)
def test_it_fits_a_phone(open_page, name):
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    opened = open_page(name, phone)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 360
    small = opened.page.evaluate(
        """[...document.querySelectorAll("select, button, input")]
        .filter(field => field.offsetParent && !["radio", "checkbox"].includes(field.type)
            && field.getBoundingClientRect().height < 24)
        .map(field => field.outerHTML)"""
    )
    assert small == []
    assert opened.page.locator("#bar").inner_text().endswith(opened.text("experts"))
    opened.page.locator("#bar").tap()
    assert opened.page.locator("#experts").is_visible()


def test_dark_and_light_as_the_system_says_until_the_button_is_pressed(open_page):
    opened = open_page(look={"color_scheme": "dark"})
    paper = "getComputedStyle(document.body).backgroundColor"
    pixel = """(() => { const chart = Chart.getChart("curve");
        return chart.options.scales.x.ticks.color; })()"""
    assert opened.page.evaluate(paper) == "rgb(22, 22, 26)"
    assert opened.page.evaluate(pixel) == "#a9a9b6"
    assert opened.page.locator("#theme").get_attribute("aria-pressed") == "true"
    opened.page.emulate_media(color_scheme="light")
    expect(opened.page.locator("body")).to_have_css("background-color", "rgb(254, 254, 254)")
    assert opened.page.evaluate(pixel) == "#5b5b66"
    opened.page.locator("#theme").click()
    assert opened.page.evaluate(paper) == "rgb(22, 22, 26)"
    opened.page.emulate_media(color_scheme="dark")
    opened.page.emulate_media(color_scheme="light")
    assert opened.page.evaluate(paper) == "rgb(22, 22, 26)"
