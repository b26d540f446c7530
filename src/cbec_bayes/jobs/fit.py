"""The job behind `cbec-bayes fit`: a panel or its moments in, every table of one fitted model out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cbec_bayes.bayes.fit import ENGINES, Engine, fit
from cbec_bayes.bayes.model.carried import Carried, carried
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.bayes.model.headline import headline
from cbec_bayes.checks.without import without_each_term
from cbec_bayes.classical.conventions import convention
from cbec_bayes.jobs.asked import asked_columns
from cbec_bayes.jobs.fit_settings import (
    OPTIONS,
    FitOptions,
    asked_model,
    content,
    data_of,
    model_of,
    options_of,
    read_settings,
    reading_of,
    seen_from,
    settings_of,
)
from cbec_bayes.jobs.fit_tables import FittedPanel, tables_in, tabulate
from cbec_bayes.jobs.kept import read_kept
from cbec_bayes.jobs.moments_file import load_moments
from cbec_bayes.jobs.neighbours import Refitted, neighbours, read_neighbours, refits_without
from cbec_bayes.panel import read_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.panel.weights import WeightsKind
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.beside import beside
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.opening import file_digest
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

EXACT = 1e-12
"""Share of the outcome's spread below which what is left of it is rounding."""

MAX_UNITS = 3_000
"""Units up to which each can have coefficients that are not eliminated."""

MAX_ROWS_AHEAD = 20_000
"""Rows up to which refits without a term are begun beside the fit: of more, two at once may not fit into memory."""

MAX_GROUPS = 3_000
"""Groups up to which slopes are pooled: work grows with their third power, and three thousand take two minutes."""


