"""The planner's numbers in headless Chromium: those of `mergelaw plan`, in answers and files."""

import csv
import io
import json
import math
import re
import subprocess
import sys

import pytest
from scipy import stats

from mergelaw.planning.law_file import LawFile, write_laws
from mergelaw.planning.plan import plan
from mergelaw.planning.prices import Prices, read_prices
from tests.planning.browser import PRICED
from tests.planning.page_laws import FILES


def assert_same(page, command, where="plan"):
    """Compare two plans; notes are each one's own."""
    if isinstance(command, dict):
        assert set(page) == set(command), where
        for key in set(command) - {"notes", "reason"}:
            assert_same(page[key], command[key], f"{where}.{key}")
        if "reason" in command:
            assert_same(parts(page["reason"]), parts(command["reason"]), f"{where}.reason")
    elif isinstance(command, list | tuple):
        assert len(page) == len(command), where
        for index, pair in enumerate(zip(page, command, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(command, float) and page is not None:
        assert math.isclose(page, command, rel_tol=1e-9, abs_tol=1e-11), (where, page, command)
    else:
        assert page == command, where


def parts(words):
    """Return words with their numbers as numbers: the page writes some in another way."""
    pieces = re.split(r"(-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)", words.replace("−", "-"))
    return [float(x.replace(",", "")) if i % 2 else x for i, x in enumerate(pieces)]


PRICES = Prices(
    currency="CHF",
    device_hour={"cpu": 0.25},
    serve_billions_of_tokens=2,
    evaluations=3,
    experts="at_hand",
)
"""What `PRICED` says, as the command reads it."""

CLOSE = FILES["large"].laws[0].curves[3].loss[3] + 0.001
"""A target that 4 experts reach with more than even chance, and not surely."""

BELOW = FILES["large"].laws[0].curves[3].floor - 0.001
"""A target under the floor, by less than the floor's error."""

CASES = [
    ("large", "average/macro", {"loss": BELOW}, {"target": BELOW}),
    ("large", "average/macro", {"gap": 1e-18}, {"gap": 1e-18}),
    ("large", "average/macro", {"loss": CLOSE, "eps": 0.02}, {"target": CLOSE, "eps": 0.02}),
    ("large", "average/macro", {"return": 0.9}, {"shares": [0.9]}),
    ("large", "ties/code", {"return": 0.9, "eps": 0.0001}, {"shares": [0.9], "eps": 0.0001}),
    ("large", "dare/physics", {"return": 0.5, "eps": 0.002}, {"shares": [0.5], "eps": 0.002}),
    ("large", "ties/code", {"loss": 0.9, "budget": 1.5}, {"target": 0.9, "budget": 1.5}),
    (
        "large",
        "ties/algebra",
        {"loss": 0.715, "probability": 0.99, "eps": 0.03, "budget": 4, **PRICED},
        {"target": 0.715, "probability": 0.99, "eps": 0.03, "budget": 4, "prices": PRICES},
    ),
    ("large", "average/code", {"loss": 0.3, "budget": 0.001}, {"target": 0.3, "budget": 0.001}),
    ("large", "task_arithmetic/biology", {"gap": 0.05}, {"gap": 0.05}),
    ("large", "task_arithmetic/biology", {"gap": 0.001}, {"gap": 0.001}),
    ("bare", "average/code", {"loss": 0.45}, {"target": 0.45}),
    ("bare", "average/code", {"loss": 0.41}, {"target": 0.41}),
    ("bare", "average/code", {"loss": 0.4}, {"target": 0.4}),
    ("open", "average/code", {"loss": 0.41, "eps": 1e-6}, {"target": 0.41, "eps": 1e-6}),
    ("open", "average/code", {"gap": 0.41}, {"gap": 0.41}),
    ("two", "average/code", {"loss": 0.5}, {"target": 0.5}),
    ("one", "average/code", {"return": 0.8}, {"shares": [0.8]}),
]


@pytest.mark.parametrize("name", FILES)
def test_numbers_are_the_commands(open_page, name):
    opened = open_page(name)
    for law, chosen, asked in [case[1:] for case in CASES if case[0] == name]:
        method, domain = law.split("/")
        opened.go(method=method, domain=domain, **chosen)
        asked = {"eps": 0.01, "prices": Prices(), **asked}
        found = plan(FILES[name], method=method, domain=domain, **asked)
        assert_same(opened.plan(), found.as_dict()["laws"][0])


OFF_LADDER = [
    ("large", "dare/code", {"loss": 1.0}, {"target": 1.0}),
    ("large", "average/macro", {"gap": 0.002}, {"gap": 0.002}),
    ("mean", "ties/macro", {"gap": 0.002}, {"gap": 0.002}),
]


@pytest.mark.parametrize(("name", "law", "chosen", "asked"), OFF_LADDER)
def test_numbers_off_the_ladder_are_the_commands(open_page, name, law, chosen, asked):
    n, file, (method, domain) = 2.5e-4, FILES[name], law.split("/")
    opened = open_page(name, method=method, domain=domain, size="other", n=n, **chosen)
    found = plan(
        file,
        method=method,
        domain=domain,
        size=[size.name for size in file.sizes],
        n_params=n,
        eps=0.01,
        prices=Prices(),
        **asked,
    ).as_dict()["laws"][0]
    shown = opened.plan()
    assert_same(shown["sizes"][-1] | {"size": 0}, found["sizes"][-1] | {"size": 0})
    costs = [choice["cost"] for choice in found["bought"]["choices"]]
    assert_same([choice["cost"] for choice in shown["bought"]["choices"]], costs)
    assert "errors are not known" in opened.text("remarks")
    assert opened.page.locator("#n").is_visible()


def test_the_command_that_it_shows_prints_its_numbers(open_page, tmp_path):
    opened = open_page(
        method="ties", domain="code", size="w80", loss=0.85, budget=2, **{"price cpu": 0.5}
    )
    write_laws(tmp_path / "laws.json", FILES["large"])
    name, prices = opened.download("prices-file")
    (tmp_path / name).write_text(prices, encoding="utf-8")
    words = opened.text("command").replace("--law ladder/", "--law laws.json/").split()
    assert words[:2] == ["mergelaw", "plan"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert_same(opened.plan(), json.loads(done.stdout)["laws"][0])


def test_hours_of_several_devices_are_weighed_by_their_prices_only(open_page):
    opened = open_page("mixed", budget=2)
    assert "several devices (H100, cpu)" in opened.text("budget-none")
    assert "price of an hour of each" in opened.text("best-why")
    opened.choose("price-0", "4")
    assert opened.text("best") == "not known"
    opened.choose("price-1", "0.1")
    assert opened.page.locator("#budget-none").is_hidden()
    prices = Prices(currency="EUR", device_hour={"H100": 4, "cpu": 0.1})
    asked = {"method": "average", "domain": "macro", "shares": [0.9], "eps": 0.01, "budget": 2}
    found = plan(FILES["mixed"], **asked, prices=prices)
    assert_same(opened.plan(), found.as_dict()["laws"][0])


def test_the_prices_file_is_one_that_the_command_reads(open_page, tmp_path):
    name, text = open_page(**PRICED).download("prices-file")
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_prices(tmp_path / name) == PRICES


def test_files_have_every_row_and_every_digit(open_page):
    opened = open_page(method="ties", domain="code", size="w80", loss=0.85)
    name, text = opened.download("curve-table-csv")
    assert name == "ladder-curve.csv"
    rows = list(csv.DictReader(io.StringIO(text)))
    [law] = [x for x in FILES["large"].laws if (x.method, x.domain) == ("ties", "code")]
    curve = law.curves[2]
    assert [float(row["loss"]) for row in rows] == list(curve.loss)
    assert [float(row["measured"]) for row in rows] == list(curve.measured)
    assert [row["gain_stderr"] for row in rows][-1] == ""
    assert len(list(csv.DictReader(io.StringIO(opened.download("budget-table-csv")[1])))) == 36
    assert len(list(csv.DictReader(io.StringIO(opened.download("laws-table-csv")[1])))) == 160
    assert len(list(csv.DictReader(io.StringIO(opened.download("baselines-table-csv")[1])))) == 4
    name, text = opened.download("json")
    assert name == "ladder-laws.json"
    assert LawFile.model_validate(json.loads(text)) == FILES["large"]


def test_what_is_drawn_is_the_curve(open_page):
    opened = open_page(method="ties", domain="code", size="w80", loss=0.85)
    sets = opened.page.evaluate(
        "Chart.getChart('curve').data.datasets.map(({label, data}) => ({label, data}))"
    )
    drawn = {each["label"]: each["data"] for each in sets}
    plan_ = opened.plan()
    [size] = [size for size in plan_["sizes"] if size["size"] == "w80"]
    law = {point["x"]: point["y"] for point in drawn["law"]}
    for point in size["points"]:
        assert math.isclose(law[point["k"]], point["loss"], rel_tol=1e-12)
    assert [p["y"] for p in drawn["upper end"]] == [p["high"] for p in size["points"]]
    assert [p["y"] for p in drawn["95% band"]] == [p["low"] for p in size["points"]]
    assert drawn["floor"][0]["y"] == size["floor"]
    assert drawn["target"][0]["y"] == 0.85
    assert [p["x"] for p in drawn["experts needed"]] == [size["needed"][0]["k"]]
    assert len(drawn["measured"]) == 9


def test_distributions_are_scipys(open_page):
    opened = open_page("one")
    reaches = [-40.0, -6.0, -2.83, -1.0, -0.1, 0.0, 0.5, 2.5, 2.9, 10.0]
    shares = [0.025, 0.1, 0.5, 0.6, 0.9, 0.975, 0.9999]
    for freedom in (None, 1, 2.5, 7, 30, 5000):
        cdf, quantile = opened.page.evaluate(
            """([reaches, shares, freedom]) => [
                reaches.map(t => Distributions.cdf(t, freedom)),
                shares.map(p => Distributions.quantile(p, freedom)),
            ]""",
            [reaches, shares, freedom],
        )
        exact = stats.norm if freedom is None else stats.t(freedom)
        assert cdf == pytest.approx(exact.cdf(reaches), abs=1e-12)
        assert quantile == pytest.approx(exact.ppf(shares), rel=1e-11, abs=1e-11)
