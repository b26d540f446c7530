"""Slopes of groups from one regression or from several, with what tests of their equality need of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cbec_bayes.classical.batch import PreparedRegression, prepare
from cbec_bayes.classical.clustering import clustering
from cbec_bayes.classical.few import MOST_CLUSTERS
from cbec_bayes.classical.linearised import NOTHING, bias_reduced, period_columns, span, sum_by
from cbec_bayes.classical.tables import interacted
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.precision import is_rounding
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

type Controls = Literal["common", "by group"]
"""Whether slopes of controls and effects of periods are the same in all groups, or each group has its own."""

CONTROLS: tuple[Controls, ...] = ("common", "by group")

MAX_NUMBERS = 2e7
"""Numbers of a regression's columns, rows times groups, up to which slopes of groups are estimated together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlopeBlock:
    """Slopes that one regression estimates: of all groups, or of one.

    Attributes
    ----------
    at
        Which of the compared groups they are of, positions, shape (k,).
    units
        Codes in the design of its n clusters, units or what these are nested in, shape (n,).
    unit
        Code of each of its m rows among these, shape (m,).
    solve
        What the outcome is multiplied by to give the slopes, shape (k, m).
    residual
        Residuals of the regression, shape (m,).
    basis, reduced
        Orthonormal columns of its regressors and period effects, shape (m, r), and what turns residuals into
        bias-reduced scores, shape (k, m); None with more than `MOST_CLUSTERS` clusters.
    factor
        Small-sample factor of the convention, for CRV1.
    """

    at: Codes
    units: Codes
    unit: Codes
    solve: Array
    residual: Array
    basis: Array | None
    reduced: Array | None
    factor: float

    @property
    def within(self) -> Array:
        """The exposure of each group less effects and all other regressors, shape (k, m)."""
        return np.asarray(np.linalg.solve(self.solve @ self.solve.T, self.solve))

    def scores(self) -> Array:
        """Return what each cluster adds to the slopes, bias-reduced where that is there, shape (k, n)."""
        weights = np.sqrt(self.factor) * self.solve if self.reduced is None else self.reduced
        return np.asarray(sum_by(self.unit, (weights * self.residual).T).T)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSlopes:
    """The exposure's slopes of R groups, to be compared.

    Attributes
    ----------
    controls
        Whether everything else is the same in all groups.
    groups
        Their R labels.
    estimate, covariance
        Estimates of the slopes and their covariance, shapes (R,) and (R, R). The covariance is clustered: CR2 or, with
        very many clusters, CRV1.
    blocks
        One regression, or one for each group.
    n_clusters
        Units of the compared groups, or of all rows where one regression has them all.
    left_out
        Why other groups have no slope that could be compared, by label.
    """

    controls: Controls
    groups: tuple[str, ...]
    estimate: Array
    covariance: Array
    blocks: tuple[SlopeBlock, ...]
    n_clusters: int
    left_out: Mapping[str, str]

    @property
    def is_bias_reduced(self) -> bool:
        """Whether covariances are CR2; with very many clusters they are CRV1."""
        return all(block.reduced is not None for block in self.blocks)


def covariance_of(blocks: Sequence[SlopeBlock], n_groups: int) -> Array:
    """Return the clustered covariance of slopes of several blocks, CR2 or CRV1, shape (R, R)."""
    found = np.zeros((n_groups, n_groups))
    for block in blocks:
        scores = block.scores()
        found[np.ix_(block.at, block.at)] += scores @ scores.T
    return found


def group_slopes(design: Design, controls: Controls, ssc: str = "reghdfe") -> GroupSlopes:
    """Estimate the slope of the exposure in every group.

    Parameters
    ----------
    design
        With groups; its first term is the exposure.
    controls
        Under ``common`` one regression has a slope for each group, and slopes of controls and effects of periods in
        common; under ``by group`` each group has a regression of its own (Tables 3 and 4 of MODEL.md, L3 and L2).
    ssc
        Convention, which says which rows are used.

    Raises
    ------
    InputError
        No regression can be run, or fewer than two groups have a slope with a standard error; the reasons are said.
    """
    clustering(design).require_single()
    found = _together(design, ssc) if controls == "common" else _apart(design, ssc)
    if len(found.groups) < 2:
        reasons = "; ".join(f"{group}: {reason}" for group, reason in found.left_out.items())
        raise InputError(f"fewer than two groups have slopes to compare ({reasons})")
    return found


ONE_UNIT = "it has one unit, and clustered errors need two"
NO_SLOPE = "the exposure does not vary there beyond effects and controls"
NO_ERROR = "its units are too few for a clustered standard error"
EXACT = "its outcome is explained without an error"


