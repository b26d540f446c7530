"""What there is to choose from: the models with their questions, the studies with their titles."""

from __future__ import annotations

from pathlib import Path

from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.panel.study import load_study, study_names
from cbec_bayes.published.summary_model import load_summary_model, model_names
from cbec_bayes.runtime.files import asset_dir


def model_questions() -> dict[str, str]:
    """Return the question that each model answers, by its name: the family first, then models of printed slopes."""
    panels = {name: load_panel_model(name).question for name in panel_model_names()}
    return panels | {name: load_summary_model(name).question for name in model_names()}


def study_titles() -> dict[str, str]:
    """Return the title of each study, by its name."""
    return {name: load_study(name).title for name in study_names()}


def read_by_lists() -> list[Path]:
    """Return the folders that are listed."""
    return [asset_dir("models"), asset_dir("data") / "studies"]
