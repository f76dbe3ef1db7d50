"""What jobs cost: measured reports, and one model of work, time and memory; never loads torch."""

from mergelaw.costs.report import cost_report

__all__ = ["cost_report"]
