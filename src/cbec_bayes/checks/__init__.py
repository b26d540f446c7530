"""Checks that could prove a posterior wrong: one file per kind, each returning a `CheckResult`."""

from __future__ import annotations

from cbec_bayes.checks.result import CHECK_COLUMNS, CheckResult, by_severity, checks_frame
from cbec_bayes.checks.severity import Severity

__all__ = ["CHECK_COLUMNS", "CheckResult", "Severity", "by_severity", "checks_frame"]
