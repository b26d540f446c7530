"""The job behind `cbec-bayes fit`: a panel in, every table of one fitted model out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import ENGINES, Engine, PanelFit, fit, restore
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.bayes.moments.gathering import PanelMoments
from cbec_bayes.bayes.moments.of_model import two_way_slopes
from cbec_bayes.classical.conventions import convention
from cbec_bayes.classical.tables import classical_frame, fit_columns, own_columns
from cbec_bayes.estimands import CONTRAST_COLUMNS
from cbec_bayes.estimands.contrasts import contrasts, estimands, ranks
from cbec_bayes.estimands.groups import effects, group_slopes
from cbec_bayes.jobs.moments import load_moments
from cbec_bayes.panel import Panel, Roles, read_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_NEW
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

SETTINGS = "fit.json"
"""File of a fit's folder that says what was fitted."""

POSTERIOR, DIAGNOSTICS = "posterior.nc", "diagnostics.json"
"""Files of a fit's folder from which the fit itself can be read again."""

ROPE = 0.1
"""Half-width of the region of practical equivalence to zero, in units of sd(outcome) / sd(exposure)."""

MAX_CONTRASTED = 40
"""Every two groups are contrasted, and all ranked, up to this many groups."""


EXACT = 1e-12
"""Share of the outcome's spread below which what is left of it is rounding."""

SHOWN_AT_ENDS = 12
"""Of more groups, how many with the largest and with the smallest slopes a terminal shows."""

MAX_UNITS = 3_000
"""Units up to which each can have coefficients that are not eliminated."""

MAX_GROUPS = 3_000
"""Groups up to which slopes are pooled: work grows with their third power, and three thousand take two minutes."""


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
        Of everything random.
    settings
        What was asked for, as fit.json holds it: from it `check` fits the same model to the same file again.
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
        gathered = self.fit.blocks.gathered
        many = len(self.fit.design.groups) if len(self.effects) > MAX_CONTRASTED else 0
        untold = " and ".join(self.fit.unlearned)
        return (
            *([f"Fitted to {gathered}."] if gathered is not None else []),
            *(f"Panel: {note}." for note in (self.panel.notes if self.panel is not None else ())),
            *(
                [f"Shown are the largest and the smallest slopes of {many} groups; effects.csv has all."]
                if many
                else []
            ),
            *([f"The data say nothing about {untold}: the posterior is the prior."] if untold else []),
            f"Priors, in the data's own units: {scales}.",
            f"{found.engine}: {found.draws} draws, smallest effective size {found.ess_bulk_min:.0f}, {trust}. "
            f"Intervals are {CI_PROB:.0%}, equal-tailed. Origin: {self.fit.design.origin}.",
        )

    def shown(self) -> pd.DataFrame:
        """Return the effects as text for a terminal: of many groups the largest and the smallest."""
        rows = self.effects
        if len(rows) > MAX_CONTRASTED:  # the ends; effects.csv has them all
            groups = rows[~rows["group"].isin([GROUP_ALL, GROUP_NEW])]
            order = groups["mean"].rank(method="first")
            ends = groups[(order <= SHOWN_AT_ENDS) | (order > len(groups) - SHOWN_AT_ENDS)]
            rows = pd.concat([ends.sort_values("mean", ascending=False), rows.drop(index=groups.index)])
        text = rows.drop(columns=["n_obs", "origin"]).astype(object)
        for column in text.columns[1:]:
            form = ".0f" if column == "n_units" else ".4g"
            text[column] = ["" if pd.isna(value) else f"{float(value):{form}}" for value in text[column]]
        return text

    def diagnostics(self) -> dict[str, Any]:
        """Return what diagnostics.json holds."""
        return {
            **{key: _no_nan(value) for key, value in self.fit.diagnostics.as_dict().items()},
            "failures": list(self.fit.diagnostics.failures),
            "model": self.fit.model.name,
            "question": self.fit.model.question,
            "priors": {name: str(prior) for name, prior in self.fit.priors.items()},
            "ci_prob": CI_PROB,
            "seed": self.seed,
            "origin": str(self.fit.design.origin),
        }

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
        files: dict[str, str | bytes] = {f"{name}.csv": csv_text(frame) for name, frame in frames.items()}
        files[POSTERIOR] = netcdf_bytes(self.fit.tree)
        if "sha256" in self.settings:  # without, there is no file to fit again
            files[SETTINGS] = json.dumps(dict(self.settings), indent=1, ensure_ascii=False) + "\n"
        files[DIAGNOSTICS] = json.dumps(self.diagnostics(), indent=1) + "\n"
        return files


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def read_tree(path: Path) -> Any:
    """Return the DataTree of a netCDF file, all of it in memory."""
    import xarray as xr

    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return tree.load()


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


