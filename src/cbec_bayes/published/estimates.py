"""Printed estimates and the standard errors that each reading of the parentheses gives them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.facts import paper_scheme, sample_of
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient, Paper
from cbec_bayes.published.readings import (
    coherent_readings,
    critical_value,
    p_band,
    read_cell,
    se_from_p,
    se_from_t,
    two_sided_p,
)
from cbec_bayes.published.spread import typical_spread
from cbec_bayes.published.terms import StatedTerms, Terms
from cbec_bayes.runtime.errors import InputError, suggest

Scenario = Literal["as_printed", "coherent", "stars"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
SCENARIO_TEXTS: Mapping[Scenario, str] = {
    "as_printed": "every number in parentheses is a standard error, stars ignored",
    "coherent": "each cell by the first reading that agrees with its stars (standard error, p-value, t statistic); "
    "where none does, the interval of standard errors that its stars imply",
    "stars": "the parentheses are ignored; each cell by the interval of standard errors that its stars imply",
}


@dataclass(frozen=True, slots=True)
class KnownError:
    """A standard error taken as known; `reading` says in words as what the parentheses were read.

    With a finite `df` it was estimated on so many degrees of freedom, and the estimate has a t likelihood.
    """

    se: float
    reading: str
    df: float = math.inf

    @property
    def likelihood_df(self) -> float:
        """Degrees of freedom of the likelihood of the estimate."""
        return self.df


@dataclass(frozen=True, slots=True)
class ImpliedError:
    """A standard error known only through the stars: s = |estimate| / q, where q is |t| restricted to the stars' band.

    q has the reference distribution (Student-t with `df`, normal if infinite) truncated to `q_low` .. `q_high`, which
    is to say that the p-value is uniform within the band that the stars claim. Given s, the likelihood of the estimate
    is Student-t with `likelihood_df`.
    """

    estimate: float
    q_low: float
    q_high: float
    df: float
    likelihood_df: float = math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """Smallest and largest standard error, in the unit of the estimate; the largest may be infinite."""
        low = 0.0 if math.isinf(self.q_high) else abs(self.estimate) / self.q_high
        return low, math.inf if self.q_low == 0 else abs(self.estimate) / self.q_low

    @property
    def reading(self) -> str:
        """In words, where the standard error comes from."""
        return "implied by the stars"

    @property
    def log_mass(self) -> float:
        """Log probability of the band under the reference distribution of t, one side."""
        return math.log(_upper_tail(self.q_low, self.df) - _upper_tail(self.q_high, self.df))

    @property
    def typical(self) -> float:
        """The standard error at the middle of the band of p."""
        p = _upper_tail(self.q_low, self.df) + _upper_tail(self.q_high, self.df)
        return abs(self.estimate) / critical_value(p, self.df)


def _upper_tail(q: float, df: float) -> float:
    return two_sided_p(q, df) / 2


StandardError = KnownError | ImpliedError


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedEstimate:
    """One row: a label, its estimate (None asks for a prediction), what stands in parentheses, stars, df, and sizes."""

    label: str
    estimate: PrintedNumber | None
    parenthesis: PrintedNumber | None
    stars: str
    df: float
    n_units: int | None = None
    n_obs: int | None = None


@dataclass(frozen=True, slots=True)
class PrintedEstimates:
    """The estimates of one heterogeneity table.

    Attributes
    ----------
    rows
        One per group, in printed order.
    stars
        Symbol to significance level; None if the source prints no stars, so that nothing can be read from them.
    notes
        Sentences on how the source was read.
    terms
        Moderators, and how errors hang together, where a user states them.
    t_likelihood
        Whether estimates with degrees of freedom have a t likelihood: those of a file that gives them do. Where there
        are `terms` all likelihoods are normal.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> printed.rows[0].stars
    '**'
    """

    rows: tuple[PrintedEstimate, ...]
    stars: Mapping[str, Fraction] | None
    notes: tuple[str, ...] = ()
    terms: StatedTerms | None = None
    t_likelihood: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels."""
        return tuple(row.label for row in self.rows)


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates with one standard error each: the data of the summary-level model.

    Attributes
    ----------
    labels
        R groups, in order.
    values
        Estimates, shape (R,); NaN for a group that was not printed.
    errors
        Standard error per group; None where the estimate is missing.
    terms
        Moderators and the covariance of errors, where there are any. The square roots of its diagonal are then
        `errors`.
    typical
        One number per standard error, shape (R,): itself, the middle of the stars' band, infinite where missing.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> estimates.errors[1].se
    0.328
    """

    labels: tuple[str, ...]
    values: NDArray[np.float64]
    errors: tuple[StandardError | None, ...]
    terms: Terms | None = None
    typical: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        typical = [
            math.inf if error is None else error.se if isinstance(error, KnownError) else error.typical
            for error in self.errors
        ]
        object.__setattr__(self, "typical", np.array(typical))

    @property
    def printed(self) -> NDArray[np.bool_]:
        """Which groups have an estimate, shape (R,)."""
        return ~np.isnan(self.values)

    @property
    def spread(self) -> float:
        """Twice the typical deviation of an estimate from their mean, the automatic unit; see `typical_spread`."""
        return 2 * typical_spread(self.values[self.printed], self.typical[self.printed])


def heterogeneity(paper: Paper) -> PrintedEstimates:
    """Return a paper's slopes of the exposure by group, with a blank one for each group that has no column.

    Raises
    ------
    InputError
        paper.toml does not say which term is the exposure or which columns are groups.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> cb.heterogeneity(cb.load_paper()).labels
    ('east', 'central', 'west', 'north-east')
    """
    facts = paper.facts
    if facts.exposure is None or not facts.groups:
        raise InputError("paper.toml must name the exposure and the columns that are groups")
    scheme = paper_scheme(facts)
    rows = []
    for key, group in facts.groups.items():
        column = paper.columns[key]
        cell = column.coefficients.get(facts.exposure)
        if cell is None:
            raise InputError(f"column '{key}' has no estimate of '{facts.exposure}'")
        sample = sample_of(column, paper, scheme)
        df = sample.df[0] if sample.df[0] == sample.df[1] else math.inf
        rows.append(
            PrintedEstimate(
                label=group,
                estimate=cell.estimate,
                parenthesis=cell.parenthesis,
                stars=cell.stars,
                df=df,
                n_units=sample.units,
                n_obs=sample.n_obs,
            )
        )
    for group in scheme.groups if scheme else ():
        if group not in facts.groups.values():
            rows.append(PrintedEstimate(label=group, estimate=None, parenthesis=None, stars="", df=math.inf))
    return PrintedEstimates(tuple(rows), facts.stars)


def under_reading(printed: PrintedEstimates, scenario: Scenario) -> Estimates:
    """Give every estimate the standard error that a reading implies.

    Parameters
    ----------
    printed
        The rows.
    scenario
        ``as_printed``, ``coherent`` or ``stars``; see `SCENARIO_TEXTS`.

    Raises
    ------
    InputError
        The scenario needs stars and the source has none.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> estimates.values
    array([0.22 , 0.751, 0.074,   nan])
    """
    if scenario not in SCENARIOS:
        raise InputError(f"unknown reading '{scenario}'; {suggest(scenario, SCENARIOS)}")
    if printed.stars is None and scenario != "as_printed":
        raise InputError(f"the reading '{scenario}' uses stars; add a column 'stars'")
    values = np.array([math.nan if row.estimate is None else float(row.estimate) for row in printed.rows])
    stated = printed.terms
    if stated is None:
        return Estimates(printed.labels, values, _standard_errors(printed, scenario))
    own = stated.standard_errors()
    errors = _standard_errors(printed, scenario) if own is None else _from_covariance(values, own)
    for label, error in zip(printed.labels, errors, strict=True):
        if stated.correlated and isinstance(error, ImpliedError):
            raise InputError(
                f"the standard error of '{label}' is known only from its stars and cannot be used with a "
                "covariance; give the standard error"
            )
    plain = Estimates(printed.labels, values, errors)
    return replace(plain, terms=stated.resolved(plain.printed, plain.typical))


def _standard_errors(printed: PrintedEstimates, scenario: Scenario) -> tuple[StandardError | None, ...]:
    errors = tuple(_standard_error(row, scenario, printed.stars) for row in printed.rows)
    if not printed.t_likelihood or printed.terms is not None:
        return errors
    return tuple(_with_df(error, row.df) for error, row in zip(errors, printed.rows, strict=True))


def _from_covariance(values: NDArray[np.float64], own: NDArray[np.float64]) -> tuple[StandardError | None, ...]:
    return tuple(
        None if math.isnan(value) else KnownError(float(se), "the covariance of the errors")
        for value, se in zip(values, own, strict=True)
    )


def _standard_error(
    row: PrintedEstimate, scenario: Scenario, levels: Mapping[str, Fraction] | None
) -> StandardError | None:
    if row.estimate is None:
        return None
    if scenario == "as_printed" and row.parenthesis is not None and row.parenthesis.value > 0:
        return KnownError(float(row.parenthesis), "parentheses as a standard error")
    if levels is None:
        raise InputError(f"'{row.label}' has no standard error")
    if scenario == "coherent" and row.parenthesis is not None:
        known = _coherent_error(row, row.estimate, row.parenthesis, levels)
        if known is not None:
            return known
    if row.estimate.value == 0:
        raise InputError(f"'{row.label}': the estimate is 0, and its stars then say nothing about its standard error")
    low, high = p_band(row.stars, levels).ends
    return ImpliedError(
        float(row.estimate),
        0.0 if high == 1 else critical_value(high, row.df),
        math.inf if low == 0 else critical_value(low, row.df),
        row.df,
    )


def _with_df(error: StandardError | None, df: float) -> StandardError | None:
    """Give an estimate the t likelihood of its degrees of freedom."""
    if error is None:
        return None
    return replace(error, df=df) if isinstance(error, KnownError) else replace(error, likelihood_df=df)


def _coherent_error(
    row: PrintedEstimate, estimate: PrintedNumber, parenthesis: PrintedNumber, levels: Mapping[str, Fraction]
) -> KnownError | None:
    cell = Coefficient(
        table="",
        column="",
        term=row.label,
        label=row.label,
        estimate=estimate,
        parenthesis=parenthesis,
        stars=row.stars,
    )
    value, printed = float(estimate), float(parenthesis)
    for reading in coherent_readings(read_cell(cell, levels, (row.df, row.df))):
        if reading == "se" and printed > 0:
            return KnownError(printed, "parentheses as a standard error")
        if reading == "p" and 0 < printed < 1 and value != 0:
            return KnownError(se_from_p(value, printed, row.df), "parentheses as a p-value")
        if reading == "t" and printed != 0 and value != 0:
            return KnownError(se_from_t(value, printed), "parentheses as a t statistic")
    return None


def available_readings(printed: PrintedEstimates) -> Sequence[Scenario]:
    """Return the readings that the source allows: all with stars, only `as_printed` without or with a covariance."""
    correlated = printed.terms is not None and printed.terms.correlated
    return ("as_printed",) if printed.stars is None or correlated else SCENARIOS
