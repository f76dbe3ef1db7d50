"""What jobs cost: measured reports, and one model of work, time and memory; never loads torch."""

from mergelaw.costs.report import add_work, cost_report

__all__ = ["add_work", "cost_report"]
