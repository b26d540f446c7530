"""The collapsed density of a model on a panel: of its rows, or of tables where there are very many units.

Tables are made about the mode. It is found from some of the units first, then from a coarse table of all, and the last
table is as large as the posterior asks for and as fine as its density has to be known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.tabulated_errors import TabulatedErrors
from cbec_bayes.bayes.likelihood.tabulation import Box, Tabulation, can_tabulate, tabulation
from cbec_bayes.bayes.model.blocks import Blocks, make_blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.sampling.importance import mode_of
from cbec_bayes.bayes.sampling.proposal import Proposal
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError

TOLERANCE = 1e-6
"""Greatest error of the log density in the box: far below what Monte Carlo leaves."""

SAMPLED = 300
"""Units, about, that say where to look for the mode."""

PART = 5_000
"""Units that say how fine a table has to be, where there are more than twice as many."""

_COARSE, _COARSER, _TRIAL = 6, 4, 7  # nodes of each variable
_FINEST = 20_000  # nodes of a table that still costs little where the density is asked for
_REACH_OF_FEWER, _REACH = 6.0, 6.0  # half of a box, in posterior standard deviations of what it is made from
_BOUND = 30.0  # terms of all signs add up to far less than their sizes do
_FURTHER = 1.5  # how much further a box reaches that cut something off
_ATTEMPTS = 10
_CHECKS = 4
_EDGE = 0.9  # share of a half box beyond which a mode counts as near its face
_FACE = 0.97  # the same of any point, whose density has to be low there
_FAR_DOWN = 12.0  # log density below its maximum at which a face cuts nothing off
_TRIED = 2_000
_ASIDE, _ODD = 3.0, 1.5  # standard deviations from the mode, and by how much a normal log density may be missed there
_WIDER, _WIDEST = 6, 3.9  # searches for a mode, and variance in their coordinates, or in those of scales, to stop at
_WALKED, _BURNED = 60, 20  # steps of every walker, and how many of them it needs to get to where the density is


def collapsed_of(blocks: Blocks) -> Collapsed:
    """Return the collapsed density of a model on a panel.

    Errors are those of `cbec_bayes.bayes.likelihood.elimination.make_collapsed`, which takes over where tables cannot
    be made: where the posterior leaves too large a box, or columns are too nearly collinear.
    """
    if can_tabulate(blocks):
        whole = tabulation(blocks)
        found = None if whole is None else _tabulated(whole)
        if found is not None:
            return found
    return make_collapsed(blocks)


@dataclass(frozen=True, slots=True)
class _Mode:
    """The mode of a density of the scales, shape (k,), and the inverse curvature there, (k, k)."""

    point: Array
    covariance: Array


def _tabulated(whole: Tabulation) -> Collapsed | None:
    """Return the density over tables about the mode; None where there is no box that does."""
    try:
        mode = _of_sample(whole)
        part, share = _part_of(whole)
        found = _coarse(part, mode, _COARSE)
        if found is not None and share < 1:
            found = _coarse(whole, found, _COARSER)
        return None if found is None else _fine(whole, found, (part, share))
    except GateError:
        return None


def _part_of(whole: Tabulation) -> tuple[Tabulation, float]:
    """Return the tabulation of some thousand units, and which share of all these are."""
    n_units = len(whole.blocks.design.units)
    if n_units <= 2 * PART:
        return whole, 1.0
    chosen = _spread_out(whole, PART)
    return whole.among([chosen[one] for one in whole.units]), float(chosen.mean())


def _of_sample(whole: Tabulation) -> _Mode:
    """Return the mode and curvature of the density of some units, or of more where these do not identify the model.

    Raises
    ------
    GateError
        There is no mode, or the model is not identified.
    """
    blocks = whole.blocks
    design = replace(blocks.design, held_spread=blocks.design.spread)
    for n in (SAMPLED, 10 * SAMPLED):
        try:
            some = make_blocks(design.rows(_spread_out(whole, n)[design.unit]), blocks.model)
        except InputError:
            continue
        collapsed = make_collapsed(some)
        return _Mode(*mode_of(collapsed.gradient, collapsed.start()))
    raise GateError("the scales of the model cannot be estimated from a sample of the units")


def _spread_out(whole: Tabulation, n: int) -> NDArray[np.bool_]:
    """Return which units are in a sample of n or so that has each group's, shape (N,)."""
    design = whole.blocks.design
    group = design.group_of_unit if design.groups else np.zeros(len(design.units), dtype=np.intp)
    rng, found = np.random.default_rng(0), np.zeros(len(design.units), dtype=np.bool_)
    for r in range(len(whole.groups)):
        own = np.flatnonzero(group == r)
        found[rng.permutation(own)[: max(n // len(whole.groups), 40)]] = True
    return found


def _coarse(whole: Tabulation, mode: _Mode, n: int) -> _Mode | None:
    """Return the mode of a coarse table about that of fewer units; None where it does not lie in any."""
    for _ in range(_ATTEMPTS):
        box = whole.box_about(mode.point, mode.covariance, _REACH_OF_FEWER)
        collapsed = whole.collapsed(box, [n] * box.low.shape[1]).collapsed
        found = _mode_in(collapsed, mode)
        if _edges(collapsed, found.point[None])[0] < _EDGE:
            return found
        mode = replace(mode, point=found.point)
    return None


def _mode_in(collapsed: Collapsed, near: _Mode) -> _Mode:
    """Return the mode, searched in coordinates in which the density that is near is standard.

    A search finds spreads up to twice those of such coordinates, and is repeated where one may be larger.
    """
    for _ in range(_WIDER):
        center, root = near.point, np.linalg.cholesky(near.covariance)

        def gradient(at: Array, center: Array = center, root: Array = root) -> tuple[float, Array]:
            value, slope = collapsed.gradient(center + root @ at)
            return value, root.T @ slope

        point, covariance = mode_of(gradient, np.zeros(len(root)))
        near = _Mode(center + root @ point, root @ covariance @ root.T)
        if np.linalg.eigvalsh(covariance).max() < _WIDEST or np.diag(near.covariance).max() > _WIDEST:
            break
    return near


def _fine(whole: Tabulation, mode: _Mode, part: tuple[Tabulation, float]) -> Collapsed | None:
    """Return the density over a table that holds the posterior and is exact enough; None where none does."""
    reach, bound = _REACH, _BOUND
    box = whole.box_about(mode.point, mode.covariance, reach)
    nodes = _tried(part, box, mode)
    for _ in range(_ATTEMPTS):
        if math.prod(nodes) > _FINEST:
            return None
        made = whole.collapsed(box, nodes, checks=_CHECKS)
        if not made.error <= TOLERANCE:
            if not made.error < np.inf:
                return None
            bound *= min(TOLERANCE / made.error, 0.5)
            asked = _nodes(whole.decay(made.collapsed, mode.point), bound)
            more = [max(n, own) for n, own in zip(nodes, asked, strict=True)]
            nodes = box.nodes(more if more != nodes else [n + 1 for n in nodes])
            continue
        # A coarse table may take the posterior for narrower than it is, which a box of its width would then hide.
        mode = _mode_in(made.collapsed, mode)
        walked = np.empty((0, len(mode.point))) if _is_normal(made.collapsed, mode) else _walked(made.collapsed, mode)
        if _is_within(made.collapsed, mode, walked):
            located = dict(zip(made.collapsed.names, map(float, mode.point), strict=True))
            return replace(made.collapsed, located=located)
        if len(walked):
            about = walked[len(walked) * _BURNED // _WALKED :] - mode.point
            mode = replace(mode, covariance=mode.covariance + about.T @ about / len(about))
        reach *= _FURTHER
        box = whole.box_about(mode.point, mode.covariance, reach)
        nodes = _tried(part, box, mode)
    return None


def _tried(part: tuple[Tabulation, float], box: Box, mode: _Mode) -> list[int]:
    """Return how many nodes of each variable a table needs, from one of some units, which are a share of all."""
    some, share = part
    tried = some.collapsed(box, [_TRIAL] * box.low.shape[1]).collapsed
    return _nodes([sizes / share for sizes in some.decay(tried, mode.point)], _BOUND)


def _nodes(decay: list[Array], bound: float) -> list[int]:
    """Return how many nodes of each variable a table needs, from how the sizes of terms decay with their degrees."""
    found = []
    for sizes in (np.maximum(one, np.finfo(float).tiny) for one in decay):
        if len(sizes) == 1:  # the variable is held at a value
            found.append(1)
            continue
        middle, last = len(sizes) // 2, len(sizes) - 1
        rate = min((sizes[last] / sizes[middle]) ** (1 / (last - middle)), 0.9)
        more = math.log(bound * TOLERANCE * (1 - rate) / sizes[last]) / math.log(rate)
        found.append(max(3, last + 1 + math.ceil(more)))
    return found


def _edges(collapsed: Collapsed, points: Array) -> Array:
    """Return how near to a face of a table points are, shape (S,): one at a face, and zero in the middle.

    The face at a ratio of zero is none: nothing is beyond it.
    """
    errors = collapsed.errors
    assert isinstance(errors, TabulatedErrors)
    scales = collapsed.scales(points)
    return np.asarray(np.max([one.nearness(scales) for one in errors.tables], axis=0))


def _is_normal(collapsed: Collapsed, mode: _Mode) -> bool:
    """Whether the density falls like a normal one where each variable of the tables goes aside from the mode."""
    errors, names = collapsed.errors, collapsed.names
    assert isinstance(errors, TabulatedErrors)
    pairs = {(RHO, "")} | {(scale, one.sigma) for one in errors.tables for scale in one.scales}
    every = np.array([[float((name == a) - (name == b)) for name in names] for a, b in sorted(pairs)])
    every = every[every.any(axis=1)]
    aside = every @ mode.covariance
    aside *= _ASIDE / np.sqrt((aside * every).sum(axis=1, keepdims=True))
    points = np.concatenate([mode.point[None], mode.point + aside, mode.point - aside])
    top, *values = collapsed.log_posterior(points)
    return bool(np.all(np.abs(np.array(values) - top + _ASIDE**2 / 2) < _ODD))


def _walked(collapsed: Collapsed, mode: _Mode) -> Array:
    """Return where walkers come that set out near the mode, shape (S, k), first steps first.

    Each moves on a line through another, so that they find along a bent ridge (Goodman and Weare, 2010).
    """
    k, rng = len(mode.point), np.random.default_rng(4)
    half, visited = k + 10, []
    at = mode.point + 0.5 * rng.standard_normal((2 * half, k)) @ np.linalg.cholesky(mode.covariance).T
    value = collapsed.log_posterior(at)
    at[~np.isfinite(value)] = mode.point
    value = collapsed.log_posterior(at)
    for _ in range(_WALKED):
        for own, others in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
            partner = at[others][rng.integers(half, size=half)]
            stretch = (1 + rng.random(half)) ** 2 / 2
            new = partner + stretch[:, None] * (at[own] - partner)
            found = collapsed.log_posterior(new)
            moves = np.log(rng.random(half)) < (k - 1) * np.log(stretch) + found - value[own]
            at[own] = np.where(moves[:, None], new, at[own])
            value[own] = np.where(moves, found, value[own])
        visited.append(at.copy())
    return np.concatenate(visited)


def _is_within(collapsed: Collapsed, mode: _Mode, walked: Array) -> bool:
    """Whether the density is nothing near the faces of the tables, as far as points about the mode tell."""
    drawn, _ = Proposal(mode.point, 1.5 * mode.covariance).draw(_TRIED, np.random.default_rng(3))
    points = np.concatenate([drawn, walked])
    edges = _edges(collapsed, points)
    near = points[(edges > _FACE) & (edges <= 1)]
    if not len(near):
        return True
    return bool(collapsed.log_posterior(near).max() < collapsed.gradient(mode.point)[0] - _FAR_DOWN)
