"""Slopes of groups as the between-group scale goes from complete to no pooling, exact at each of its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.pooled import PooledPosterior
from cbec_bayes.published.results import complete_pooling
from cbec_bayes.published.summary import conditional_slopes
from cbec_bayes.published.summary_model import SummaryModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PooledPath:
    """Slopes of groups as tau goes from complete to no pooling.

    Attributes
    ----------
    labels
        R groups with an estimate.
    tau
        Between-group scale, shape (M,).
    means
        Conditional posterior means, shape (M, R).
    density
        Posterior density of log tau, shape (M,): the average of it between the middles of neighbours.
    complete
        Slope under complete pooling.
    """

    labels: tuple[str, ...]
    tau: Array
    means: Array
    density: Array
    complete: float


def pooled_path(
    estimates: Estimates, model: SummaryModel, posterior: PooledPosterior, ends: tuple[float, float], n_points: int
) -> PooledPath:
    """Compute the path over values of tau between two ends, equidistant in log tau.

    Parameters
    ----------
    estimates, model
        Under one reading, and with priors in plain numbers.
    posterior
        Posterior given these estimates and this model.
    ends
        Lowest and highest value of tau.
    n_points
        Number of values.
    """
    low, high = ends
    step = np.log(high / low) / (n_points - 1)
    edges = low * np.exp(step * (np.arange(n_points + 1) - 0.5))
    tau = low * np.exp(step * np.arange(n_points))
    means, _ = conditional_slopes(estimates, model, tau)
    shares = np.diff([posterior.tau_cdf(float(edge)) for edge in edges])
    printed = np.flatnonzero(estimates.printed)
    return PooledPath(
        labels=tuple(estimates.labels[k] for k in printed),
        tau=tau,
        means=means[:, printed],
        density=np.maximum(shares, 0.0) / step,
        complete=complete_pooling(estimates),
    )
