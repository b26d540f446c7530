"""Printed, replicated, complete pooling, no pooling and partial pooling of the exposure's slope in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.classical.equal_slopes import EqualityOptions
from cbec_bayes.classical.few import FewClusters
from cbec_bayes.classical.tables import MOST_GROUPS, ColumnSpec, few_cluster_columns, own_columns
from cbec_bayes.estimands.exposures import EXPOSURE, by_exposure, of_exposure
from cbec_bayes.estimands.shrinkage import PATH_COLUMNS, ShrinkagePath, path_of_frame
from cbec_bayes.jobs.difference_sentences import difference_sentences
from cbec_bayes.jobs.differences import DIFFERENCE_COLUMNS, differences, led_by
from cbec_bayes.jobs.differences import FILE as DIFFERENCES
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.fit_settings import content, read_settings
from cbec_bayes.jobs.fit_tables import FittedPanel
from cbec_bayes.jobs.limits import effects_by_exposure, limit_slopes
from cbec_bayes.jobs.specifications import Specified, specified_of_receipts, weigh_specifications
from cbec_bayes.jobs.study import posterior_path
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.exact import pack_or_none, table_in, texts_in, unpack
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE, Origin
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

COMPLETE, NONE = "complete_pooling", "no_pooling"
"""Members at the two ends."""

LIMITS = {COMPLETE: "complete pooling", NONE: "no pooling"}
"""What they are called."""

COMPARE_COLUMNS = (
    "table",
    "column",
    "group",
    "n_units",
    "printed",
    "estimate",
    "crv1_se",
    "cr2_se",
    "crv3_se",
    "wild_p",
    "complete_mean",
    "complete_low",
    "complete_high",
    "no_mean",
    "no_low",
    "no_high",
    "partial_mean",
    "partial_low",
    "partial_high",
    "p_positive",
    "pooling_factor",
    "origin",
    "complete_mcse",
    "no_mcse",
    "partial_mcse",
    "note",
)

MAX_ROWS = 10_000
"""Rows of a panel up to which specifications are weighed without being asked for; the command does for any."""

MAX_GROUPS = 12
"""Groups up to which each is fitted alone: every one has a residual scale to be sampled."""

_BLANK = (None, None, None)


def side_by_side(
    design: Design,
    columns: Sequence[ColumnSpec],
    few: Mapping[str, FewClusters],
    effects: Mapping[str, pd.DataFrame],
    headline: str,
    *,
    printed: Mapping[tuple[str, str, str], str] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Set the slope of the exposure of every column of the classical tables beside the hierarchical ones.

    Parameters
    ----------
    design
        The rows that everything was fitted to; its first term is the exposure.
    columns
        Columns of the classical tables.
    few
        Their regressions with few-cluster inference, by the column's key.
    effects
        effects.csv by model: the headline's, and those of the two ends where they were fitted.
    headline
        Model whose slopes are partially pooled.
    printed
        What is printed, as text, by table, column and term.
    reasons
        Why an end has no numbers, by model, where its fit cannot be used.

    Returns
    -------
    DataFrame
        One row per column, with columns `COMPARE_COLUMNS`. Intervals are 95 %, equal-tailed. Models have all
        regressors: beside a column with other ones there is nothing. Beside a regression of all rows stands the average
        over units. `note` says why a number is missing that would
        stand in the row.
    """
    exposure = design.terms[0]
    rows: list[tuple[object, ...]] = []
    for column in columns:
        if exposure not in column.terms:
            continue
        group = column.group or GROUP_ALL
        there = (printed or {}).get((column.table, column.name, exposure), "")
        found = few.get(column.key)
        n_units = None if found is None else found.regression.n_units
        same = set(column.terms) == set(design.terms)
        at = {COMPLETE: group if same else None, NONE: group if same and group != GROUP_ALL else None}
        pooled, apart = (_row(effects.get(name), at[name]) for name in LIMITS)
        own = _row(effects.get(headline), (column.group or GROUP_AVERAGE) if same else None)
        errors = [None if row is None else row["mcse"] for row in (pooled, apart, own)]
        whole = _row(effects.get(headline), group if same else None)
        rest = (None, None) if own is None or whole is None else (own["p_positive"], whole["pooling_factor"])
        rows.append(
            (
                *(column.table, column.name, group, n_units, there),
                *_classical(found, exposure),
                *(number for row in (pooled, apart, own) for number in _ends(row)),
                *rest,
                str(design.origin),
                *errors,
                "; ".join(f"{LIMITS[name]}: {reason}" for name, reason in (reasons or {}).items() if at[name]),
            )
        )
    frame = pd.DataFrame(rows, columns=list(COMPARE_COLUMNS))
    numbers = [name for name in COMPARE_COLUMNS[5:] if name not in ("origin", "note")]
    return frame.astype({"n_units": "Int64"} | dict.fromkeys(numbers, float))