def fit_file(
    file: Path,
    *,
    outcome: str,
    exposure: str,
    controls: Sequence[str],
    unit: str,
    time: str,
    group: str | None,
    model: str,
    engine: str = "auto",
    ssc: str = "reghdfe",
    seed: int = 1,
    kept: Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> FittedPanel:
    """Fit a model to a file's panel.

    Parameters
    ----------
    file
        Of one of the formats of `cbec_bayes.panel.read_frame`.
    outcome, exposure, controls, unit, time, group
        Names of columns.
    model
        Name of a panel model, or its TOML file.
    engine
        ``auto``, ``collapsed`` or ``pymc``.
    ssc
        Convention of the clustered standard errors.
    seed
        Of everything random.
    kept
        Folder with the posterior of this very fit, which is then read and not sampled again.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The file, a column or the model cannot be used.
    GateError
        The posterior has no mode.
    """
    engines: dict[str, Engine] = {"auto": "auto", "collapsed": "collapsed", "pymc": "pymc"}
    if engine not in engines:
        raise InputError(f"unknown engine '{engine}'; {suggest(engine, ENGINES)}")
    convention(ssc)
    spec = load_panel_model(model)
    on_progress(Progress("reading the panel"))
    panel = read_panel(
        file, Roles(outcome=outcome, exposure=exposure, controls=tuple(controls), unit=unit, time=time, group=group)
    )
    design = make_design(panel)
    _require_errors(design, file)
    _require_room(spec, len(design.units), len(design.groups))
    if kept is None:
        on_progress(Progress("fitting"))
        found = fit(design, spec, engine=engines[engine], seed=seed, on_progress=on_progress)
    else:
        on_progress(Progress("reading the posterior"))
        diagnostics = json.loads((kept / DIAGNOSTICS).read_text(encoding="utf-8"))
        found = restore(design, spec, read_tree(kept / POSTERIOR), diagnostics)
    on_progress(Progress("tables"))
    settings = settings_of(
        file,
        outcome=outcome,
        exposure=exposure,
        controls=controls,
        unit=unit,
        time=time,
        group=group,
        model=model,
        engine=engine,
        ssc=ssc,
        seed=seed,
    )
    return tabulate(found, ssc, panel=panel, seed=seed, settings=settings)


def _require_errors(design: Design, file: Path) -> None:
    """Raise where the regressors explain the outcome without an error, so that no error can have a scale."""
    within = design.effects.within(np.column_stack([design.y, design.x]))
    left = within[:, 0] - within[:, 1:] @ np.linalg.lstsq(within[:, 1:], within[:, 0])[0]
    if np.linalg.norm(left) <= EXACT * np.linalg.norm(design.y - design.y.mean()):
        raise InputError(
            "it does not vary beyond unit effects, period effects and the regressors: nothing is left to estimate from",
            file=file,
            column=design.outcome,
        )


def tabulate(
    found: PanelFit,
    ssc: str = "reghdfe",
    *,
    panel: Panel | None = None,
    seed: int = 1,
    settings: Mapping[str, Any] | None = None,
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
        Of everything random that follows.
    settings
        What was asked for; default what the fit itself knows.
    """
    design, gathered = found.design, found.blocks.gathered
    slopes = group_slopes(found)
    few = 1 < len(slopes.labels) <= MAX_CONTRASTED and found.model.group_slope != "off"
    shown = slopes.labels if few else ()
    draws = slopes.groups if few else slopes.groups[:, :0]
    asked = {
        "outcome": design.outcome,
        "exposure": design.terms[0],
        "controls": list(design.terms[1:]),
        "model": found.model.name,
        "ssc": ssc,
        "seed": seed,
    }
    return FittedPanel(
        panel=panel,
        fit=found,
        effects=effects(found, ssc),
        classical=classical_frame(fit_columns(design, own_columns(design), ssc), design.origin)
        if gathered is None
        else moments_frame(gathered),
        contrasts=contrasts(found) if few else pd.DataFrame(columns=list(CONTRAST_COLUMNS)),
        ranks=ranks(shown, draws).assign(origin=str(design.origin)),
        estimands=estimands(found, ROPE * float(design.spread[0] / design.spread[1])),
        seed=seed,
        settings=asked if settings is None else settings,
    )


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


def _require_room(spec: PanelModel, n_units: int, n_groups: int) -> None:
    """Raise where a model has more coefficients than fit into memory, or into an hour."""
    own = spec.residual == "ar1" or (spec.unit_slope != "off" and not spec.eliminates_unit_slopes)
    if own and spec.is_gaussian and n_units > MAX_UNITS:
        raise InputError(
            f"the model '{spec.name}' gives each unit a coefficient of its own, and {n_units} units are more than the "
            f"{MAX_UNITS} that fit into memory; another member does not"
        )
    if spec.uses_groups and n_groups > MAX_GROUPS:
        raise InputError(
            f"the model '{spec.name}' gives each group a slope of its own, and {n_groups} groups are more than the "
            f"{MAX_GROUPS} that can be pooled; take coarser groups, or the model 'nested' with units in their place"
        )


def fit_moments_file(
    file: Path, *, model: str, seed: int = 1, on_progress: OnProgress = ignore_progress
) -> FittedPanel:
    """Fit a model to a file of moments, by the collapsed engine.

    Parameters
    ----------
    file
        What `cbec-bayes moments` wrote.
    model
        Name of a panel model, or its TOML file.
    seed, on_progress
        As in `fit_file`.

    Raises
    ------
    InputError
        The file or the model cannot be used; the model needs rows.
    GateError
        The posterior has no mode.
    """
    spec = load_panel_model(model)
    on_progress(Progress("reading the moments"))
    gathered = load_moments(file)
    _require_room(spec, int(gathered.group_units.sum()), len(gathered.groups))
    on_progress(Progress("fitting"))
    found = fit(gathered, spec, seed=seed, on_progress=on_progress)
    on_progress(Progress("tables"))
    settings = {"moments": file.resolve().as_posix(), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    return tabulate(found, seed=seed, settings={**settings, "model": model, "seed": seed})


def settings_of(file: Path, *, model: str, controls: Sequence[str], **asked: Any) -> dict[str, Any]:
    """Return what fit.json holds: the arguments of `fit_file`, with files by where they are and what is in them.

    Raises
    ------
    InputError
        The file or the model cannot be read.
    """
    load_panel_model(model)
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise InputError("no such file", file=file) from None
    except IsADirectoryError:
        raise InputError("this is a folder, a file was expected", file=file) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file) from None
    named = model if model in panel_model_names() else Path(model).resolve().as_posix()
    held = {"data": file.resolve().as_posix(), "sha256": digest, **asked, "controls": list(controls), "model": named}
    return {name: held[name] for name in _ASKED}


def content(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a fit depends on, as content: settings as fit.json holds them, and what is in the model's file.

    Raises
    ------
    InputError
        The model cannot be read.
    """
    return {**settings, "model": repr(load_panel_model(str(settings["model"])))}


def fit_folder(folder: Path, *, seed: int | None = None, on_progress: OnProgress = ignore_progress) -> FittedPanel:
    """Return the fit of a folder of `cbec-bayes fit`, and require its gates.

    The posterior is read where the folder's receipt says that it is the one that fitting again would give; otherwise
    the model is fitted again.

    Parameters
    ----------
    folder
        With fit.json.
    seed
        Of everything random; default the fit's own.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    GateError
        The fit misses one of its gates.
    """
    settings = read_settings(folder)
    if seed is not None:
        settings = {**settings, "seed": seed}
    holds = receipts.read(folder, "fit", receipts.digest("fit", content(settings))) is not None
    options = {name: value for name, value in settings.items() if name not in ("data", "sha256")}
    found = fit_file(Path(settings["data"]), **options, kept=folder if holds else None, on_progress=on_progress)
    found.fit.diagnostics.require()
    return found


_ASKED = (
    "data",
    "sha256",
    "outcome",
    "exposure",
    "controls",
    "unit",
    "time",
    "group",
    "model",
    "engine",
    "ssc",
    "seed",
)


def _is_settings(held: Mapping[str, Any]) -> bool:
    """Return whether each of the settings has its type: the file may have been written, or edited, by anyone."""
    if not held:
        return False
    seed, controls = held["seed"], held["controls"]
    words = [value for name, value in held.items() if name not in ("seed", "controls", "group")]
    return (
        type(seed) is int
        and seed >= 0
        and isinstance(controls, list)
        and all(isinstance(value, str) for value in (*words, *controls, held["group"] or ""))
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what fit.json of a folder says, and see that the data is what it was.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    """
    path = folder / SETTINGS
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if "moments" in held:
            raise InputError("a fit of moments has no rows to be checked, compared or reported by", file=path)
        settings = {name: held[name] for name in _ASKED}
    except (OSError, ValueError, KeyError, TypeError):
        settings = {}
    if not _is_settings(settings):
        raise InputError(f"no folder of a fit: `cbec-bayes fit ... --out {folder}` writes one", file=path)
    data = Path(settings["data"])
    if not data.is_file():
        raise InputError("the fit's data is no longer there", file=data)
    if hashlib.sha256(data.read_bytes()).hexdigest() != settings["sha256"]:
        raise InputError("the data has changed since the fit; fit it again", file=data)
    return settings
