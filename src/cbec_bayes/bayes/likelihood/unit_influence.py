"""How the posterior mean of a slope moves with the weight of each unit: what the infinitesimal jackknife is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.by_group_conditional import ByGroupConditional
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional
from cbec_bayes.bayes.likelihood.residual_covariance import mean_names
from cbec_bayes.bayes.likelihood.rows import sigma_of_units
from cbec_bayes.bayes.likelihood.unit_densities import (
    ChangesOfUnits,
    changes_of_units,
    coefficients_of_groups,
    of_each_group,
)
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True)
class UnitInfluence:
    """How m posterior means move with the weights of N units.

    Attributes
    ----------
    derivative
        Derivative of each mean with respect to the weight of each unit, shape (N, m).
    error
        Monte Carlo variance of the derivatives about their mean over units, summed over units, shape (m,): a sum of
        squares of them is too large by so much.
    """

    derivative: Array
    error: Array


def unit_influence(blocks: Blocks, collapsed: Collapsed, points: Array, loadings: Array) -> UnitInfluence:
    """Return the derivatives of posterior means in the weights of units.

    Parameters
    ----------
    blocks, collapsed
        Model and design, with its rows; the density.
    points
        Draws of the scales, shape (S, k).
    loadings
        Loadings of m sums of coefficients and of means over units, as in `Collapsed.linear`, shape (m, p).

    Notes
    -----
    With weight w on the log density l_i of a unit's rows given coefficients and scales, what the unit has of its own
    integrated out, the derivative of E(q) in w at one is the posterior covariance of q and l_i (Giordano and Broderick,
    2023). Given the scales the coefficients are normal, so that it has a part in closed form and one between scales:

        E_theta(a' R_i' e_i) + cov_theta(E(q | theta), c_i - (e_i' e_i + tr H_i) / 2),    a = A^-1 q,

    in the notation of `cbec_bayes.bayes.likelihood.unit_densities.unit_densities`, c_i being minus half of ln|V_i|.
    """
    system = changes_of_units(blocks)
    shares = _shares_of_units(blocks, collapsed, loadings[:, collapsed.n_coefficients :])
    asked = loadings[:, : collapsed.n_coefficients]
    direct = np.empty((len(points), len(system.units), len(loadings)))
    means, densities = np.empty((len(points), len(loadings))), np.empty((len(points), len(system.units)))
    for part in system.chunks(len(points)):
        direct[part], means[part], densities[part] = _given_scales(system, collapsed, points[part], (asked, shares))
    every = direct + (densities - densities.mean(axis=0))[:, :, None] * (means - means.mean(axis=0))[:, None, :]
    derivative = every.mean(axis=0)
    every -= every.mean(axis=1, keepdims=True)
    return UnitInfluence(derivative, every.var(axis=0).sum(axis=0) / len(points))


def _shares_of_units(blocks: Blocks, collapsed: Collapsed, loadings: Array) -> dict[str, Array]:
    """Return by scale the share of each unit's own coefficient in sums of means over units, shape (N, m)."""
    design = blocks.design
    group = design.group_of_unit if design.groups else np.zeros(len(design.units), dtype=np.intp)
    sizes = np.bincount(group)
    found = {}
    for direction in blocks.directions:
        names = mean_names([direction.name], design.groups)
        if direction.scale is not None and names[0] in collapsed.unit_means:
            at = [collapsed.unit_means.index(name) for name in names]
            found[direction.scale] = (loadings[:, at] / sizes).T[group]
    return found


def _given_scales(
    system: ChangesOfUnits, collapsed: Collapsed, points: Array, loadings: tuple[Array, dict[str, Array]]
) -> tuple[Array, Array, Array]:
    """Return, given the scales, covariances (S, N, m), means (S, m), and mean log densities (S, N)."""
    asked, shares = loadings
    scales = collapsed.scales(points)
    given_all = coefficients_of_groups(collapsed, scales)
    known = of_each_group(given_all)
    group = system.design.group_of_unit if len(known) > 1 else np.zeros(len(system.units), dtype=np.intp)
    sums: Array = np.repeat(asked[None], len(points), axis=0)
    mean = np.zeros((len(points), len(asked)))
    sigma = sigma_of_units(system.design, collapsed.sigmas, scales)
    rows, constants = [], np.empty((len(points), len(system.units)))
    for u, inverse, constant in system.roots(scales, sigma, np.arange(len(system.units))):
        own, at = system.changes[system.units[u].at], known[group[u]][0]
        y, x = inverse @ own[:, 0], inverse @ own[:, 1:][:, at]
        rows.append((y, x))
        constants[:, u] = constant
        for name, share in shares.items():
            # A unit's own coefficient given its rows: its variance times what the covariance takes of the residuals.
            direction = inverse @ dict(system.units[u].directions)[name]
            taken = scales[name][:, None] ** 2 * direction
            mean += np.einsum("sn,sn->s", taken, y)[:, None] * share[u]
            sums[:, :, at] -= share[u][:, None] * np.einsum("sn,snp->sp", taken, x)[:, None]
    across = _covariances(given_all, sums)
    direct, densities = np.empty((len(points), len(rows), len(asked))), constants
    for u, (y, x) in enumerate(rows):
        own_group = known[group[u]][1]
        residual = y - np.einsum("snp,sp->sn", x, own_group.mean)
        direct[:, u] = np.einsum("snm,sn->sm", x @ across[group[u]], residual)
        leverage = ((x @ own_group.root) ** 2).sum(axis=(1, 2))
        densities[:, u] -= ((residual**2).sum(axis=1) + leverage) / 2
    return direct, mean + np.einsum("smp,sp->sm", sums, _mean_of(given_all)), densities


def _covariances(given_all: Conditional, sums: Array) -> list[Array]:
    """Return the covariances of the coefficients of each group, or of all, with m sums of loadings (S, m, p)."""
    if isinstance(given_all, ByGroupConditional):
        return given_all.covariances_of_groups(sums)
    assert isinstance(given_all, DenseConditional)
    return [given_all.root @ np.swapaxes(sums @ given_all.root, 1, 2)]


def _mean_of(given_all: Conditional) -> Array:
    """Return the mean of all coefficients, shape (S, p)."""
    assert isinstance(given_all, ByGroupConditional | DenseConditional)
    return given_all.mean
