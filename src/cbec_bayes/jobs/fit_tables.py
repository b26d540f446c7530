"""Every table of one fitted model, and the files that `cbec-bayes fit` writes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.from_moments import two_way_slopes
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.bayes.predictions import with_densities, with_predictions
from cbec_bayes.classical.tables import classical_frame, fit_columns, own_columns
from cbec_bayes.estimands import CONTRAST_COLUMNS
from cbec_bayes.estimands.contrasts import equivalence, ranks, rope_width
from cbec_bayes.estimands.exposures import contrasts_of_exposures, effects_of_exposures
from cbec_bayes.estimands.groups import effects, group_slopes, unit_slopes
from cbec_bayes.estimands.slope_regression import SlopeRegression, slope_regression
from cbec_bayes.jobs.fit_settings import DIAGNOSTICS, OPTIONS, POSTERIOR, SETTINGS, FitOptions
from cbec_bayes.jobs.neighbours import Neighbours
from cbec_bayes.panel import Panel
from cbec_bayes.runtime.exact import pack_or_none, table_of, texts_in, unpack
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.labels import GROUP_ALL, NO_GROUPS, level

_TABLES = (
    "effects",
    "classical",
    "contrasts",
    "ranks",
    "estimands",
    "ledger",
    "unit_slopes",
    "neighbours",
    "slope_regression",
    "effects_of_exposures",
)

FILES = (*(f"{name}.csv" for name in _TABLES), POSTERIOR, SETTINGS, DIAGNOSTICS)
"""Files that `fit` may write."""

_KEPT_IF_ASKED = ("unit_slopes", "effects_of_exposures")
_KEPT = ("effects", "classical", "contrasts", "ranks", "estimands", *_KEPT_IF_ASKED)
"""Tables that a receipt keeps: the ledger is the panel's, and neighbours are read from their file."""

MAX_CONTRASTED = 40
"""Every two groups are contrasted, and all ranked, up to this many groups."""

