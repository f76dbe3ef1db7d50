"""config/README.md says what the types say."""

from pathlib import Path

from mergelaw.config.describe import page

ROOT = Path(__file__).parents[2]


def test_config_readme_is_in_step():
    stored = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    assert stored == page(), "run: python -m mergelaw.config.describe > config/README.md"


def test_config_readme_lists_every_config():
    for path in (ROOT / "config").glob("*.yaml"):
        assert f"`{path.name}`" in page()
