"""Checks that could prove a posterior wrong: one file per kind, each returning a `CheckResult`."""

from __future__ import annotations

from cbec_bayes.checks.result import CHECK_COLUMNS, CheckResult, checks_frame

__all__ = ["CHECK_COLUMNS", "CheckResult", "checks_frame"]
