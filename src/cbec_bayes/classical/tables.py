"""The regression tables of a study: which columns there are, and every column fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.classical.few import REPLICATIONS, FewClusters, few_clusters
from cbec_bayes.classical.regression import MANY, Regression, twfe
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, Origin
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

ALONE = "(1)"
"""Name of the column of a panel, printed nowhere, that has the exposure as its only regressor."""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column of a regression table.

    Attributes
    ----------
    table, name
        Its place, e.g. ``"3"`` and ``"(2)"``.
    terms
        Its regressors.
    group
        Group whose rows it uses; None for all rows.
    printed
        Whether a published table has it.
    """

    table: str
    name: str
    terms: tuple[str, ...]
    group: str | None
    printed: bool

    @property
    def key(self) -> str:
        """``"table: column"``, as in paper.toml."""
        return f"{self.table}: {self.name}"

    @property
    def said(self) -> str:
        """Name the column in a sentence: by its place in the paper, or by its rows where no paper has printed it."""
        if self.printed:
            return self.key
        if self.group is not None:
            return f"the regression of group {self.group}"
        return "the regression on all rows" + ("" if self.name != ALONE else " with the exposure alone")


MOST_GROUPS = 24
"""Groups up to which each has a column of its own where columns are dear, or are to be read."""


def own_columns(design: Design, most: int | None = None) -> tuple[ColumnSpec, ...]:
    """Return the columns of a panel that no paper has printed: exposure alone, all regressors, and each group.

    With more than `most` groups, if that is given, they have none.
    """
    columns = [ColumnSpec("3", ALONE, design.terms[:1], None, printed=False)]
    if len(design.terms) > 1:
        columns.append(ColumnSpec("3", "(2)", design.terms, None, printed=False))
    groups = design.groups if 1 < len(design.groups) <= (most or len(design.groups)) else ()
    return (*columns, *(ColumnSpec("4", group, design.terms, group, printed=False) for group in groups))


@dataclass(frozen=True, slots=True)
class FittedColumn:
    """A column with its regression, or the reason why there is none."""

    spec: ColumnSpec
    fit: Regression | None
    reason: str


def fit_columns(
    design: Design,
    columns: Sequence[ColumnSpec],
    ssc: str,
    *,
    directly: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> tuple[FittedColumn, ...]:
    """Run the regression of every column; one that its rows cannot carry keeps the reason instead.

    `directly` gives the same numbers without pyfixest, whose import alone takes a second; very many columns are always
    run so. `on_progress` is called with how many are done, as "regressions 3 of 9".
    """
    fitted = []
    for done, column in enumerate(columns):
        on_progress(Progress("regressions", done, len(columns)))
        part = design if column.group is None else design.of_group(column.group)
        try:
            fit = twfe(part, column.terms, ssc=ssc, directly=directly or len(columns) > MANY)
        except InputError as error:
            fitted.append(FittedColumn(column, None, error.message))
            continue
        untold = fit.is_tangled and not column.printed
        fitted.append(FittedColumn(column, None if untold else fit, _TANGLED if untold else ""))
    return tuple(fitted)


_TANGLED = "the exposure and the controls that go with it have no slopes of their own"


def few_cluster_columns(
    design: Design,
    columns: Sequence[ColumnSpec],
    ssc: str,
    *,
    bootstrapped: Sequence[str] | None = None,
    replications: int = REPLICATIONS,
    seed: int = 1,
    on_progress: OnProgress = ignore_progress,
) -> Mapping[str, FewClusters]:
    """Run the few-cluster methods on every column that can be fitted, by the column's key; see `few_clusters`.

    `on_progress` is called with how many are done, as "few-cluster methods 3 of 9".
    """
    options: dict[str, Any] = {"bootstrapped": bootstrapped, "replications": replications, "seed": seed}
    found = {}
    for done, column in enumerate(columns):
        on_progress(Progress("few-cluster methods", done, len(columns)))
        part = design if column.group is None else design.of_group(column.group)
        try:
            few = few_clusters(part, column.terms, ssc=ssc, **options)
        except InputError:
            continue
        if column.printed or not few.regression.is_tangled:
            found[column.key] = few
    return found


def few_frame(found: Mapping[str, FewClusters], columns: Sequence[ColumnSpec], origin: Origin) -> pd.DataFrame:
    """Return table, column, term, vcov, estimate, se, df, p, ci_low, ci_high, n_clusters, origin."""
    frames = [
        found[column.key]
        .frame()
        .assign(
            table=column.table,
            column=column.name,
            n_clusters=found[column.key].regression.n_clusters,
            origin=str(origin),
        )
        for column in columns
        if column.key in found
    ]
    names = [
        "table",
        "column",
        "term",
        "vcov",
        "estimate",
        "se",
        "df",
        "p",
        "ci_low",
        "ci_high",
        "n_clusters",
        "origin",
    ]
    return pd.concat(frames, ignore_index=True)[names] if frames else pd.DataFrame(columns=names)


def classical_frame(fitted: Sequence[FittedColumn], origin: Origin, prob: float = CI_PROB) -> pd.DataFrame:
    """Return the table that classical.csv holds, with intervals of a probability.

    Returns
    -------
    DataFrame
        column ((all) or the group), term, estimate, se, df, p, n, r2, vcov, ssc, ci_low, ci_high, table, origin.
    """
    frames = []
    for column in fitted:
        fit = column.fit
        if fit is None:
            continue
        frames.append(
            fit.frame(prob).assign(
                table=column.spec.table,
                column=column.spec.group or GROUP_ALL,
                df=fit.df,
                n=fit.n_obs,
                r2=fit.r2,
                vcov="CRV1",
                ssc=fit.convention.name,
                origin=str(origin),
            )
        )
    names = ["column", "term", "estimate", "se", "df", "p", "n", "r2", "vcov", "ssc", "ci_low", "ci_high", "table"]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*names, "origin"])
    return frame[[*names, "origin"]]


def interacted(design: Design) -> Design:
    """Return the design with one column of the exposure per group in place of the exposure.

    With unit and time effects in common this is the regression ``d:group + x | unit + time`` (MODEL.md, L3): slopes of
    the exposure per group, everything else pooled. Terms are named ``exposure[group]``.

    Raises
    ------
    InputError
        The design has no groups.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> asked = cb.read_formula("sales ~ price | firm + year", group="sector")
    >>> cb.twfe(cb.interacted(cb.make_design(cb.make_panel(frame, asked)))).terms
    ('price[food]', 'price[metal]', 'price[paper]')
    """
    if design.group is None:
        raise InputError("slopes per group need groups; name their column with --group")
    own = (design.group[:, None] == np.arange(len(design.groups))).astype(float)
    names = tuple(f"{design.terms[0]}[{group}]" for group in design.groups)
    return design.with_regressors(
        (*names, *design.terms[1:]), np.column_stack([own * design.x[:, :1], design.x[:, 1:]])
    )
