"""The job behind `cbec-bayes fit`: a panel in, every table of one fitted model out."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cbec_bayes.bayes.fit import ENGINES, Engine, PanelFit, fit
from cbec_bayes.checks import CHECK_COLUMNS, CheckResult, checks_frame
from cbec_bayes.checks.cells import Place
from cbec_bayes.checks.suite import predictive_checks, run_checks
from cbec_bayes.classical.conventions import convention
from cbec_bayes.classical.tables import ColumnSpec, classical_frame, fit_columns, own_columns
from cbec_bayes.design import Design, make_design
from cbec_bayes.effects import Summary, summarise_draws
from cbec_bayes.effects.groups import (
    ShrinkagePath,
    contrasts,
    effects_table,
    group_slopes,
    ranks,
    shrinkage_path,
)
from cbec_bayes.errors import InputError
from cbec_bayes.family import load_panel_model, panel_model_names
from cbec_bayes.files import csv_text
from cbec_bayes.panel import Panel, Roles, read_panel
from cbec_bayes.spec import CI_PROB, Origin, suggest
from cbec_bayes.within import Array

SETTINGS = "fit.json"
"""File of a fit's folder that says what was fitted."""

MAX_CONTRASTED = 40
"""Every two groups are contrasted, and all ranked, up to this many groups."""


@dataclass(frozen=True, slots=True)
class FittedPanel:
    """What `fit` finds.

    Attributes
    ----------
    panel, fit
        The data, and the fitted model.
    effects, classical, contrasts, ranks
        Tables; the last two are empty without groups, or with too many.
    seed
        Of everything random.
    settings
        What was asked for, as fit.json holds it: from it `check` fits the same model to the same file again.
    """

    panel: Panel
    fit: PanelFit
    effects: pd.DataFrame
    classical: pd.DataFrame
    contrasts: pd.DataFrame
    ranks: pd.DataFrame
    seed: int
    settings: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user should read."""
        scales = "; ".join(f"{name} ~ {prior}" for name, prior in self.fit.priors.items())
        found = self.fit.diagnostics
        how = f"Pareto k {found.khat:.2f}" if found.khat is not None else f"{found.divergences} divergences"
        untold = " and ".join(self.fit.unlearned)
        return (
            *(f"Panel: {note}." for note in self.panel.notes),
            *([f"The data say nothing about {untold}: the posterior is the prior."] if untold else []),
            f"Priors, in the data's own units: {scales}.",
            f"{found.engine}: {found.draws} draws, smallest effective size {found.ess_bulk_min:.0f}, {how}. "
            f"Intervals are {CI_PROB:.0%}, equal-tailed. Origin: {self.panel.origin}.",
        )

    def shown(self) -> pd.DataFrame:
        """Return the effects as text for a terminal."""
        text = self.effects.drop(columns=["n_obs", "origin"]).astype(object)
        for column in text.columns[1:]:
            text[column] = ["" if pd.isna(value) else f"{float(value):.4g}" for value in text[column]]
        return text

    def diagnostics(self) -> dict[str, Any]:
        """Return what diagnostics.json holds."""
        return {
            **{key: _no_nan(value) for key, value in self.fit.diagnostics.as_dict().items()},
            "failures": list(self.fit.diagnostics.failures),
            "model": self.fit.model.name,
            "answers": self.fit.model.answers,
            "priors": {name: str(prior) for name, prior in self.fit.priors.items()},
            "ci_prob": CI_PROB,
            "seed": self.seed,
            "origin": str(self.panel.origin),
        }

    def files(self) -> dict[str, str | bytes]:
        """Return the files to write, by name."""
        frames = {
            "effects": self.effects,
            "classical": self.classical,
            "contrasts": self.contrasts,
            "ranks": self.ranks,
            "ledger": self.panel.ledger,
        }
        files: dict[str, str | bytes] = {f"{name}.csv": csv_text(frame) for name, frame in frames.items()}
        files["posterior.nc"] = netcdf_bytes(self.fit.tree)
        files[SETTINGS] = json.dumps(dict(self.settings), indent=1, ensure_ascii=False) + "\n"
        files["diagnostics.json"] = json.dumps(self.diagnostics(), indent=1) + "\n"
        return files


def _no_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def netcdf_bytes(tree: Any) -> bytes:
    """Return a DataTree as the content of a netCDF file, so that it can be written whole like any other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "posterior.nc"
        tree.to_netcdf(path, engine="h5netcdf")
        return path.read_bytes()


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
    how: str = "reghdfe",
    seed: int = 1,
    step: Callable[[str], None] = lambda _: None,
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
    how
        Convention of the clustered standard errors.
    seed
        Of everything random.
    step
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
    convention(how)
    spec = load_panel_model(model)
    step("reading the panel")
    panel = read_panel(file, Roles(outcome, exposure, tuple(controls), unit, time, group))
    design = make_design(panel)
    step("fitting")
    found = fit(design, spec, engine=engines[engine], seed=seed, origin=panel.origin)
    step("tables")
    slopes = group_slopes(found)
    few = 1 < len(slopes.labels) <= MAX_CONTRASTED and found.model.group_slope != "off"
    shown = slopes.labels if few else ()
    draws = slopes.groups if few else slopes.groups[:, :0]
    return FittedPanel(
        panel,
        found,
        effects_table(found, panel.origin, how),
        classical_frame(fit_columns(design, own_columns(design), how), panel.origin),
        contrasts(shown, draws, panel.origin),
        ranks(shown, draws).assign(origin=str(panel.origin)),
        seed,
        {
            "data": file.resolve().as_posix(),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "outcome": outcome,
            "exposure": exposure,
            "controls": list(controls),
            "unit": unit,
            "time": time,
            "group": group,
            "model": model if model in panel_model_names() else Path(model).resolve().as_posix(),
            "engine": engine,
            "how": how,
            "seed": seed,
        },
    )


