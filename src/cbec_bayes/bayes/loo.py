"""Predictive densities of what is left out: rows, units or groups, given all the others.

Given the scales the density of what is left out is a ratio of two collapsed likelihoods, or for a row two numbers of
the inverse covariance; only the scales are left to be averaged over, which Pareto-smoothed importance sampling does
where leaving out changes them little, and a fit to the others where it changes them much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed, unit_products, with_unit_effects
from cbec_bayes.bayes.model.blocks import Block, Blocks, blocks_for
from cbec_bayes.bayes.model.densities import RHO, draw
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.moments.lagged import previous_rows
from cbec_bayes.bayes.posterior import sigma_of_rows
from cbec_bayes.bayes.refit import diagnose, refit
from cbec_bayes.bayes.sampling.gates import KHAT_MAX
from cbec_bayes.bayes.sampling.importance import smoothed_weights
from cbec_bayes.panel.design import Design, identified
from cbec_bayes.panel.within import Array, Codes, means_by
from cbec_bayes.runtime.errors import GateError

Fold = Literal["row", "unit", "group"]
"""What is left out."""

POINTS = 400
"""Draws of the scales that densities are averaged over; fewer where coefficients are many, and a density is dear."""

NOT_IDENTIFIED = "the others do not identify the model"
"""Why a part has no density: a flat coefficient has no other rows to be known from."""

_LEAST, _CHEAP = 100, 50  # draws at the least, and coefficients up to which there are all of them


REFIT_DRAWS = 1_000
_PILOT = 1_000
_CHUNK = 2**22
_SPENT = 1e-9  # of a row's precision: what is left of it where the row alone identifies a coefficient


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Log predictive density of each of F parts of a panel given all the others, each of shape (F,).

    Attributes
    ----------
    elpd
        Logarithm of the density; NaN where the others do not identify the model, so that it predicts nothing. Of units
        and groups it is that of changes within units, in orthonormal contrasts: levels of units not seen are anything.
    khat
        Pareto shape of the importance ratios; NaN where the model was refitted instead.
    p
        Of rows: probability, two-sided, of one as far out as this; NaN of other parts.
    """

    elpd: Array
    khat: Array
    p: Array


@dataclass(frozen=True, slots=True)
class Question:
    """A piece of work: how well a model predicts each part of a panel from the others.

    Attributes
    ----------
    design, model
        Rows and model; priors are those of all rows.
    what
        The parts.
    seed
        Of everything random.
    """

    design: Design
    model: PanelModel
    what: Fold
    seed: int


