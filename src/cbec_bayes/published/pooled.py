"""What every posterior of pooled estimates can tell, whichever likelihood it has: what tables are made from.

`cbec_bayes.published.results` reads numbers through `PooledPosterior` alone, so that a likelihood with another shape
needs a class with these methods, and nothing else in the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime.labels import CI_PROB

Array = NDArray[np.float64]


class Distribution(Protocol):
    """The posterior distribution of one number."""

    @property
    def mean(self) -> float:
        """Mean."""
        ...

    @property
    def sd(self) -> float:
        """Standard deviation."""
        ...

    @property
    def p_positive(self) -> float:
        """Probability of a positive value."""
        ...

    def cdf(self, x: float) -> float:
        """Return the probability of a value of at most `x`."""
        ...

    def quantile(self, probability: float) -> float:
        """Return the value below which lies a probability strictly between 0 and 1."""
        ...

    def interval(self, prob: float = CI_PROB) -> tuple[float, float]:
        """Return the equal-tailed interval."""
        ...


@dataclass(frozen=True, slots=True)
class GroupNumbers:
    """Five numbers of the slope of every group at once, each of shape (R,); see `Distribution`."""

    mean: Array
    sd: Array
    ci_low: Array
    ci_high: Array
    p_positive: Array


class PooledPosterior(Protocol):
    """The joint posterior of the slopes of R groups, of their common slope and of the between-group scale tau.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> posterior = cb.fit_summary(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> posterior.labels
    ('east', 'central', 'west', 'north-east')
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The R groups; the ones without an estimate are predicted."""
        ...

    @property
    def estimates(self) -> Estimates:
        """Data that it was computed from."""
        ...

    @property
    def model(self) -> SummaryModel:
        """Model with priors in plain numbers."""
        ...

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood of the estimates, up to the constant of a flat prior."""
        ...

    @property
    def error(self) -> float:
        """Largest change, in posterior standard deviations or probability, when the rules were last refined."""
        ...

    @property
    def moment_order(self) -> float:
        """Moments of the common slope and of a new group's slope exist below this order."""
        ...

    @property
    def n_nodes(self) -> int:
        """How many nodes of the quadrature have weight."""
        ...

    def common(self) -> Distribution:
        """Return the posterior of the common slope, the mean of the population of groups."""
        ...

    def group(self, index: int | None) -> Distribution:
        """Return the posterior of a group's slope; `None` stands for a group not yet seen."""
        ...

    def groups(self) -> GroupNumbers:
        """Return the numbers of all groups at once; `one_by_one` does where there is no quicker way."""
        ...

    def contrast(self, first: int, second: int) -> Distribution:
        """Return the posterior of the difference between two groups' slopes."""
        ...

    def pooling_factors(self) -> Array:
        """Return how far each group's slope is pooled, from 0 (not at all) to 1 (completely), shape (R,).

        NaN for a group without an estimate.
        """
        ...

    def pooling_factor_overall(self) -> float:
        """Return one such factor for all groups together (Gelman and Pardoe, 2006)."""
        ...

    def tau_mean(self) -> float:
        """Return the posterior mean of the between-group scale; NaN where it does not exist."""
        ...

    def tau_sd(self) -> float:
        """Return the posterior standard deviation of the between-group scale; NaN where it does not exist."""
        ...

    def tau_cdf(self, upper: float) -> float:
        """Return the posterior probability that tau is at most `upper`."""
        ...

    def tau_quantile(self, probability: float) -> float:
        """Return a posterior quantile of the between-group scale."""
        ...


@runtime_checkable
class RegressedPosterior(Protocol):
    """A posterior of slopes that are regressed on moderators."""

    def coefficient(self, index: int) -> Distribution:
        """Return the posterior of a coefficient: the common slope first, then those of the moderators."""
        ...


def one_by_one(posterior: PooledPosterior, prob: float = CI_PROB) -> GroupNumbers:
    """Return the numbers of all groups by asking for the distribution of each in turn."""
    found = [posterior.group(index) for index in range(len(posterior.labels))]
    ends = np.array([one.interval(prob) for one in found])
    return GroupNumbers(
        mean=np.array([one.mean for one in found]),
        sd=np.array([one.sd for one in found]),
        ci_low=ends[:, 0],
        ci_high=ends[:, 1],
        p_positive=np.array([one.p_positive for one in found]),
    )