STUDY_MODELS = (
    "partial_pooling",
    "complete_pooling",
    "no_pooling",
    "partial_pooling_all",
    "nested",
    "group_variance",
    "correlated_effects",
    "ar1",
    "student_t",
)
"""Members that a study's report fits, the headline first."""


@dataclass(frozen=True, slots=True)
class StudyFits:
    """Every member fitted to one study's panel.

    Attributes
    ----------
    origin
        Of the panel.
    answers
        Model to the question that it answers.
    effects
        effects.csv of every model, with a column `model`.
    contrasts
        Of the headline model.
    diagnostics
        One row per model: model, engine, draws, ess_bulk_min, rhat_max, khat, divergences, origin.
    path
        From complete to no pooling under the headline model.
    tau_density
        Posterior density of log tau at the path's values, shape (M,).
    tau
        Posterior summary of the headline's between-group scale.
    priors
        Of the headline model, in the data's own units.
    unlearned
        Model to the scales of which the data say nothing; see `cbec_bayes.bayes.fit.PanelFit.unlearned`.
    checks
        Of the headline model.
    member_checks
        One row per model and predictive check: model, check, passed, text.
    """

    origin: Origin
    answers: Mapping[str, str]
    effects: pd.DataFrame
    contrasts: pd.DataFrame
    diagnostics: pd.DataFrame
    path: ShrinkagePath
    tau_density: Array
    tau: Summary
    priors: Mapping[str, str]
    unlearned: Mapping[str, tuple[str, ...]]
    checks: tuple[CheckResult, ...]
    member_checks: pd.DataFrame