def held_out(piece: Question) -> dict[str, Any]:
    """Answer a question by the collapsed engine: elpd, khat and p as in `HeldOut`, a list each.

    A fourth list, note, says of every part without a density why it has none: `NOT_IDENTIFIED`, or which gate the refit
    without it missed. It is blank for the others.

    Raises
    ------
    InputError, GateError
        As `cbec_bayes.bayes.fit.fit`; the fit to all rows missed a gate.
    """
    blocks = blocks_for(piece.design, piece.model)
    draws = max(_LEAST, POINTS // max(1, round(blocks.n_coefficients / _CHEAP)))
    found = refit(blocks, draws=draws, seed=piece.seed)
    found.diagnostics.require()
    codes, labels = parts(blocks, piece.what)
    rows = piece.what == "row"
    if rows:
        answer = held_out_rows(blocks, found.collapsed, found.points)
    else:
        answer = HeldOut(*np.full((3, len(labels)), np.nan))
    missed: dict[int, str] = {}
    for part in np.flatnonzero(answer.khat > KHAT_MAX) if rows else range(len(labels)):
        left = Left(blocks, codes == part, rows, found.points, piece.seed + int(part))
        try:
            answer.elpd[part], answer.khat[part], again = left_out(left)
        except GateError as error:
            answer.elpd[part], answer.khat[part], answer.p[part] = np.nan, np.nan, np.nan
            missed[int(part)] = str(error)
            continue
        if rows and again is not None:
            answer.p[part] = _two_sided(_distances(found.blocks, found.collapsed, again, np.array([part]))[0][:, 0])
    note = [missed.get(i, NOT_IDENTIFIED) if np.isnan(elpd) else "" for i, elpd in enumerate(answer.elpd)]
    return {"elpd": answer.elpd.tolist(), "khat": answer.khat.tolist(), "p": answer.p.tolist(), "note": note}


def held_out_rows(blocks: Blocks, collapsed: Collapsed, points: Array) -> HeldOut:
    """Leave out each row in turn.

    Parameters
    ----------
    blocks, collapsed
        Model and design; the density.
    points
        Draws of the logarithms of the scales, shape (S, k).

    Notes
    -----
    With Q the inverse covariance of the outcome given scales, flat coefficients projected out, a row given all others
    is normal about y_i - (Qy)_i / Q_ii with variance 1 / Q_ii. What importance weights are left for concerns the scales
    alone, which is why they are far better behaved than those of densities given effects (Vehtari et al., 2016,
    "integrated" importance sampling).
    """
    n = blocks.design.n_obs
    distances, spreads = _distances(blocks, collapsed, points, np.arange(n))
    elpd, khat, p = np.full((3, n), np.nan)
    for i in np.flatnonzero(~np.isnan(spreads).any(axis=0)):
        density = stats.norm.logpdf(distances[:, i]) - np.log(spreads[:, i])
        weights, khat[i] = smoothed_weights(-density)
        elpd[i] = special.logsumexp(density, b=weights)
        p[i] = _two_sided(distances[:, i], weights)
    return HeldOut(elpd, khat, p)


def _distances(blocks: Blocks, collapsed: Collapsed, points: Array, rows: Codes) -> tuple[Array, Array]:
    """Return how far rows lie from their predictions in predictive sds, and these, shape (S, rows); NaN without one."""
    if collapsed.lagged is None:
        pull, precision, own = _independent_rows(blocks, collapsed, points, rows)
    else:
        pull, precision, own = _lagged_rows(with_unit_effects(_without_unit_effects(blocks)), collapsed, points, rows)
    spread = 1 / np.sqrt(np.where(precision > _SPENT * own, precision, np.nan))
    return pull * spread, spread


def _two_sided(distances: Array, weights: Array | None = None) -> float:
    """Return the probability of one as far out, of a mixture of normals; weights equal where none are given."""
    below, above = (float(np.average(tail(distances), weights=weights)) for tail in (stats.norm.cdf, stats.norm.sf))
    return 2 * min(below, above)


def _independent_rows(blocks: Blocks, collapsed: Collapsed, points: Array, rows: Codes) -> tuple[Array, Array, Array]:
    """Return (Qy)_i, Q_ii and the inverse residual variance of some rows, each of shape (S, rows)."""
    design, every = blocks.design, blocks.x
    unit, x = design.unit[rows], every[rows]
    counts = np.bincount(design.unit)[unit]
    means = means_by(design.unit, np.column_stack([design.y, every]))[unit]
    variance = sigma_of_rows(blocks, collapsed, points, rows) ** 2
    shrink = np.ones_like(variance)
    if collapsed.unit_scale is not None:
        own = collapsed.scales(points)[collapsed.unit_scale][:, None] ** 2
        shrink = own / (own + variance / counts)
    fitted, spread = np.empty_like(variance), np.empty_like(variance)
    own_slope = blocks.unit_slope is not None
    if own_slope:
        squares, products = (found[unit] for found in unit_products(blocks))
        exposure = design.x[rows, 0] - means_by(design.unit, design.x[:, :1])[unit, 0]
        kappa = collapsed.scales(points)["kappa"][:, None]
    step = max(1, _CHUNK // max(x.size, 1))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        given = collapsed.conditional(points[part])
        mean, root = given.mean[:, : x.shape[1]], given.root[:, : x.shape[1]]
        k = shrink[part]
        fitted[part] = mean @ x.T + k * (means[:, 0] - mean @ means[:, 1:].T)
        directions = x - k[:, :, None] * means[:, 1:]
        taken = k / counts
        if own_slope:
            with np.errstate(divide="ignore"):
                share = exposure / (squares + variance[part] / kappa[part] ** 2)
            fitted[part] += share * (products[:, 0] - mean @ products[:, 1:].T)
            directions = directions - share[:, :, None] * products[:, 1:]
            taken = taken + share * exposure
        directions = directions @ root
        spread[part] = np.einsum("snq,snq->sn", directions, directions) + taken * variance[part]
    return (design.y[rows] - fitted) / variance, (1 - spread / variance) / variance, 1 / variance


def _lagged_rows(blocks: Blocks, collapsed: Collapsed, points: Array, rows: Codes) -> tuple[Array, Array, Array]:
    """Do what `_independent_rows` does for AR(1) errors; unit effects are among the coefficients."""
    near = np.isin(blocks.design.unit, blocks.design.unit[rows])  # errors of other units are independent of theirs
    design, x = blocks.design.rows(near), blocks.x[near]
    at = np.searchsorted(np.flatnonzero(near), rows)
    scales = collapsed.scales(points)
    previous, gap = previous_rows(design)
    now = np.flatnonzero(gap > 0)
    before = previous[now]
    pull, precision, own = np.empty((3, len(points), design.n_obs))
    for s in range(len(points)):
        carried = np.zeros(design.n_obs)
        carried[now] = scales[RHO][s] ** gap[now]
        variance = scales["sigma"][s] ** 2 * (1 - carried**2)
        given = collapsed.conditional(points[s : s + 1])

        def inverse(columns: Array, carried: Array = carried, variance: Array = variance) -> Array:
            """Return the inverse covariance of the residuals times columns, shape (n, q)."""
            left = columns.copy()
            left[now] -= carried[now, None] * columns[before]
            left /= variance[:, None]
            found = left.copy()
            found[before] -= carried[now, None] * left[now]
            return found

        residual = design.y - x @ given.mean[0]
        pull[s] = inverse(residual[:, None])[:, 0]
        own[s] = 1 / variance
        own[s, before] += carried[now] ** 2 / variance[now]
        directions = inverse(x) @ given.root[0]
        precision[s] = own[s] - np.einsum("nq,nq->n", directions, directions)
    return pull[:, at], precision[:, at], own[:, at]


def _without_unit_effects(blocks: Blocks) -> Blocks:
    def kept(every: tuple[Block, ...]) -> tuple[Block, ...]:
        return tuple(block for block in every if block.name != "unit_effect")

    return replace(blocks, flat=kept(blocks.flat), pooled=kept(blocks.pooled))


@dataclass(frozen=True, slots=True)
class Left:
    """A piece of work: one part of a panel that is left out.

    Attributes
    ----------
    blocks
        Model and design; priors are those of all rows.
    rows
        The part, shape (n,).
    levels
        Whether levels of the part's units are known from its other rows; False of whole units.
    points
        Draws of the log scales given all rows, shape (S, k).
    seed
        Of a refit.
    """

    blocks: Blocks
    rows: NDArray[np.bool_]
    levels: bool
    points: Array
    seed: int


def left_out(piece: Left) -> tuple[float, float, Array | None]:
    """Return the log predictive density of a part, the Pareto shape, and draws of the log scales given the others.

    Where the model was refitted the shape is NaN; where it was not there are no draws.

    Raises
    ------
    GateError
        The refit missed a gate.
    """
    # Moments of all rows, where columns were too large to lay out, are not those of the others.
    blocks = replace(_without_unit_effects(piece.blocks), moments=None)
    others = _rows_of(blocks, ~piece.rows)
    if others is None:
        return np.nan, np.nan, None
    constant = 0.0
    if not piece.levels:
        units = np.unique(blocks.design.unit[piece.rows])
        constant = float(np.log(np.bincount(blocks.design.unit)[units]).sum() / 2)
        if blocks.model.choice("unit_effect") != "fixed":
            blocks = _with_free_units(blocks, units)
    every, less = make_collapsed(blocks), make_collapsed(others)
    at = [every.names.index(name) for name in less.names]

    def density(points: Array) -> Array:
        return every.log_likelihood(points) - less.log_likelihood(points[:, at]) + constant

    found = density(piece.points)
    weights, khat = smoothed_weights(-found)
    if khat <= KHAT_MAX:
        return float(special.logsumexp(found, b=weights)), khat, None
    rng = np.random.default_rng([piece.seed, 5])
    points = np.empty((REFIT_DRAWS, len(every.names)))
    for j, name in enumerate(every.names):
        if name not in less.names:  # the residual scale of a group that is left out
            points[:, j] = np.log(draw(every.priors[name], rng, (REFIT_DRAWS,)))
    drawn = draw_scales(less, draws=REFIT_DRAWS, chains=1, seed=piece.seed, pilot=_PILOT)
    diagnose(drawn).require()
    points[:, at] = drawn.points[0]
    return float(special.logsumexp(density(points)) - np.log(REFIT_DRAWS)), np.nan, points


def _rows_of(blocks: Blocks, mask: NDArray[np.bool_]) -> Blocks | None:
    """Return blocks on some of their rows, the coefficients the same; None where flat ones are no longer identified."""
    design = blocks.design.holding_spread().rows(mask)

    def cut(block: Block) -> Block:
        return replace(block, regressors=block.regressors[mask], code=None if block.code is None else block.code[mask])

    found = replace(
        blocks,
        design=design,
        flat=tuple(map(cut, blocks.flat)),
        pooled=tuple(map(cut, blocks.pooled)),
        unit_slope=None if blocks.unit_slope is None else cut(blocks.unit_slope),
    )
    columns = found.x[:, : found.n_flat]
    left = columns
    if blocks.model.choice("unit_effect") == "fixed":
        left = columns - means_by(design.unit, columns)[design.unit]
    return found if len(identified(columns, left, about_mean=False)) == found.n_flat else None


def _with_free_units(blocks: Blocks, units: Codes) -> Blocks:
    """Return blocks in which some units have flat effects beside their random ones: their levels are then anything."""
    design = blocks.design
    labels = tuple(design.units[u] for u in units)
    own = (design.unit[:, None] == units).astype(float)
    block = Block(
        name="free_unit_effect",
        dims=("free_unit",),
        labels=(labels,),
        regressors=own,
        scale=None,
        kept=tuple(range(len(units))),
    )
    return replace(blocks, flat=(*blocks.flat, block))


def parts(blocks: Blocks, what: Fold) -> tuple[Codes, tuple[str, ...]]:
    """Return the part of every row, shape (n,), and the parts' labels."""
    design = blocks.design
    if what == "unit":
        return design.unit, design.units
    if what == "group":
        return (np.zeros(0, dtype=np.intp), ()) if design.group is None else (design.group, design.groups)
    labels = tuple(f"{design.units[u]} {design.times[t]:g}" for u, t in zip(design.unit, design.time, strict=True))
    return np.arange(design.n_obs), labels