def _together(design: Design, ssc: str) -> GroupSlopes:
    """Estimate the slopes of all groups in one regression."""
    n_groups = len(design.groups)
    if design.n_obs * float(n_groups) > MAX_NUMBERS:
        raise InputError(f"{design.n_obs} rows and {n_groups} groups are too many for one regression of all slopes")
    whole = interacted(design)
    prepared = prepare(whole, ssc=ssc)
    residual, exact = _residual(prepared, whole)
    if exact:
        raise InputError("regressors and effects explain the outcome without an error")
    block = _block(prepared, whole, residual)
    n_units = design.counts.group_units
    left_out: dict[str, str] = {}
    kept = {term: k for k, term in enumerate(prepared.kept)}
    rows = []
    scores = block.scores()
    for r, group in enumerate(design.groups):
        k = kept.get(r)
        if k is None:
            left_out[group] = NO_SLOPE
        elif n_units[r] < 2:
            left_out[group] = ONE_UNIT
        elif not _has_error(block, scores, k):
            left_out[group] = NO_ERROR
        else:
            rows.append((r, k))
    at = [k for _, k in rows]
    estimate = (prepared.solve @ prepared.effects.within(whole.y[prepared.rows]))[at]
    blocks = (_of_slopes(block, at, np.arange(len(at))),)
    return GroupSlopes(
        controls="common",
        groups=tuple(design.groups[r] for r, _ in rows),
        estimate=estimate,
        covariance=covariance_of(blocks, len(at)),
        blocks=blocks,
        n_clusters=prepared.clusters.n_clusters,
        left_out=left_out,
    )


def _apart(design: Design, ssc: str) -> GroupSlopes:
    """Estimate the slope of each group in a regression of its own."""
    groups: list[str] = []
    estimates: list[float] = []
    blocks: list[SlopeBlock] = []
    left_out: dict[str, str] = {}
    n_units = design.counts.group_units
    for r, group in enumerate(design.groups):
        if n_units[r] < 2:
            left_out[group] = ONE_UNIT
            continue
        try:
            prepared = prepare(design, group=group, ssc=ssc)
        except InputError as error:
            left_out[group] = error.message
            continue
        residual, exact = _residual(prepared, design)
        if 0 not in prepared.kept or exact:
            left_out[group] = EXACT if exact else NO_SLOPE
            continue
        block = _block(prepared, design, residual)
        if not _has_error(block, block.scores(), 0):
            left_out[group] = NO_ERROR
            continue
        estimates.append(float(prepared.solve[0] @ prepared.effects.within(design.y[prepared.rows])))
        blocks.append(_of_slopes(block, [0], np.array([len(groups)])))
        groups.append(group)
    return GroupSlopes(
        controls="by group",
        groups=tuple(groups),
        estimate=np.array(estimates),
        covariance=covariance_of(blocks, len(groups)),
        blocks=tuple(blocks),
        n_clusters=sum(len(block.units) for block in blocks),
        left_out=left_out,
    )


def _residual(prepared: PreparedRegression, design: Design) -> tuple[Array, bool]:
    """Return the residuals of a regression, and whether they are no more than rounding."""
    y = design.y[prepared.rows]
    left = prepared.effects.within(y)
    slopes = prepared.solve @ left
    residual = left - prepared.within.dot(slopes)
    return residual, is_rounding(residual / prepared.effects.root, y, slopes, np.zeros(len(slopes)))


def _block(prepared: PreparedRegression, design: Design, residual: Array) -> SlopeBlock:
    """Return all slopes of a regression as a block, those of controls too."""
    unit, basis, reduced = prepared.clusters.require_single(), None, None
    every = clustering(design)
    if every.n_clusters <= MOST_CLUSTERS:
        basis = span(prepared.within, period_columns(prepared.effects))
        reduced = bias_reduced(prepared.solve, basis, unit)[0]
    first = np.unique(unit, return_index=True)[1]
    return SlopeBlock(
        at=np.arange(len(prepared.kept)),
        units=every.require_single()[prepared.rows[first]],
        unit=unit,
        solve=prepared.solve,
        residual=residual,
        basis=basis,
        reduced=reduced,
        factor=prepared.factor,
    )


def _of_slopes(block: SlopeBlock, rows: list[int], at: Codes) -> SlopeBlock:
    """Return the block of some slopes of a regression, whose groups are at the positions given."""
    return SlopeBlock(
        at=at,
        units=block.units,
        unit=block.unit,
        solve=block.solve[rows],
        residual=block.residual,
        basis=block.basis,
        reduced=None if block.reduced is None else block.reduced[rows],
        factor=block.factor,
    )


def _has_error(block: SlopeBlock, scores: Array, k: int) -> bool:
    """Return whether a slope has a clustered variance that is more than rounding."""
    size = float(block.solve[k] @ block.solve[k]) * float(block.residual @ block.residual)
    return len(block.units) > 2 and float(scores[k] @ scores[k]) > NOTHING * size
