"""Study configs: typed sections, cross-section checks, and the reader that reports all problems."""

from mergelaw.config.load import parse_study, read_study
from mergelaw.config.study import Study

__all__ = ["Study", "parse_study", "read_study"]
