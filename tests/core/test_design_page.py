"""docs/designs.md holds the tables that the code gives."""

import re
from pathlib import Path

from tests.core import design_table

PAGE = Path(__file__).parents[2] / "docs" / "designs.md"


def between(name):
    text = PAGE.read_text(encoding="utf-8")
    return re.search(rf"<!-- {name} -->\n(.*)<!-- /{name} -->", text, re.DOTALL)[1]


def test_its_tables_are_those_of_the_code():
    assert between("families") == design_table.families()
    assert between("budgets") == design_table.budgets()