SHOWN_AT_ENDS = 12
"""Where there are more groups, how many with the largest and with the smallest slopes a terminal shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPanel:
    """What `fit` finds.

    Attributes
    ----------
    panel
        The table that the design is of; None where a design was all there was.
    fit
        The fitted model.
    effects, classical, contrasts, ranks
        Tables; the last two are empty without groups, or with too many.
    estimands
        Average slope over units, and per group and in common the probability of a slope that matters little.
    seed
        Seed of everything random.
    settings
        What was asked for, as fit.json holds it: from it `check` fits the same model to the same file again.
    options
        Those among it that have a default.
    unit_slopes
        The slope of every unit, where it was asked for.
    neighbours
        What the members say that lack one of its terms; None where they were not asked.
    slope_regression
        Regression of the groups' slopes on characteristics of the groups; None where it was not asked for.
    effects_of_exposures
        The effects of every exposure; None where there is one.
    """

    panel: Panel | None
    fit: PanelFit
    effects: pd.DataFrame
    classical: pd.DataFrame
    contrasts: pd.DataFrame
    ranks: pd.DataFrame
    estimands: pd.DataFrame
    seed: int
    settings: Mapping[str, Any]
    options: FitOptions = OPTIONS
    unit_slopes: pd.DataFrame | None = None
    neighbours: Neighbours | None = None
    slope_regression: SlopeRegression | None = None
    effects_of_exposures: pd.DataFrame | None = None

    @property
    def ssc(self) -> str:
        """Convention of the clustered standard errors."""
        return str(self.settings["ssc"])

    @property
    def ledger(self) -> pd.DataFrame:
        """Rows dropped and cells filled; empty where there is no panel."""
        return pd.DataFrame() if self.panel is None else self.panel.ledger

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user should read."""
        scales = "; ".join(f"{name} ~ {prior}" for name, prior in self.fit.priors.items())
        found = self.fit.diagnostics
        trust = f"Pareto k {found.khat:.2f}" if found.khat is not None else f"{found.divergences} divergences"
        passed = f"Gates missed: {'; '.join(found.failures)}." if found.failures else "All gates passed."
        gathered = self.fit.blocks.gathered
        many = len(self.fit.design.groups) if len(self.effects) > MAX_CONTRASTED else 0
        untold = " and ".join(self.fit.unlearned)
        return (
            *(
                [
                    f"The slopes shown are those of {self.fit.design.terms[0]}; effects_of_exposures.csv has those of "
                    f"{' and '.join(self.fit.design.exposures[1:])} as well."
                ]
                if self.effects_of_exposures is not None
                else []
            ),
            *([f"Assumed: {self.fit.model.assumes}"] if self.fit.model.assumes else []),
            *self.fit.left_out,
            *(self.neighbours.said if self.neighbours is not None else ()),
            *(self.slope_regression.said if self.slope_regression is not None else ()),
            *([f"Fitted to {gathered}."] if gathered is not None else []),
            *(f"Panel: {note}." for note in (self.panel.notes if self.panel is not None else ())),
            *(
                [f"Shown are the largest and the smallest slopes of {many} groups; effects.csv has all."]
                if many
                else []
            ),
            *([f"The data say nothing about {untold}: its posterior equals its prior."] if untold else []),
            f"Priors, in the data's own units: {scales}.",
            *(
                [f"The priors of scales between groups and units are {factor:g} times those of the model."]
                if (factor := self.options.prior_scale) != 1
                else []
            ),
            _evidence_note(self.fit),
            f"{found.engine}: {found.draws} draws, smallest effective size {found.ess_bulk_min:.0f}, {trust}. "
            f"{passed} Intervals are {level(self.options.ci)}, equal-tailed. Origin: {self.fit.design.origin}.",
        )

    @property
    def first(self) -> tuple[str, ...]:
        """Those of the notes that are read first: whether the sign of the average slope stays without each term."""
        return () if self.neighbours is None else tuple(self.neighbours.said)

    def shown(self) -> pd.DataFrame:
        """Return the rows of the effects that a terminal shows: of many groups the largest and the smallest slopes."""
        rows = self.effects
        if len(rows) > MAX_CONTRASTED:  # the ends; effects.csv has them all
            groups = rows[~rows["group"].isin(NO_GROUPS)]
            order = groups["mean"].rank(method="first")
            ends = groups[(order <= SHOWN_AT_ENDS) | (order > len(groups) - SHOWN_AT_ENDS)]
            rows = pd.concat([rows[:1], ends.sort_values("mean", ascending=False), rows[1:].drop(index=groups.index)])
        return rows

    def diagnostics(self) -> dict[str, Any]:
        """Return what diagnostics.json holds."""
        return {
            **{key: _no_nan(value) for key, value in self.fit.diagnostics.as_dict().items()},
            **self.fit.evidence.as_dict(),
            "failures": list(self.fit.diagnostics.failures),
            "model": self.fit.model.name,
            "question": self.fit.model.question,
            "assumes": self.fit.model.assumes,
            "left_out": list(self.fit.left_out),
            "neighbours": [] if self.neighbours is None else list(self.neighbours.said),
            "priors": {name: str(prior) for name, prior in self.fit.priors.items()},
            "ci_prob": self.options.ci,
            "seed": self.seed,
            "origin": str(self.fit.design.origin),
        }

    def packed(self) -> Any:
        """Return the tables as a receipt keeps them, None where it cannot; `tables_in` reads them."""
        held: dict[str, Any] = {name: getattr(self, name) for name in _KEPT}
        regressed = self.slope_regression
        held["slope_regression"] = None if regressed is None else {"table": regressed.table, "said": regressed.said}
        return pack_or_none(held)

    def files(self) -> dict[str, str | bytes]:
        """Return the files to write, by name."""
        frames = {
            "effects": self.effects,
            "classical": self.classical,
            "contrasts": self.contrasts,
            "ranks": self.ranks,
            "estimands": self.estimands,
            "ledger": self.ledger,
        }
        frames |= {} if self.unit_slopes is None else {"unit_slopes": self.unit_slopes}
        if self.neighbours is not None and len(self.neighbours.table):
            frames["neighbours"] = self.neighbours.table
        frames |= {} if self.slope_regression is None else {"slope_regression": self.slope_regression.table}
        frames |= {} if self.effects_of_exposures is None else {"effects_of_exposures": self.effects_of_exposures}
        files: dict[str, str | bytes] = {f"{name}.csv": csv_text(frame) for name, frame in frames.items()}
        files[POSTERIOR] = netcdf_bytes(with_predictions(with_densities(self.fit), self.seed).tree)
        if "sha256" in self.settings:  # without, there is no file to fit again
            files[SETTINGS] = json.dumps(dict(self.settings), indent=1, ensure_ascii=False) + "\n"
        files[DIAGNOSTICS] = json.dumps(self.diagnostics(), indent=1) + "\n"
        return files


def _evidence_note(found: PanelFit) -> str:
    if found.log_evidence is None:
        return f"The log evidence of this model is not known: {found.evidence.reason}."
    error = f", with a Monte Carlo error of {found.log_evidence_mcse:.2g}" if found.log_evidence_mcse else ""
    return (
        "The log evidence, which is the log density of these outcomes under this model, is "
        f"{found.log_evidence:.2f}{error}. "
        "Only models with the same flat coefficients can be compared by it."
    )


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def netcdf_bytes(tree: Any) -> bytes:
    """Return a DataTree as the content of a netCDF file, so that it can be written whole like any other.

    It is made in memory: where a disk is full, HDF5 ends the process. When a sampler was at work, and for how long, is
    left out, so that the same seed makes the same file; diagnostics.json says how long.
    """
    timeless = tree.copy()
    for node in timeless.subtree:
        for name in ("created_at", "sampling_time"):
            node.attrs.pop(name, None)
    return bytes(timeless.to_netcdf(engine="h5netcdf"))


