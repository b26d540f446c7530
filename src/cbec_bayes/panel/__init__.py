"""The panel: a long table with roles, read from files of many kinds, validated, with a ledger of every change."""

from __future__ import annotations

from cbec_bayes.panel.interpolate import Interpolation, interpolate
from cbec_bayes.panel.readers import read_frame
from cbec_bayes.panel.reading import Reading
from cbec_bayes.panel.studies import load_study_panel, panel_of, study_frame
from cbec_bayes.panel.table import Panel, Roles
from cbec_bayes.panel.validate import make_panel, read_panel

__all__ = [
    "Interpolation",
    "Panel",
    "Reading",
    "Roles",
    "interpolate",
    "load_study_panel",
    "make_panel",
    "panel_of",
    "read_frame",
    "read_panel",
    "study_frame",
]