def _classical(found: FewClusters | None, exposure: str) -> tuple[float | None, ...]:
    if found is None:
        return (None,) * 5
    fit = found.regression
    k = fit.terms.index(exposure)
    numbers = fit.estimate[k], fit.se[k], found.cr2_se[k], found.crv3_se[k], found.wild_p[k]
    return tuple(float(value) for value in numbers)


def _row(effects: pd.DataFrame | None, group: str | None) -> dict[str, float] | None:
    own = pd.DataFrame() if effects is None or group is None else effects[effects["group"] == group]
    return None if own.empty else {str(key): value for key, value in own.iloc[0].items()}


def _ends(row: dict[str, float] | None) -> tuple[float | None, float | None, float | None]:
    return _BLANK if row is None else (row["mean"], row["ci_low"], row["ci_high"])


def compare(
    found: PanelFit,
    ssc: str = "reghdfe",
    *,
    replications: int = 9_999,
    seed: int = 1,
    effects: pd.DataFrame | None = None,
    on_progress: OnProgress = ignore_progress,
) -> pd.DataFrame:
    """Set a fit beside its two limits and the classical regressions; see `side_by_side`.

    With more than `MOST_GROUPS` groups, of all rows alone: effects.csv has every group's own regression. Of several
    exposures each has rows of its own, and is named in a last column ``exposure``.

    Parameters
    ----------
    found
        A fitted model.
    ssc
        Convention of the clustered standard errors.
    seed
        Seed of everything random.
    replications
        Draws of the wild cluster bootstrap.
    effects
        Its effects.csv with intervals of 95 %, from `cbec_bayes.effects`; made here where there is none.
    on_progress
        Called with how much is done.

    Raises
    ------
    GateError
        The fit misses one of its gates. A limit that cannot be fitted, as where a group cannot stand alone, or that
        misses a gate, is blank, with the reason in `note`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> beside = cb.compare(fit, replications=199)
    >>> beside.loc[beside["column"] != "(1)", ["group", "estimate", "complete_mean", "partial_mean"]].round(1)
       group  estimate  complete_mean  partial_mean
    1  (all)       0.8            0.8           0.8
    2   food       0.5            0.8           0.5
    3  metal       0.8            0.8           0.9
    4  paper       1.2            0.8           1.2
    """
    found.diagnostics.require()
    design = found.design
    tables_of = {found.model.name: effects_by_exposure(found, ssc, effects)}
    reasons: dict[str, str] = {}
    for name in (name for name in LIMITS if name not in tables_of):
        if name == NONE and len(design.groups) > MAX_GROUPS:
            reasons[name] = (
                f"each group is fitted alone only up to {MAX_GROUPS} groups, and there are {len(design.groups)}"
            )
            continue
        try:
            member = carried(load_panel_model(name), design).model  # a spread that is none cannot be sampled
            tables_of[name] = dict(limit_slopes(design, member, ssc, seed=seed, on_progress=on_progress))
        except (InputError, GateError) as error:
            reasons[name] = str(error)
    options: dict[str, Any] = {"replications": replications, "seed": seed, "on_progress": on_progress}
    tables = {}
    for exposure in design.exposures:
        led = led_by(design, exposure)
        columns = own_columns(led, MOST_GROUPS)
        few = few_cluster_columns(led, columns, ssc, bootstrapped=led.terms[:1], **options)
        own = {name: table[exposure] for name, table in tables_of.items()}
        tables[exposure] = side_by_side(led, columns, few, own, found.model.name, reasons=reasons)
    return by_exposure(tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What `cbec-bayes compare` finds.

    Attributes
    ----------
    table
        The fit beside its limits and the regressions; see `compare`.
    differences
        Whether its slopes differ; see `cbec_bayes.jobs.differences.differences`.
    said
        The same in sentences.
    path
        From complete to no pooling; None where there is none.
    tau_density
        Posterior density of log tau at the path's values.
    specified
        The slopes under the specifications of the reduced lattice, or of the whole one where they are known; None where
        the panel is longer than `MAX_ROWS`.
    is_long
        Whether it is.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    said: tuple[str, ...]
    path: ShrinkagePath | None = None
    tau_density: Array | None = None
    specified: Specified | None = None
    is_long: bool = False

    def files(self) -> dict[str, str | bytes]:
        """Return the files to write, by name; of fewer than two groups there are no differences."""
        files: dict[str, str | bytes] = {"compare.csv": csv_text(self.table)}
        return files if self.differences.empty else {**files, DIFFERENCES: csv_text(self.differences)}

    def packed(self) -> Any:
        """Return the results as a receipt keeps them."""
        held = {"table": self.table, "differences": self.differences, "said": self.said, "is_long": self.is_long}
        held |= {"path": None if self.path is None else self.path.frame(Origin.OBSERVED)}  # the page says the origin
        return pack_or_none(held | {"tau_density": None if self.tau_density is None else self.tau_density.tolist()})


COMPARE_FILES = ("compare.csv", DIFFERENCES)
"""Files that `compare` may write."""


def compare_folder(
    folder: Path,
    *,
    seed: int | None = None,
    reuse: Sequence[Path] = (),
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> Compared:
    """Set the fit of a folder of `cbec-bayes fit` beside its limits, the regressions and other specifications.

    Parameters
    ----------
    folder, seed, executor, on_progress
        As in `cbec_bayes.jobs.check.check_folder`, errors too.
    reuse
        Folders in which the result of the same comparison may be; see `comparison_of_receipts`.
    """
    held = comparison_of_receipts(reuse, folder, seed=seed)
    if held is not None and (held.specified is not None or held.is_long):
        return held
    found = fit_folder(folder, seed=seed, on_progress=on_progress)
    return compare_fit(found, held, executor=executor, on_progress=on_progress)


def compare_fit(
    found: FittedPanel,
    held: Compared | None = None,
    *,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> Compared:
    """Set a tabulated fit beside its limits, the regressions and other specifications, and say whether slopes differ.

    Parameters
    ----------
    found
        The fit and its tables, with the seed of everything random.
    held
        What is known of it already.
    executor, on_progress
        As in `cbec_bayes.jobs.check.check_folder`.
    """
    compared = _compared(found, on_progress) if held is None else held
    if compared.specified is not None or compared.is_long:
        return compared
    asked: dict[str, Any] = {"ci": found.options.ci, "seed": found.seed}
    weighed = weigh_specifications(found.fit, found.ssc, **asked, executor=executor, on_progress=on_progress)
    return replace(compared, specified=weighed)


def _compared(found: FittedPanel, on_progress: OnProgress) -> Compared:
    """Return a comparison without other specifications."""
    on_progress(Progress("the two limits, and the regressions"))
    ci = found.options.ci
    known = found.effects if ci == CI_PROB else None
    table = compare(found.fit, found.ssc, seed=found.seed, effects=known, on_progress=on_progress)
    asked = EqualityOptions(ssc=found.ssc, seed=found.seed, prob=ci, on_progress=on_progress)
    differ = differences(found.fit, asked, half_width=found.options.rope)
    said: tuple[str, ...] = ()
    for name in found.fit.design.exposures:
        said += (f"Slopes of {name}:",) if said else ()
        said += difference_sentences(of_exposure(differ, name), name, found.fit.model.name, ci)
    path, density = None, None
    if found.fit.collapsed is not None and "tau" in found.fit.collapsed.names:
        on_progress(Progress("from complete to no pooling"))
        path, density = posterior_path(found.fit, seed=found.seed)
    is_long = found.fit.design.n_obs > MAX_ROWS
    return Compared(table=table, differences=differ, said=said, path=path, tau_density=density, is_long=is_long)


def comparison_of_receipts(places: Sequence[Path], folder: Path, *, seed: int | None = None) -> Compared | None:
    """Return the comparison that `compare` or `report` left in one of several folders; None where no receipt holds.

    Parameters
    ----------
    places
        Folders, in the order in which they are looked into.
    folder, seed
        As in `compare_folder`; what the comparison must be of.
    """
    if not places:
        return None
    for packed in receipts.results(places, "compare", content(read_settings(folder, seed=seed), folder)):
        try:
            held = unpack(packed)
            path, density = held["path"], held["tau_density"]
            more = (EXPOSURE,) if EXPOSURE in held["table"] else ()
            return Compared(
                table=table_in(held["table"], (*COMPARE_COLUMNS, *more)),
                differences=table_in(held["differences"], (*DIFFERENCE_COLUMNS, *more)),
                said=texts_in(held["said"]),
                path=None if path is None else path_of_frame(table_in(path, PATH_COLUMNS)),
                tau_density=None if density is None else np.array(density, dtype=float),
                specified=specified_of_receipts(places, folder, seed=seed),
                is_long=bool(held["is_long"]),
            )
        except (KeyError, TypeError, ValueError):
            continue
    return None