def tabulate(
    found: PanelFit,
    ssc: str = "reghdfe",
    *,
    panel: Panel | None = None,
    seed: int = 1,
    settings: Mapping[str, Any] | None = None,
    options: FitOptions = OPTIONS,
    neighbours: Neighbours | None = None,
    tables: Mapping[str, Any] | None = None,
) -> FittedPanel:
    """Return every table of a fit.

    Parameters
    ----------
    found
        A fitted model.
    ssc
        Convention of the clustered standard errors.
    panel
        That the design is of: its ledger and its notes are shown.
    seed
        Seed of everything random that follows.
    settings
        What was asked for; default what the fit itself knows.
    options
        Those among it that have a default.
    neighbours
        What the members say that lack one of its terms.
    tables
        The tables of this very fit where a receipt keeps them, as `tables_in` returns them; None to make them.
    """
    asked: dict[str, Any] = {"settings": settings, "options": options, "neighbours": neighbours}
    if tables is not None and settings is not None:
        return FittedPanel(panel=panel, fit=found, seed=seed, **asked, **tables)
    return _tabulated(found, ssc, panel=panel, seed=seed, **asked)


def _tabulated(
    found: PanelFit,
    ssc: str,
    *,
    panel: Panel | None,
    seed: int,
    settings: Mapping[str, Any] | None,
    options: FitOptions,
    neighbours: Neighbours | None,
) -> FittedPanel:
    """Make every table of a fit; parameters are those of `tabulate`."""
    design, gathered = found.design, found.blocks.gathered
    slopes = group_slopes(found)
    few = 1 < len(slopes.labels) <= MAX_CONTRASTED and found.model.choice("group_slope") != "off"
    shown = slopes.labels if few else ()
    draws = slopes.groups if few else slopes.groups[:, :0]
    asked = {
        "outcome": design.outcome,
        "exposure": design.terms[0],
        "controls": list(design.controls),
        "model": found.model.name,
        "ssc": ssc,
        "seed": seed,
        **asdict(options),
    }
    ci = options.ci
    of_first = effects(found, ssc, prob=ci)
    return FittedPanel(
        panel=panel,
        fit=found,
        effects=of_first,
        effects_of_exposures=effects_of_exposures(found, of_first, ssc, prob=ci),
        classical=classical_frame(fit_columns(design, own_columns(design), ssc, directly=True), design.origin, ci)
        if gathered is None
        else moments_frame(gathered),
        contrasts=contrasts_of_exposures(found, ci) if few else pd.DataFrame(columns=list(CONTRAST_COLUMNS)),
        ranks=ranks(shown, draws).assign(origin=str(design.origin)),
        estimands=equivalence(found, rope_width(design, options.rope), ci),
        seed=seed,
        settings=asked if settings is None else settings,
        options=options,
        unit_slopes=unit_slopes(found, ci) if options.unit_slopes else None,
        neighbours=neighbours,
        slope_regression=slope_regression(found, ssc, prob=ci, seed=seed),
    )


def tables_in(packed: Any) -> dict[str, Any] | None:
    """Return the tables that `FittedPanel.packed` packed, by attribute; None where there are none that can be used."""
    try:
        held = unpack(packed)
        regressed = held["slope_regression"]
        if regressed is not None:
            regressed = SlopeRegression(table_of(regressed["table"]), texts_in(regressed["said"]))
        found: dict[str, Any] = {name: table_of(held[name]) for name in _KEPT if held[name] is not None}
    except (KeyError, TypeError, ValueError):
        return None
    whole = set(_KEPT) - set(_KEPT_IF_ASKED) <= set(found)
    return {**dict.fromkeys(_KEPT_IF_ASKED), **found, "slope_regression": regressed} if whole else None


def moments_frame(gathered: PanelMoments) -> pd.DataFrame:
    """Return classical.csv as far as moments tell it: slopes; clustered errors are made of the scores of units."""
    rows: list[dict[str, object]] = []
    for group in (None, *gathered.groups):
        slopes = two_way_slopes(gathered, group)
        at = slice(None) if group is None else gathered.groups.index(group)
        for term, slope in zip(gathered.terms, () if slopes is None else slopes, strict=slopes is not None):
            own = {"column": group or GROUP_ALL, "term": term, "estimate": float(slope)}
            rows.append(own | {"n": int(np.sum(gathered.group_obs[at])), "vcov": "not known from moments"})
    columns = classical_frame((), gathered.origin).columns
    return pd.DataFrame(rows, columns=columns).assign(origin=str(gathered.origin))
