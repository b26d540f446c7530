"""Leaving one out: predictive densities of rows, units or groups given all the others.

Given the scales the density of what is left out is a ratio of two collapsed likelihoods, or for a row two numbers of
the inverse covariance; only the scales are left to be averaged over, which Pareto-smoothed importance sampling does
where leaving out changes them little, and a fit to the others where it changes them much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI
from cbec_bayes.bayes.likelihood.row_densities import distances
from cbec_bayes.bayes.model.blocks import Block, Blocks, blocks_for
from cbec_bayes.bayes.model.densities import draw
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.refit import diagnose, refit_scales
from cbec_bayes.bayes.sampling.gates import KHAT_MAX
from cbec_bayes.bayes.sampling.weights import log_sum, smoothed_weights
from cbec_bayes.bayes.whole_units import leave_out_units
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.periods import period_text
from cbec_bayes.panel.within import Array, Codes
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


@dataclass(frozen=True, slots=True)
class LooResult:
    """Log predictive density of each of F parts of a panel given all the others, each of shape (F,).

    Attributes
    ----------
    elpd
        Logarithm of the density; NaN where the others do not identify the model, so that it predicts nothing. Of units
        and groups it is that of changes within units, in orthonormal contrasts: levels of units not seen are anything,
        and so are their trends where trends are flat.
    khat
        Pareto shape of the importance ratios; NaN where the model was refitted instead.
    p
        Two-sided probability of a row that is at least as far out as this one; NaN where the part is no row.
    """

    elpd: Array
    khat: Array
    p: Array


@dataclass(frozen=True, slots=True)
class LooTask:
    """What is asked of a model: how well it predicts each part of a panel from the others.

    Attributes
    ----------
    design, model
        Rows and model; priors are those of all rows.
    what
        The parts.
    seed
        Seed of everything random.
    """

    design: Design
    model: PanelModel
    what: Fold
    seed: int


def leave_one_out(task: LooTask) -> dict[str, Any]:
    """Leave out every part in turn, by the collapsed engine: elpd, khat and p as in `LooResult`, a list each.

    A fourth list, note, says of every part without a density why it has none: `NOT_IDENTIFIED`, or which gate the refit
    without it missed. It is blank for the others.

    Raises
    ------
    InputError, GateError
        As `cbec_bayes.bayes.fit.fit`; the fit to all rows missed a gate.
    """
    blocks = blocks_for(task.design, task.model)
    rows, units = task.what == "row", task.what == "unit" and blocks.unit_scale is None
    cheap = 1 if units else max(1, round(blocks.n_coefficients / _CHEAP))
    fitted = refit_scales(blocks, draws=max(_LEAST, POINTS // cheap), seed=task.seed)
    fitted.diagnostics.require()
    codes, labels = parts(blocks, task.what)
    if rows:
        found = leave_out_each_row(blocks, fitted.collapsed, fitted.points)
    elif units:
        left_out = leave_out_units(blocks, fitted.collapsed, fitted.points, task.seed)
        found = LooResult(left_out.elpd, left_out.khat, np.full(len(labels), np.nan))
    else:
        found = LooResult(*np.full((3, len(labels)), np.nan))
    missed: dict[int, str] = {}
    for part in np.flatnonzero(found.khat > KHAT_MAX) if rows or units else range(len(labels)):
        left = LeftOutPart(blocks, codes == part, rows, fitted.points, task.seed + int(part))
        try:
            found.elpd[part], found.khat[part], again = leave_out(left)
        except GateError as error:
            found.elpd[part], found.khat[part], found.p[part] = np.nan, np.nan, np.nan
            missed[int(part)] = str(error)
            continue
        if rows and again is not None:
            far, _ = distances(fitted.blocks, fitted.collapsed, again, np.array([part]))
            found.p[part] = _two_sided(far[:, 0])
    note = [missed.get(i, NOT_IDENTIFIED) if np.isnan(elpd) else "" for i, elpd in enumerate(found.elpd)]
    return {"elpd": found.elpd.tolist(), "khat": found.khat.tolist(), "p": found.p.tolist(), "note": note}


def leave_out_each_row(blocks: Blocks, collapsed: Collapsed, points: Array) -> LooResult:
    """Leave out each row in turn.

    Parameters
    ----------
    blocks, collapsed
        Model and design; the density.
    points
        Draws of the logarithms of the scales, shape (S, k).

    Notes
    -----
    Given the scales a row is normal (`cbec_bayes.bayes.likelihood.row_densities`). What importance weights are left for
    concerns the scales alone, which is why they are far better behaved than those of densities given effects (Vehtari
    et al., 2016, "integrated" importance sampling).
    """
    n = blocks.design.n_obs
    far, spreads = distances(blocks, collapsed, points, np.arange(n))
    elpd, khat, p = np.full((3, n), np.nan)
    densities = -(far**2 + LOG_2PI) / 2 - np.log(spreads)
    for i in np.flatnonzero(~np.isnan(spreads).any(axis=0)):
        weights, khat[i] = smoothed_weights(-densities[:, i])
        elpd[i] = log_sum(densities[:, i], weights)
        p[i] = _two_sided(far[:, i], weights)
    return LooResult(elpd, khat, p)


def _two_sided(far: Array, weights: Array | None = None) -> float:
    """Return the probability of one as far out, of a mixture of normals; weights equal where none are given."""
    below, above = (float(np.average(special.ndtr(side), weights=weights)) for side in (far, -far))
    return 2 * min(below, above)


@dataclass(frozen=True, slots=True)
class LeftOutPart:
    """One part of a panel, to be left out.

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
        Seed of a refit.
    """

    blocks: Blocks
    rows: NDArray[np.bool_]
    levels: bool
    points: Array
    seed: int


def leave_out(part: LeftOutPart) -> tuple[float, float, Array | None]:
    """Return the log predictive density of a part, the Pareto shape, and draws of the log scales given the others.

    Where the model was refitted the shape is NaN; where it was not there are no draws.

    Raises
    ------
    GateError
        The refit missed a gate.
    """
    # Moments of all rows, where columns were too large to lay out, are not those of the others.
    blocks = replace(part.blocks, moments=None)
    others = _rows_of(blocks, ~part.rows, levels=part.levels)
    if others is None:
        return np.nan, np.nan, None
    constant = 0.0
    if not part.levels:
        units = np.unique(blocks.design.unit[part.rows])
        flat = blocks.flat_of_units(free_levels=True, weighted=False)
        constant = float(flat.log_sizes[units].sum())
        if blocks.unit_scale is not None:
            blocks = _with_free_units(blocks, units[flat.is_there[flat.names.index("unit_effect"), units]])
    every, less = make_collapsed(blocks), make_collapsed(others)
    at = [every.names.index(name) for name in less.names]

    def density(points: Array) -> Array:
        return every.log_likelihood(points) - less.log_likelihood(points[:, at]) + constant

    found = density(part.points)
    weights, khat = smoothed_weights(-found)
    if khat <= KHAT_MAX:
        return log_sum(found, weights), khat, None
    rng = np.random.default_rng([part.seed, 5])
    points = np.empty((REFIT_DRAWS, len(every.names)))
    for j, one in enumerate(every.parameters):
        if one.name not in less.names:  # the residual scale of a group that is left out
            points[:, j] = one.transformation.coordinate(draw(one.prior, rng, (REFIT_DRAWS,)))
    drawn = draw_scales(less, draws=REFIT_DRAWS, chains=1, seed=part.seed, pilot=_PILOT)
    diagnose(drawn).require()
    points[:, at] = drawn.points[0]
    return log_sum(density(points)) - math.log(REFIT_DRAWS), np.nan, points


def _rows_of(blocks: Blocks, mask: NDArray[np.bool_], *, levels: bool) -> Blocks | None:
    """Return blocks on some of their rows, the coefficients the same; None where flat ones are no longer identified.

    Those of units that are left out as wholes are asked for where `levels` are.
    """
    design = blocks.design.holding_spread().rows(mask)

    def cut(block: Block) -> Block:
        return replace(block, regressors=block.regressors[mask], code=None if block.code is None else block.code[mask])

    found = replace(
        blocks,
        design=design,
        flat=tuple(map(cut, blocks.flat)),
        pooled=tuple(map(cut, blocks.pooled)),
        eliminated=tuple(map(cut, blocks.eliminated)),
    )
    asked = np.unique(blocks.design.unit) if levels else np.unique(blocks.design.unit[mask])
    if found.flat_of_units().is_there.sum() < blocks.flat_of_units().is_there[:, asked].sum():
        return None  # the rows left out alone tell a level or a trend of a unit
    columns = found.x[:, : found.n_flat]
    return found if len(identified(columns, found.within(columns), about_mean=False)) == found.n_flat else None


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
    when = [period_text(time, design.frequency) for time in design.times]
    labels = tuple(f"{design.units[u]} {when[t]}" for u, t in zip(design.unit, design.time, strict=True))
    return np.arange(design.n_obs), labels
