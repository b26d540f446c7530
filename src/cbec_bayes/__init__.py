"""Bayesian hierarchical reanalysis of two-way fixed-effects panels, and of the tables they are published in.

The names below are imported when they are first used, so that ``import cbec_bayes`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbec_bayes.published.audit import audit as audit
    from cbec_bayes.published.estimates import heterogeneity as heterogeneity
    from cbec_bayes.published.estimates import read_estimates as read_estimates
    from cbec_bayes.published.estimates import under_reading as under_reading
    from cbec_bayes.published.printed import load_paper as load_paper
    from cbec_bayes.published.results import contrasts_table as contrasts_table
    from cbec_bayes.published.results import effects_table as effects_table
    from cbec_bayes.published.results import sensitivity_table as sensitivity_table
    from cbec_bayes.published.results import summarise as summarise
    from cbec_bayes.published.summary import fit_summary as fit_summary
    from cbec_bayes.published.twin import build_pymc as build_pymc
    from cbec_bayes.spec import load_summary_model as load_summary_model

_HOMES = {
    "audit": "cbec_bayes.published.audit",
    "build_pymc": "cbec_bayes.published.twin",
    "contrasts_table": "cbec_bayes.published.results",
    "effects_table": "cbec_bayes.published.results",
    "fit_summary": "cbec_bayes.published.summary",
    "heterogeneity": "cbec_bayes.published.estimates",
    "load_paper": "cbec_bayes.published.printed",
    "load_summary_model": "cbec_bayes.spec",
    "read_estimates": "cbec_bayes.published.estimates",
    "sensitivity_table": "cbec_bayes.published.results",
    "summarise": "cbec_bayes.published.results",
    "under_reading": "cbec_bayes.published.estimates",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cbec_bayes' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
