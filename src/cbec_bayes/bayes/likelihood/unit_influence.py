"""How the posterior mean of a slope moves with the weight of each unit: what the infinitesimal jackknife is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.marginal import Scales
from cbec_bayes.bayes.likelihood.residual_covariance import mean_names
from cbec_bayes.bayes.likelihood.rows import sigma_of_units
from cbec_bayes.bayes.likelihood.triangular import forward
from cbec_bayes.bayes.likelihood.unit_densities import ChangesOfUnits, changes_of_units
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
    inner = loadings[:, : collapsed.n_coefficients] @ system.transform
    direct = np.empty((len(points), len(system.units), len(loadings)))
    means, densities = np.empty((len(points), len(loadings))), np.empty((len(points), len(system.units)))
    for part in system.chunks(len(points)):
        scales = collapsed.scales(points[part])
        sigma = sigma_of_units(blocks.design, collapsed.sigmas, scales)
        direct[part], means[part], densities[part] = _given_scales(system, scales, sigma, (inner, shares))
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
    system: ChangesOfUnits, scales: Scales, sigma: Array, loadings: tuple[Array, dict[str, Array]]
) -> tuple[Array, Array, Array]:
    """Return, given the scales, covariances (S, N, m), means (S, m), and mean log densities (S, N)."""
    inner, shares = loadings
    names = list(shares)
    own = [np.concatenate([dict(unit.directions)[name] for unit in system.units]) for name in names]
    whole = replace(system, changes=np.column_stack([system.changes, *own]))
    white, constant = whole.whitened(scales, sigma)
    width, prior = system.widths(scales)
    end = system.changes.shape[1]
    y, x = white[:, :, 0], white[:, :, 1:end] * width[:, None, :]
    asked = inner * width[:, None, :]
    mean_of_own = np.zeros((len(sigma), len(inner)))
    unit = np.repeat(np.arange(len(system.units)), [one.at.stop - one.at.start for one in system.units])
    for k, name in enumerate(names):
        # A unit's own coefficient given its rows: its variance times what the covariance takes of the residuals.
        taken = scales[name][:, None, None] ** 2 * white[:, :, end + k, None] * shares[name][unit]
        mean_of_own += np.einsum("snm,sn->sm", taken, y)
        asked = asked - np.swapaxes(taken, 1, 2) @ x
    precision = np.swapaxes(x, 1, 2) @ x
    np.einsum("sii->si", precision)[...] += prior
    pull = np.einsum("snp,sn->sp", x, y) + system.location[0] * system.location[1]
    root = np.linalg.cholesky(precision)
    ends = [pull[:, :, None], np.swapaxes(asked, 1, 2), np.swapaxes(x, 1, 2)]
    half = forward(root, np.concatenate(ends, axis=2))
    solved = np.linalg.solve(np.swapaxes(root, 1, 2), half[:, :, : 1 + len(inner)])
    residual = y - np.einsum("snp,sp->sn", x, solved[:, :, 0])
    leverage = (half[:, :, 1 + len(inner) :] ** 2).sum(axis=1)
    covariance = _sums(x @ solved[:, :, 1:] * residual[:, :, None], system)
    density = constant - _sums((residual**2 + leverage)[:, :, None], system)[:, :, 0] / 2
    mean = np.einsum("smp,sp->sm", asked, solved[:, :, 0]) + mean_of_own
    return covariance, mean, density


def _sums(values: Array, system: ChangesOfUnits) -> Array:
    """Return sums over the changes of every unit, which may have none, of values of shape (S, n, k): (S, N, k)."""
    ends = np.concatenate([np.zeros_like(values[:, :1]), np.cumsum(values, axis=1)], axis=1)
    at = [(one.at.start, one.at.stop) for one in system.units]
    return np.asarray(ends[:, [stop for _, stop in at]] - ends[:, [start for start, _ in at]])