def fit_models(
    design: Design,
    origin: Origin,
    how: str,
    *,
    models: Sequence[str] = STUDY_MODELS,
    columns: Sequence[ColumnSpec] | None = None,
    printed: Mapping[Place, float] | None = None,
    seed: int = 1,
    step: Callable[[str], None] = lambda _: None,
) -> StudyFits:
    """Fit several members to one design; the first is the headline.

    Parameters
    ----------
    design
        With groups.
    origin
        Of the data.
    how
        Convention of the clustered standard errors.
    models
        Names; the first must pool group slopes.
    columns, printed
        Of the classical tables that the checks make again, and what is printed in them.
    seed
        Of everything random.
    step
        Called with the name of each model.

    Raises
    ------
    GateError
        A fit missed one of its gates.
    """
    effects, rows, answers, unlearned = [], [], {}, {}
    headline: PanelFit | None = None
    tried = []
    for name in models:
        step(name)
        found = fit(design, name, seed=seed, origin=origin)
        found.diagnostics.require()
        headline = headline or found
        answers[name] = found.model.answers
        unlearned[name] = found.unlearned
        predicted = predictive_checks(found, how, origin=origin, columns=columns, printed=printed, seed=seed)
        tried.append(checks_frame(predicted).assign(model=name))
        effects.append(effects_table(found, origin, how).assign(model=name))
        d = found.diagnostics
        rows.append((name, d.engine, d.draws, d.ess_bulk_min, d.rhat_max, d.khat, d.divergences, str(origin)))
    assert headline is not None
    slopes = group_slopes(headline)
    tau = headline.tree["posterior"]["tau"].to_numpy().ravel()
    unit = float(np.median(tau))
    grid = np.geomspace(unit / 50, unit * 50, 60)
    names = ["model", "engine", "draws", "ess_bulk_min", "rhat_max", "khat", "divergences", "origin"]
    return StudyFits(
        origin,
        answers,
        pd.concat(effects, ignore_index=True),
        contrasts(slopes.labels, slopes.groups, origin),
        pd.DataFrame(rows, columns=names),
        shrinkage_path(headline, grid, seed=seed),
        np.asarray(stats.gaussian_kde(np.log(tau))(np.log(grid))),
        summarise_draws(tau),
        {name: str(prior) for name, prior in headline.priors.items()},
        unlearned,
        run_checks(headline, how, origin=origin, columns=columns, printed=printed, seed=seed),
        pd.concat(tried, ignore_index=True)[["model", *CHECK_COLUMNS]],
    )


@dataclass(frozen=True, slots=True)
class CheckedFit:
    """The checks of a fit's folder.

    Attributes
    ----------
    model
        That was fitted.
    results
        Of every check.
    """

    model: str
    results: tuple[CheckResult, ...]

    def files(self) -> dict[str, str | bytes]:
        """Return checks.csv and a table per check that applies, by name."""
        tables = {f"check_{r.name}.csv": csv_text(r.table) for r in self.results if len(r.table)}
        return {"checks.csv": csv_text(checks_frame(self.results)), **tables}


def check_folder(folder: Path, *, seed: int | None = None, step: Callable[[str], None] = lambda _: None) -> CheckedFit:
    """Fit again what a folder of `cbec-bayes fit` says, and run every check.

    Parameters
    ----------
    folder
        With fit.json.
    seed
        Of everything random; default the fit's own.
    step
        Called with the name of each step.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    """
    settings = folder / SETTINGS
    try:
        asked = json.loads(settings.read_text(encoding="utf-8"))
        data, digest = Path(asked.pop("data")), asked.pop("sha256")
        options = {key: asked[key] for key in ("outcome", "exposure", "controls", "unit", "time", "group", "model")}
        options |= {key: asked[key] for key in ("engine", "how")} | {"seed": asked["seed"] if seed is None else seed}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"no folder of a fit: `cbec-bayes fit ... --out {folder}` writes one", file=settings) from None
    if not data.is_file():
        raise InputError("the fit's data is no longer there", file=data)
    if hashlib.sha256(data.read_bytes()).hexdigest() != digest:
        raise InputError("the data has changed since the fit; fit it again", file=data)
    found = fit_file(data, **options, step=step)
    found.fit.diagnostics.require()
    step("checks")
    results = run_checks(found.fit, options["how"], origin=found.panel.origin, seed=options["seed"])
    return CheckedFit(found.fit.model.name, results)
