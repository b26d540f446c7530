"""Bayesian hierarchical reanalysis of two-way fixed-effects panels, and of the tables they are published in.

The names below are imported when they are first used, so that ``import cbec_bayes`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbec_bayes.bayes.predictions import with_predictions as with_predictions
    from cbec_bayes.bayes.pymc.twin import build_pymc as build_pymc
    from cbec_bayes.checks.suite import check as check
    from cbec_bayes.classical.few import few_clusters as few_clusters
    from cbec_bayes.classical.regression import twfe as twfe
    from cbec_bayes.classical.tables import interacted as interacted
    from cbec_bayes.estimands.coefficients import coefficients as coefficients
    from cbec_bayes.estimands.contrasts import contrasts as contrasts
    from cbec_bayes.estimands.contrasts import equivalence as equivalence
    from cbec_bayes.estimands.groups import effects as effects
    from cbec_bayes.estimands.shrinkage import shrinkage_path as shrinkage_path
    from cbec_bayes.jobs.compare import compare as compare
    from cbec_bayes.jobs.differences import differences as differences
    from cbec_bayes.jobs.events import EventOptions as EventOptions
    from cbec_bayes.jobs.events import event_study as event_study
    from cbec_bayes.jobs.frames import fit as fit
    from cbec_bayes.jobs.moments import gather as gather
    from cbec_bayes.jobs.moments_file import load_moments as load_moments
    from cbec_bayes.jobs.moments_file import save_moments as save_moments
    from cbec_bayes.jobs.reconstruct import load_problem as load_problem
    from cbec_bayes.jobs.reconstruct import reconstruct as reconstruct
    from cbec_bayes.jobs.specifications import weigh_specifications as weigh_specifications
    from cbec_bayes.panel import Panel as Panel
    from cbec_bayes.panel import Roles as Roles
    from cbec_bayes.panel import load_study_panel as load_study_panel
    from cbec_bayes.panel import make_panel as make_panel
    from cbec_bayes.panel import read_panel as read_panel
    from cbec_bayes.panel.design import make_design as make_design
    from cbec_bayes.panel.entropy import entropy_index as entropy_index
    from cbec_bayes.panel.entropy import load_system as load_system
    from cbec_bayes.panel.example import example_frame as example_frame
    from cbec_bayes.panel.formula import read_formula as read_formula
    from cbec_bayes.panel.study import load_study as load_study
    from cbec_bayes.published.audit import audit as audit
    from cbec_bayes.published.estimate_file import read_estimates as read_estimates
    from cbec_bayes.published.estimates import heterogeneity as heterogeneity
    from cbec_bayes.published.estimates import under_reading as under_reading
    from cbec_bayes.published.printed import load_paper as load_paper
    from cbec_bayes.published.results import contrasts_table as contrasts_table
    from cbec_bayes.published.results import effects_table as effects_table
    from cbec_bayes.published.results import sensitivity_table as sensitivity_table
    from cbec_bayes.published.results import summarise as summarise
    from cbec_bayes.published.summary import fit_summary as fit_summary
    from cbec_bayes.published.summary_model import load_summary_model as load_summary_model
    from cbec_bayes.published.twin import build_summary_pymc as build_summary_pymc
    from cbec_bayes.replication import replicate as replicate
    from cbec_bayes.replication.alternatives import alternatives_frame as alternatives_frame
    from cbec_bayes.replication.alternatives import alternatives_sentence as alternatives_sentence
    from cbec_bayes.replication.alternatives import index_weights_frame as index_weights_frame
    from cbec_bayes.replication.alternatives import shown_alternatives as shown_alternatives
    from cbec_bayes.replication.shown import match_sentence as match_sentence
    from cbec_bayes.replication.shown import shown_tables as shown_tables
    from cbec_bayes.reporting.panelpage import report as report
    from cbec_bayes.reporting.plots import plot_checks as plot_checks
    from cbec_bayes.reporting.plots import plot_effects as plot_effects
    from cbec_bayes.reporting.plots import plot_path as plot_path
    from cbec_bayes.reporting.plots import plot_specifications as plot_specifications
    from cbec_bayes.runtime.errors import GateError as GateError
    from cbec_bayes.runtime.errors import InputError as InputError
    from cbec_bayes.runtime.files import asset_dir as asset_dir

_HOMES = {
    "alternatives_frame": "cbec_bayes.replication.alternatives",
    "alternatives_sentence": "cbec_bayes.replication.alternatives",
    "asset_dir": "cbec_bayes.runtime.files",
    "audit": "cbec_bayes.published.audit",
    "build_pymc": "cbec_bayes.bayes.pymc.twin",
    "build_summary_pymc": "cbec_bayes.published.twin",
    "check": "cbec_bayes.checks.suite",
    "coefficients": "cbec_bayes.estimands.coefficients",
    "compare": "cbec_bayes.jobs.compare",
    "contrasts": "cbec_bayes.estimands.contrasts",
    "contrasts_table": "cbec_bayes.published.results",
    "differences": "cbec_bayes.jobs.differences",
    "effects": "cbec_bayes.estimands.groups",
    "effects_table": "cbec_bayes.published.results",
    "entropy_index": "cbec_bayes.panel.entropy",
    "equivalence": "cbec_bayes.estimands.contrasts",
    "event_study": "cbec_bayes.jobs.events",
    "EventOptions": "cbec_bayes.jobs.events",
    "example_frame": "cbec_bayes.panel.example",
    "few_clusters": "cbec_bayes.classical.few",
    "fit": "cbec_bayes.jobs.frames",
    "fit_summary": "cbec_bayes.published.summary",
    "GateError": "cbec_bayes.runtime.errors",
    "gather": "cbec_bayes.jobs.moments",
    "heterogeneity": "cbec_bayes.published.estimates",
    "index_weights_frame": "cbec_bayes.replication.alternatives",
    "InputError": "cbec_bayes.runtime.errors",
    "interacted": "cbec_bayes.classical.tables",
    "load_moments": "cbec_bayes.jobs.moments_file",
    "load_paper": "cbec_bayes.published.printed",
    "load_problem": "cbec_bayes.jobs.reconstruct",
    "load_study": "cbec_bayes.panel.study",
    "load_study_panel": "cbec_bayes.panel",
    "load_summary_model": "cbec_bayes.published.summary_model",
    "load_system": "cbec_bayes.panel.entropy",
    "make_design": "cbec_bayes.panel.design",
    "make_panel": "cbec_bayes.panel",
    "match_sentence": "cbec_bayes.replication.shown",
    "Panel": "cbec_bayes.panel",
    "plot_checks": "cbec_bayes.reporting.plots",
    "plot_effects": "cbec_bayes.reporting.plots",
    "plot_path": "cbec_bayes.reporting.plots",
    "plot_specifications": "cbec_bayes.reporting.plots",
    "read_estimates": "cbec_bayes.published.estimate_file",
    "read_formula": "cbec_bayes.panel.formula",
    "read_panel": "cbec_bayes.panel",
    "reconstruct": "cbec_bayes.jobs.reconstruct",
    "replicate": "cbec_bayes.replication",
    "report": "cbec_bayes.reporting.panelpage",
    "Roles": "cbec_bayes.panel",
    "save_moments": "cbec_bayes.jobs.moments_file",
    "sensitivity_table": "cbec_bayes.published.results",
    "shown_alternatives": "cbec_bayes.replication.alternatives",
    "shown_tables": "cbec_bayes.replication.shown",
    "shrinkage_path": "cbec_bayes.estimands.shrinkage",
    "summarise": "cbec_bayes.published.results",
    "weigh_specifications": "cbec_bayes.jobs.specifications",
    "twfe": "cbec_bayes.classical.regression",
    "under_reading": "cbec_bayes.published.estimates",
    "with_predictions": "cbec_bayes.bayes.predictions",
}
__all__ = list(_HOMES)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("cbec_bayes")
    if name not in _HOMES:
        raise AttributeError(f"module 'cbec_bayes' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
