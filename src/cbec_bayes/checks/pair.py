"""A term of a classical regression beside the posterior of the same slope, and how much it matters that they part."""

from __future__ import annotations

from dataclasses import dataclass

from cbec_bayes.checks.result import FAMILY_LEVEL
from cbec_bayes.checks.severity import Change, Severity, Slope, severest
from cbec_bayes.estimands.summary import Summary
from cbec_bayes.runtime.distributions import chi2_cdf, normal_isf, t_isf
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE

LEAST, MOST = 0.7, 1.5
"""Ratio of the posterior sd to CR2's standard error outside of which the two do not say the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A term of a classical regression beside the posterior.

    Attributes
    ----------
    column, term
        Column and term of the regression.
    estimate, se, df
        CR2's standard error and its degrees of freedom; CRV1's where there are too many clusters for them.
    posterior
        Posterior of the same slope.
    legitimate
        Why the two may differ in their spread; blank where they may not.
    pooled
        Whether it is the slope of a group that is pooled.
    level
        Probability of the interval outside of which the mean of a group's slope is judged.
    """

    column: str
    term: str
    estimate: float
    se: float
    df: float
    posterior: Summary
    legitimate: str
    pooled: bool
    level: float

    @property
    def is_of_group(self) -> bool:
        """Whether it is the slope of one group."""
        return self.column not in (GROUP_ALL, GROUP_AVERAGE)

    @property
    def ratio(self) -> float:
        """The posterior sd over CR2's standard error."""
        return self.posterior.sd / self.se

    @property
    def apart(self) -> float:
        """Distance of the posterior mean from the estimate, in standard errors."""
        return abs(self.posterior.mean - self.estimate) / self.se

    @property
    def is_far(self) -> bool:
        """Whether the two do not say the same."""
        return not LEAST <= self.ratio <= MOST

    @property
    def is_judged(self) -> bool:
        """Whether the spread is judged: of what both estimate alike."""
        return not self.is_of_group and not self.legitimate

    @property
    def is_allowed(self) -> bool:
        """Whether as few clusters as these would have a standard error that far from the posterior's."""
        tail = chi2_cdf(self.df / self.ratio**2, self.df)
        return bool(min(tail, 1 - tail) > FAMILY_LEVEL / 2)

    @property
    def is_excluded(self) -> bool:
        """Whether the classical interval, at the level that all groups share, excludes the posterior mean."""
        return self.apart > float(t_isf(self.level / 2, self.df))

    @property
    def severity(self) -> Severity:
        """How much it matters that they part; the rule stands in `agreement`."""
        own = Slope.of(self.posterior)
        half = self.se * float(t_isf((1 - CI_PROB) / 2, self.df))
        if self.is_of_group:
            regression = Slope(self.estimate, self.estimate - half, self.estimate + half)
            change = Change(self.column, own, regression)
            return severest([Severity.KNOWING, change.severity]) if self.is_excluded else Severity.FINE
        if not self.is_judged or self.is_allowed or not self.is_far:
            return Severity.FINE
        return severest([Severity.WIDENS, self.as_clustered.severity])

    @property
    def as_clustered(self) -> Change:
        """The slope as it is, and as it would be with CR2's standard error."""
        own, half = Slope.of(self.posterior), self.se * float(normal_isf((1 - CI_PROB) / 2))
        return Change(self.column, own, Slope(own.mean, own.mean - half, own.mean + half))

    @property
    def name(self) -> str:
        """The term in quotation marks, and the column of the regression unless it is that on all rows."""
        named = f"'{self.term}'"
        return named if self.column == GROUP_ALL else f"{named}, {self.column}"
