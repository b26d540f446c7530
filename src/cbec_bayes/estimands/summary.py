"""The table of effects that every engine and every kind of data ends in, and its rows from draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.labels import CI_PROB

EFFECT_COLUMNS = (
    "group",
    "n_units",
    "n_obs",
    "no_pooling",
    "no_pooling_se",
    "complete_pooling",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "pooling_factor",
    "origin",
    "mcse",
)
UNIT_EFFECT_COLUMNS = (*EFFECT_COLUMNS, "units_mean", "units_sd", "units_ci_low", "units_ci_high", "sd_ij")
"""Those of a panel, where a group has units.

The average over the units of a group that are there stands beside its own slope. ``sd_ij`` is the sd that
holds where errors within a unit are not as the model has them; see `cbec_bayes.estimands.jackknife`.
"""

SLOPE_ON_COLUMNS = (
    "covariate",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "mcse",
    "covariate_mean",
    "covariate_sd",
    "n_groups",
    "tau_with",
    "tau_without",
    "explained",
)
"""Those of slopes regressed on what is known of the groups, which the tables of a panel and of printed slopes share."""

CONTRAST_COLUMNS = ("group", "minus", "mean", "sd", "ci_low", "ci_high", "p_positive", "origin", "mcse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Location, spread, equal-tailed interval and probability of a positive value of one posterior quantity.

    `mcse` is the largest Monte Carlo standard error of the mean and of the interval's ends; 0 where nothing was drawn.
    """

    mean: float
    sd: float
    ci_low: float
    ci_high: float
    p_positive: float
    mcse: float = 0.0

    @property
    def numbers(self) -> tuple[float, float, float, float, float]:
        """Everything but the Monte Carlo error."""
        return self.mean, self.sd, self.ci_low, self.ci_high, self.p_positive


class Quantity(Protocol):
    """A posterior quantity that is known by sampling."""

    def summary(self, prob: float = CI_PROB) -> Summary:
        """Return its location, spread, interval, probability of being positive, and Monte Carlo error."""
        ...

    def within(self, half_width: float) -> float:
        """Return the probability that it is less than a half-width away from zero."""
        ...


@dataclass(frozen=True, slots=True)
class Drawn:
    """Draws of a quantity of any shape, and `ess`, their effective size."""

    draws: Array
    ess: float

    def summary(self, prob: float = CI_PROB) -> Summary:
        """See `Quantity`."""
        return summarise_draws(self.draws, prob, ess=self.ess)

    def within(self, half_width: float) -> float:
        """See `Quantity`."""
        return float((np.abs(self.draws) < half_width).mean())


@dataclass(frozen=True, slots=True)
class Mixed:
    """A quantity that is normal given the scales, of which there are draws: a mixture of normals (Rao and Blackwell).

    Its Monte Carlo error is of the scales alone, a fraction of that of draws.

    Attributes
    ----------
    mean, sd
        Given each draw of the scales, shape (S,).
    ess
        Effective size of the draws: the number of independent ones with the same Monte Carlo error.
    """

    mean: Array
    sd: Array
    ess: float

    def below(self, value: float) -> Array:
        """Return the probability of at most a value given each draw of the scales, shape (S,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (value - self.mean) / self.sd
        return np.asarray(special.ndtr(np.where(np.isnan(z), 0.0, z)))

    def summary(self, prob: float = CI_PROB) -> Summary:
        """See `Quantity`."""
        centre, spread = float(self.mean.mean()), math.sqrt(float((self.sd**2).mean() + self.mean.var()))
        low, high = (self._quantile(p) for p in ((1 - prob) / 2, (1 + prob) / 2))
        error = max(float(self.mean.std()), self._end_error(low), self._end_error(high)) / math.sqrt(self.ess)
        return Summary(
            mean=centre, sd=spread, ci_low=low, ci_high=high, p_positive=1 - float(self.below(0.0).mean()), mcse=error
        )

    def within(self, half_width: float) -> float:
        """See `Quantity`."""
        return float((self.below(half_width) - self.below(-half_width)).mean())

    def _quantile(self, p: float) -> float:
        # Between the smallest and the largest of the normals' own quantiles lies that of their mixture.
        own = self.mean + float(special.ndtri(p)) * self.sd
        low, high = float(own.min()), float(own.max())
        if not high > low:
            return low

        def miss(value: float) -> float:
            return float(self.below(value).mean()) - p

        return float(optimize.brentq(miss, low, high, xtol=1e-12 * (high - low)))

    def _end_error(self, end: float) -> float:
        """Return the spread of the probability below an end over the density there: its error with one draw."""
        there = self.sd > 0
        z = (end - self.mean[there]) / self.sd[there]
        density = float((np.exp(-(z**2) / 2) / self.sd[there]).sum() / math.sqrt(2 * math.pi) / len(self.sd))
        return float(self.below(end).std()) / density if density > 0 else 0.0


def summarise_draws(draws: Array, prob: float = CI_PROB, *, ess: float | None = None) -> Summary:
    """Summarise draws of one quantity.

    Parameters
    ----------
    draws
        Any shape, e.g. (chain, draw).
    prob
        Probability of the equal-tailed interval.
    ess
        Effective size of the draws; default: all draws are independent.

    Notes
    -----
    The error of a quantile is that of a binomial share over the density, which neighbouring quantiles give.
    """
    values = np.ravel(draws)
    tails = np.array([(1 - prob) / 2, (1 + prob) / 2])
    low, high = np.quantile(values, tails)
    count = len(values) if ess is None else ess
    step = min(0.01, (1 - prob) / 4)
    sparsity = (np.quantile(values, tails + step) - np.quantile(values, tails - step)) / (2 * step)
    spread = float(values.std(ddof=1))
    errors = [spread, *(np.sqrt(tails * (1 - tails)) * sparsity)]
    return Summary(
        mean=float(values.mean()),
        sd=spread,
        ci_low=float(low),
        ci_high=float(high),
        p_positive=float((values > 0).mean()),
        mcse=float(max(errors)) / math.sqrt(count),
    )


def pooling_factor_overall(deviations: NDArray[np.float64]) -> float:
    """Return Gelman and Pardoe's (2006) pooling factor from draws of the groups' deviations.

    Parameters
    ----------
    deviations
        beta_r - beta, shape (draw, R).

    Returns
    -------
    float
        1 - var_r E(deviation_r) / E var_r(deviation_r); NaN with one group.
    """
    if deviations.shape[1] < 2:
        return math.nan
    expected = float(deviations.var(axis=1, ddof=1).mean())
    return 1.0 if expected == 0 else 1 - float(deviations.mean(axis=0).var(ddof=1)) / expected


def leaves_zero_out(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of a table have an interval, ci_low to ci_high, that leaves zero out; a blank one does not."""
    return (table["ci_low"] > 0) | (table["ci_high"] < 0)


def effects_frame(rows: Sequence[dict[str, object]], columns: Sequence[str] = EFFECT_COLUMNS) -> pd.DataFrame:
    """Return rows of effects as the table that effects.csv holds; a missing cell is blank."""
    frame = pd.DataFrame(rows, columns=list(columns))
    numbers = [name for name in columns if name not in ("group", "n_units", "n_obs", "origin")]
    return frame.astype({"n_units": "Int64", "n_obs": "Int64"} | dict.fromkeys(numbers, float))
