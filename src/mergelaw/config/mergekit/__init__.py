"""mergekit's YAML (version 0.1.5) read as a recipe, and a recipe written as mergekit's YAML."""

from mergelaw.config.mergekit.reading import from_mergekit, is_mergekit
from mergelaw.config.mergekit.writing import to_mergekit

__all__ = ["from_mergekit", "is_mergekit", "to_mergekit"]
