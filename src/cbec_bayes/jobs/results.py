"""Everything that the report of a study shows, computed and not yet rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from cbec_bayes.jobs.calibrate import Shown
from cbec_bayes.jobs.ensemble import Ensemble
from cbec_bayes.jobs.events import EventStudy
from cbec_bayes.jobs.reanalysis import Reanalysis
from cbec_bayes.jobs.specifications import Specified
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.replication import Replication
from cbec_bayes.runtime.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResults:
    """The results of a study that has printed tables.

    Attributes
    ----------
    analysis
        Analysis of the printed tables; see `cbec_bayes.jobs.reanalysis.reanalyse`.
    manifest
        Versions, seed and hashes.
    classical
        Classical tables by study: of this study's panel, and of those reported beside it.
    hierarchical
        Fitted models by study; each has classical tables too.
    compared
        Classical and hierarchical slopes side by side, by study; see `cbec_bayes.jobs.compare.side_by_side`.
    specified
        Slopes under every specification, by study.
    alternatives
        The classical slope in every panel of a study that has several; see
        `cbec_bayes.replication.alternatives.alternatives_frame`.
    events
        Effects by time since adoption, of the observed panel that is put to everything; see
        `cbec_bayes.jobs.events.event_study`.
    no_events
        Why such a panel has none, by study.
    evidence
        What the observed panels say of the average slope; see `cbec_bayes.jobs.evidence.evidence`.
    ensemble
        Many reconstructions under several specifications each; None where there is none.
    calibration
        That ships with the package; None where there is none.
    journal
        Journal of what was unfinished, to be removed once the report is written.
    """

    analysis: Reanalysis
    manifest: Mapping[str, object]
    classical: Mapping[str, Replication] = field(default_factory=dict)
    hierarchical: Mapping[str, StudyFits] = field(default_factory=dict)
    compared: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    specified: Mapping[str, Specified] = field(default_factory=dict)
    alternatives: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    events: Mapping[str, EventStudy] = field(default_factory=dict)
    no_events: Mapping[str, str] = field(default_factory=dict)
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    ensemble: Ensemble | None = None
    calibration: Shown | None = None
    journal: Journal
