"""The posterior of pooled estimates with t likelihoods on a dense grid, and nothing of the package's rules.

Densities of single estimates are integrals over the group's slope itself, not over scales of mixtures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

type Density = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DensePosterior:
    """Means and sds of beta, of tau, and of each group's slope; and the evidence."""

    log_evidence: float
    common: tuple[float, float]
    tau: tuple[float, float]
    groups: tuple[tuple[float, float], ...]


def student(df: float) -> Density:
    """Return the standard density of Student's t, or of the normal distribution."""
    if math.isinf(df):
        return lambda z: np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    constant = stats.t.pdf(0.0, df)
    return lambda z: constant * (1 + z**2 / df) ** (-(df + 1) / 2)


def between_density(shape: str, params: Sequence[float]) -> Density:
    """Return the standardised density of a group's slope about the common one, of scale one."""
    if shape == "normal":
        return student(math.inf)
    if shape == "student_t":
        return student(params[0])
    share, ratio = params
    normal = student(math.inf)
    return lambda z: (1 - share) * normal(z) + share * normal(z / ratio) / ratio


def row_moments(b: float, s: float, df: float, grid: tuple[np.ndarray, float], between: Density) -> np.ndarray:
    """Return the integrals of x^k L(b | x) g(x | beta, tau) for k = 0, 1, 2 at all beta (M,): shape (3, M).

    Around the estimate and around beta the places x are spread as sinh, finely where the narrower of the two is, in
    one sum of both: x weighs by the share of its own centre.
    """
    beta, tau = grid
    v = np.arange(-10.0, 10.0, 0.07)
    total = np.zeros((3, len(beta)))
    for own in (True, False):
        width = s if own else tau
        centre = np.full(len(beta), b) if own else beta
        x = centre[:, None] + width * np.sinh(v)
        near = ((x - b) / s) ** 2 + 1
        far = ((x - beta[:, None]) / tau) ** 2 + 1
        ratio = (s * near) / (tau * far)  # to the third power, so that a narrow peak is not left to the other centre
        share = 1 / (1 + (ratio if own else 1 / ratio) ** 3)
        weight = student(df)((b - x) / s) / s * between((x - beta[:, None]) / tau) / tau
        weight = weight * share * width * np.cosh(v) * 0.07
        total += np.array([(weight * x**k).sum(axis=1) for k in range(3)])
    return total


def dense_posterior(
    values: Sequence[float],
    errors: Sequence[float],
    dfs: Sequence[float],
    scale: float,
    *,
    between: Density,
) -> DensePosterior:
    """Integrate over a grid of (beta, log tau): a flat prior of beta, a half-normal one of tau with this scale."""
    width = min(errors)  # places are close where the most precise estimate stands, and reach as far for all
    centre, reach = values[list(errors).index(width)], float(np.arcsinh(20 / width))
    u = np.arange(-reach, reach, 0.075)
    beta = centre + width * np.sinh(u)
    log_tau = np.arange(math.log(scale) - 14, math.log(scale) + 2.1, 0.2)
    found = []
    for tau in np.exp(log_tau):
        rows = [row_moments(*row, (beta, tau), between) for row in zip(values, errors, dfs, strict=True)]
        mass = np.prod([row[0] for row in rows], axis=0) * width * np.cosh(u) * 0.075
        mass = mass * 2 * stats.norm.pdf(tau, scale=scale) * tau * 0.2
        sums = [mass.sum(), *((mass * beta**k).sum() for k in (1, 2)), *(mass.sum() * tau**k for k in (1, 2))]
        seen = mass > 0
        sums += [(mass[seen] * row[k][seen] / row[0][seen]).sum() for row in rows for k in (1, 2)]
        found.append(sums)
    total = np.sum(found, axis=0)
    # Below the first tau everything is as it is there, and the sum over log tau is a geometric series.
    total += np.array(found[0]) / math.expm1(0.2)
    moments = total[1:] / total[0]
    pairs = [(float(m), math.sqrt(q - m**2)) for m, q in zip(moments[::2], moments[1::2], strict=True)]
    return DensePosterior(math.log(total[0]), pairs[0], pairs[1], tuple(pairs[2:]))