def fit_file(
    file: Path,
    *,
    outcome: str | None = None,
    exposure: str | None = None,
    controls: Sequence[str] = (),
    unit: str | None = None,
    time: str | None = None,
    group: str | None = None,
    formula: str | None = None,
    lags: int = 0,
    leads: int = 0,
    slope_on: Sequence[str] = (),
    further: Sequence[str] = (),
    weights: str | None = None,
    weights_kind: str = WeightsKind.ANALYTIC,
    clusters: Sequence[str] = (),
    model: str | None = None,
    engine: str = "auto",
    ssc: str = "reghdfe",
    seed: int = 1,
    reading: Reading = READING,
    options: FitOptions = OPTIONS,
    folder: Path | None = None,
    kept: Path | None = None,
    tables: Mapping[str, Any] | None = None,
    on_progress: OnProgress = ignore_progress,
) -> FittedPanel:
    """Fit a model to a file's panel.

    Parameters
    ----------
    file
        A file in one of the formats of `cbec_bayes.panel.read_frame`.
    outcome, exposure, controls, unit, time, group, formula, lags, leads, slope_on, further, weights, weights_kind
    clusters
        Which columns are meant; see `cbec_bayes.jobs.asked.asked_columns`.
    model
        Name of a panel model, or its TOML file; None for `cbec_bayes.bayes.model.headline.headline`.
    engine
        ``auto``, ``collapsed`` or ``pymc``.
    ssc
        Convention of the clustered standard errors.
    seed
        Seed of everything random.
    reading
        How the file is to be read.
    options
        What else is asked for.
    folder
        That the fit is for, from which its settings name files; default the current one.
    kept
        Folder with the posterior of this very fit, which is then read and not sampled again.
    tables
        Its tables, which are then not made again; see `cbec_bayes.jobs.fit_tables.tables_in`.
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
    options.of(asked_model(model))
    columns: dict[str, Any] = {"outcome": outcome, "exposure": exposure, "controls": controls, "unit": unit}
    columns |= {"time": time, "group": group, "formula": formula, "lags": lags, "leads": leads, "slope_on": slope_on}
    columns |= {"further": further, "weights": weights, "weights_kind": weights_kind, "clusters": clusters}
    asked = asked_columns(**columns)
    on_progress(Progress("reading the panel"))
    panel = read_panel(file, asked, reading=reading)
    design = make_design(panel)
    _require_errors(design, file)
    told = _member(model, design)
    _require_pooled(told, design)
    spec = options.widened(told.model)
    _require_room(spec, len(design.units), len(design.groups))
    settings = settings_of(
        file,
        **columns,
        model=model,
        engine=engine,
        ssc=ssc,
        seed=seed,
        reading=reading,
        options=options,
        folder=folder,
    )
    others = None if kept is None or not options.neighbours else read_neighbours(kept)
    asked_for = options.neighbours and others is None
    with _refits_ahead(design, spec, seed=seed, options=options, wanted=asked_for and engine != "pymc") as ahead:
        if kept is None:
            on_progress(Progress("fitting"))
            # Densities of rows are for the file of the posterior, which is written once the tables are shown.
            found = fit(design, spec, engine=engines[engine], seed=seed, densities=False, on_progress=on_progress)
        else:
            on_progress(Progress("reading the posterior"))
            found = read_kept(kept, design, spec)
        found = replace(found, left_out=told.left_out)
        on_progress(Progress("tables"))
        tabulated = tabulate(found, ssc, panel=panel, seed=seed, settings=settings, options=options, tables=tables)
        if asked_for:
            others = neighbours(found, prob=options.ci, seed=seed, ahead=ahead, on_progress=on_progress)
    return replace(tabulated, neighbours=others)


@contextmanager
def _refits_ahead(
    design: Design, model: PanelModel, *, seed: int, options: FitOptions, wanted: bool
) -> Iterator[Callable[[], Sequence[Refitted]] | None]:
    """Begin the refits without a term beside the fit itself, which they do not need, where that is worth a process."""
    worth = model.is_gaussian and design.n_obs <= MAX_ROWS_AHEAD and bool(without_each_term(model, design))
    if not (wanted and worth):
        yield None
        return
    with beside(partial(refits_without, design, model, options.ci, seed)) as ahead:
        yield ahead


def _member(model: str | None, design: Design) -> Carried:
    """Return what is fitted of what was named, if anything was."""
    if model is None:
        return headline(design)
    spec = load_panel_model(model)
    # A file of one's own is fitted as it is: whoever writes one knows what it is for.
    return carried(spec, design) if model in panel_model_names() else Carried(spec, ())


def _require_pooled(told: Carried, design: Design) -> None:
    """Raise where slopes are to be regressed on characteristics of groups, and the member does not pool them."""
    if design.characteristics is None or told.model.choice("group_slope") == "pooled":
        return
    names = " and ".join(f"'{name}'" for name in design.characteristics.names)
    reasons = " ".join(("", *told.left_out))
    raise InputError(
        f"slopes cannot be regressed on {names}: the model '{told.model.name}' does not pool slopes of groups.{reasons}"
    )


def _require_errors(design: Design, file: Path) -> None:
    """Raise where the regressors explain the outcome without an error, so that no error can have a scale."""
    within = design.effects.within(np.column_stack([design.y, design.x]))
    left = within[:, 0] - within[:, 1:] @ np.linalg.lstsq(within[:, 1:], within[:, 0])[0]
    if np.linalg.norm(left) <= EXACT * np.linalg.norm(design.y - design.y.mean()):
        raise InputError(
            "unit effects, period effects and the regressors explain it completely, so that no slope can be estimated",
            file=file,
            column=design.outcome,
        )


def _require_room(spec: PanelModel, n_units: int, n_groups: int) -> None:
    """Raise where a model has more coefficients than fit into memory, or into an hour."""
    if spec.has_unit_coefficients and spec.is_gaussian and n_units > MAX_UNITS:
        raise InputError(
            f"the model '{spec.name}' gives each unit a coefficient of its own, and {n_units} units are more than the "
            f"{MAX_UNITS} that fit into memory; choose a member without coefficients of units"
        )
    if spec.uses_groups and n_groups > MAX_GROUPS:
        raise InputError(
            f"the model '{spec.name}' gives each group a slope of its own, and {n_groups} groups are more than the "
            f"{MAX_GROUPS} that can be pooled; use coarser groups, or the model 'nested' with these as units"
        )


def fit_moments_file(
    file: Path,
    *,
    model: str | None = None,
    seed: int = 1,
    options: FitOptions = OPTIONS,
    folder: Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> FittedPanel:
    """Fit a model to a file of moments, by the collapsed engine.

    Parameters
    ----------
    file
        What `cbec-bayes moments` wrote.
    model
        Name of a panel model, or its TOML file; None for the one that moments carry.
    seed, options, folder, on_progress
        As in `fit_file`.

    Raises
    ------
    InputError
        The file or the model cannot be used; the model needs rows.
    GateError
        The posterior has no mode.
    """
    spec = options.of(asked_model(model, rows=False), rows=False)
    on_progress(Progress("reading the moments"))
    gathered = load_moments(file)
    _require_room(spec, int(gathered.group_units.sum()), len(gathered.groups))
    on_progress(Progress("fitting"))
    found = fit(gathered, spec, seed=seed, on_progress=on_progress)
    found = replace(found, left_out=headline(gathered).left_out if model is None else ())
    on_progress(Progress("tables"))
    own = None if model is None or model in panel_model_names() else Path(model)
    settings: dict[str, Any] = {"moments": seen_from(folder, file), "sha256": file_digest(file), "seed": seed}
    settings |= {"model": model if own is None else seen_from(folder, own)}
    settings |= {"model_sha256": None if own is None else file_digest(own)}
    settings |= asdict(options)
    return tabulate(found, seed=seed, settings=settings, options=options)


def fit_folder(folder: Path, *, seed: int | None = None, on_progress: OnProgress = ignore_progress) -> FittedPanel:
    """Return the fit of a folder of `cbec-bayes fit`, and require its gates.

    The posterior and the tables are read where the folder's receipt says that they are those that fitting again would
    give; otherwise the model is fitted again.

    Parameters
    ----------
    folder
        With fit.json.
    seed
        Seed of everything random; default the fit's own.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    GateError
        The fit misses one of its gates.
    """
    settings = read_settings(folder, seed=seed)
    receipt = receipts.read(folder, "fit", receipts.digest("fit", content(settings, folder)))
    options = options_of(settings)
    left_out = ("data", "sha256", "model", "model_sha256", "reading", *asdict(options))
    asked = {name: value for name, value in settings.items() if name not in left_out}
    found = fit_file(
        data_of(settings, folder),
        **asked,
        model=model_of(settings, folder),
        reading=reading_of(settings),
        options=options,
        folder=folder,
        kept=None if receipt is None else folder,
        tables=None if receipt is None else tables_in(receipt.results),
        on_progress=on_progress,
    )
    found.fit.diagnostics.require()
    return found
