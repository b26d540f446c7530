"""The classical answers to the same estimates, as tables and sentences: what stands beside the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.classical.meta.heterogeneity import Array
from cbec_bayes.classical.meta.pooling import ESTIMATORS, SHOWN, Pooled, meta_regression, pool, uncorrelated
from cbec_bayes.classical.meta.selection import CUT, can_be_selected, selection_model
from cbec_bayes.classical.meta.small_studies import EggerTest, can_be_tested, egger_random_effects, egger_weighted
from cbec_bayes.estimands import Summary
from cbec_bayes.published.estimates import Estimates, ImpliedError
from cbec_bayes.published.terms import Terms
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.labels import CI_PROB, Origin, level

CLASSICAL, SMALL, REGRESSION = "classical_pooling.csv", "small_studies.csv", "classical_regression.csv"
"""Files that these tables are written to."""

COLUMNS = (
    *("estimator", "estimate", "se", "df", "ci_low", "ci_high", "p", "tau2", "tau2_low", "tau2_high"),
    *("q", "q_p", "i2", "h", "pi_low", "pi_high", "n", "note", "origin"),
)
SMALL_COLUMNS = (
    *("method", "slope", "slope_se", "statistic", "df", "p", "estimate", "ci_low", "ci_high", "delta", "n"),
    *("assumes", "note", "origin"),
)

TOO_FAR = "not computed: the estimates or their standard errors are too far apart"

REGRESSION_COLUMNS = (
    *("term", "estimate", "se", "df", "ci_low", "ci_high", "p", "tau2", "tau2_low", "tau2_high", "explained"),
    *("f", "f_df", "f_df2", "f_p", "q", "q_p", "i2", "n", "origin"),
)

CORRELATED = "not computed: it takes errors of estimates for independent, and a covariance is stated"

FEWEST_TESTED = 10
"""Estimates below which Egger's test is known to find little (Sterne et al. 2011)."""

MUCH_WIDER = 1.5
"""Ratio of two lengths of intervals from which on a note says why they differ."""

FAR_APART = 0.25
"""Share of the length of the longer interval by which two estimates may differ without a note."""

EGGER, EGGER_RANDOM, SELECTION = "egger", "egger_random_effects", "selection_model"
ASSUMES = {
    EGGER: "Egger's test takes a slope of the estimates on their standard errors for a sign of missing small studies; "
    "real differences between small and large studies give the same sign. One factor widens all variances.",
    EGGER_RANDOM: "As above, with a variance between studies in the place of the factor (REML, Knapp and Hartung).",
    SELECTION: "A sensitivity analysis, and not a correction. It takes true effects as normal. It assumes that "
    "estimates which are not significant in the direction of the pooled estimate are published delta times as often "
    f"as others, whatever their size; significant means a one-sided p of at most {CUT:g}.",
}
"""One sentence on what each method assumes."""


@dataclass(frozen=True, slots=True)
class ClassicalPooling:
    """What classical meta-analysis says.

    Attributes
    ----------
    table
        One row per estimator; columns `COLUMNS`.
    small_studies
        One row per method; columns `SMALL_COLUMNS`.
    shown
        REML with Knapp and Hartung, or a single estimate as it is; None where it cannot be computed.
    regression
        The meta-regression by the same estimator: one row per term, columns `REGRESSION_COLUMNS`; None without
        moderators.
    """

    table: pd.DataFrame
    small_studies: pd.DataFrame
    shown: Pooled | None
    regression: pd.DataFrame | None = None

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the tables that there are, by the names of their files."""
        found = {CLASSICAL: self.table, SMALL: self.small_studies}
        return found if self.regression is None else {**found, REGRESSION: self.regression}


def classical_pooling(estimates: Estimates, prob: float = CI_PROB) -> ClassicalPooling:
    """Pool estimates in the usual ways.

    Parameters
    ----------
    estimates
        Under one reading. A standard error that is known by its stars alone counts with the middle of their band.
    prob
        Probability of the intervals.
    """
    own, terms = estimates.printed, estimates.terms
    y, errors = estimates.values[own], estimates.typical[own]  # noqa: PD011 - of estimates
    covariance = None if terms is None else terms.covariance
    with np.errstate(all="ignore"):  # what is no number is left blank
        found = _pooled(y, errors, covariance, _note(estimates), prob)
        if terms is None or not terms.names:
            return found
        return replace(found, regression=_regression(y, errors, terms.moderators[own], terms, prob))


def _note(estimates: Estimates) -> str:
    implied = any(isinstance(error, ImpliedError) for error in estimates.errors)
    return "standard errors that stars imply count with the middle of their band" if implied else ""


def _pooled(values: Array, errors: Array, covariance: Array | None, note: str, prob: float) -> ClassicalPooling:
    unit = float(np.median(errors))  # all that follows is of the order of one, whatever the unit of the estimates
    y, v = values / unit, (errors / unit) ** 2
    own = None if covariance is None else covariance / unit / unit
    rows, found = [], {}
    for name in ESTIMATORS if len(y) > 1 else ("common_effect",):
        one = _tried(y, v, name, prob, own)
        found[name] = one
        rows.append(_row(name, one, unit, note) if one is not None else _blank(name, len(y)))
    shown = found.get(SHOWN if len(y) > 1 else "common_effect")
    above = shown is None or shown.estimate >= 0
    return ClassicalPooling(
        table=pd.DataFrame(rows, columns=list(COLUMNS)),
        small_studies=_small_studies(y, v, unit, prob, above=above, independent=own is None),
        shown=None if shown is None else _in_unit(shown, unit),
    )


def _regression(y: Array, errors: Array, moderators: Array, terms: Terms, prob: float) -> pd.DataFrame | None:
    """Return the meta-regression on moderators, REML with Knapp and Hartung; None where it cannot be computed."""
    unit, n = float(np.median(errors)), len(y)
    x = np.column_stack([np.ones(n), moderators])
    rows = y / unit, (errors / unit) ** 2, x
    if terms.covariance is not None:
        rows = uncorrelated(y / unit, terms.covariance / unit / unit, x)
    try:
        found = meta_regression(*rows, ESTIMATORS[SHOWN], prob)
    except (GateError, np.linalg.LinAlgError, ValueError, OverflowError):
        return None
    among = found.heterogeneity
    frame = pd.DataFrame(
        {
            "term": ["(common)", *terms.names],
            "estimate": found.coefficients * unit,
            "se": found.se * unit,
            "df": found.df,
            "ci_low": found.low * unit,
            "ci_high": found.high * unit,
            "p": found.p,
        }
    )
    whole: dict[str, Any] = {
        "tau2": found.tau2 * unit * unit,
        "tau2_low": found.tau2_low * unit * unit,
        "tau2_high": found.tau2_high * unit * unit,
        "explained": found.explained,
        "f": found.statistic,
        "f_df": found.statistic_df[0],
        "f_df2": found.statistic_df[1],
        "f_p": found.statistic_p,
        "q": among.q,
        "q_p": among.p,
        "i2": among.i2,
        "n": n,
        "origin": str(Origin.PRINTED),
    }
    return frame.assign(**whole)[list(REGRESSION_COLUMNS)]


def _tried(y: Array, v: Array, name: str, prob: float, covariance: Array | None) -> Pooled | None:
    """Return a pooled estimate; None where the numbers are too far apart for it."""
    try:
        found = pool(y, v, ESTIMATORS[name], prob, covariance)
    except (GateError, np.linalg.LinAlgError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found.estimate) and math.isfinite(found.se) else None


def _in_unit(one: Pooled, unit: float) -> Pooled:
    """Return a pooled estimate in the unit of the estimates."""
    return Pooled(
        estimate=one.estimate * unit,
        se=one.se * unit,
        p=one.p,
        low=one.low * unit,
        high=one.high * unit,
        df=one.df,
        tau2=one.tau2 * unit * unit,
        tau2_low=one.tau2_low * unit * unit,
        tau2_high=one.tau2_high * unit * unit,
        heterogeneity=one.heterogeneity,
        prediction_low=one.prediction_low * unit,
        prediction_high=one.prediction_high * unit,
        n=one.n,
    )


def _row(name: str, one: Pooled, unit: float, note: str) -> dict[str, object]:
    own, among = _in_unit(one, unit), one.heterogeneity
    several = one.n > 1
    return {
        "estimator": name,
        "estimate": own.estimate,
        "se": own.se,
        "df": own.df if math.isfinite(own.df) else None,
        "ci_low": own.low,
        "ci_high": own.high,
        "p": own.p,
        "tau2": own.tau2 if several else None,
        "tau2_low": own.tau2_low,
        "tau2_high": own.tau2_high,
        "q": among.q if several else None,
        "q_p": among.p,
        "i2": among.i2,
        "h": among.h,
        "pi_low": own.prediction_low,
        "pi_high": own.prediction_high,
        "n": one.n,
        "note": note,
        "origin": str(Origin.PRINTED),
    }


def _blank(name: str, n: int) -> dict[str, object]:
    return {"estimator": name, "n": n, "note": TOO_FAR, "origin": str(Origin.PRINTED)}


def _small_studies(y: Array, v: Array, unit: float, prob: float, *, above: bool, independent: bool) -> pd.DataFrame:
    """Return small_studies.csv; `above` is the direction of the pooled estimate. What cannot be computed says why."""
    if independent:
        eggers = [_egger(name, y, v, unit, prob) for name in (EGGER, EGGER_RANDOM)]
        rows = [*eggers, _selection(y, v, unit, prob, above=above)]
    else:
        rows = [{"note": CORRELATED} for _ in ASSUMES]
    common = {"n": len(y), "origin": str(Origin.PRINTED)}
    whole = [
        {"method": name, "assumes": ASSUMES[name], **common, **row} for name, row in zip(ASSUMES, rows, strict=True)
    ]
    return pd.DataFrame(whole, columns=list(SMALL_COLUMNS))


def _egger(name: str, y: Array, v: Array, unit: float, prob: float) -> dict[str, object]:
    if not can_be_tested(v):
        return {"note": "not computed: it needs three estimates and standard errors that differ"}
    test = {EGGER: egger_weighted, EGGER_RANDOM: egger_random_effects}[name]
    try:
        found: EggerTest = test(y, v, prob)
    except (GateError, np.linalg.LinAlgError, ValueError, OverflowError):
        return {"note": TOO_FAR}
    few = f"with fewer than {FEWEST_TESTED} estimates the test finds little" if len(y) < FEWEST_TESTED else ""
    return {
        "slope": found.slope,
        "slope_se": found.se,
        "statistic": found.statistic,
        "df": found.df,
        "p": found.p,
        "estimate": found.limit * unit,
        "ci_low": found.limit_low * unit,
        "ci_high": found.limit_high * unit,
        "note": few,
    }


def _selection(y: Array, v: Array, unit: float, prob: float, *, above: bool) -> dict[str, object]:
    if not can_be_selected(y, v, above=above):
        return {"note": "not computed: it needs four estimates, some of them significant and some not"}
    try:
        found = selection_model(y, v, above=above, prob=prob)
    except (np.linalg.LinAlgError, ValueError, OverflowError):
        return {"note": TOO_FAR}
    if found.at_limit or not math.isfinite(found.se):
        return {"note": "not computed: the estimates hold no value of delta"}
    return {
        "statistic": found.statistic,
        "df": 1.0,
        "p": found.statistic_p,
        "estimate": found.estimate * unit,
        "ci_low": found.low * unit,
        "ci_high": found.high * unit,
        "delta": found.delta,
        "note": f"favoured are {'positive' if above else 'negative'} estimates",
    }


def told(value: float) -> str:
    """Write a number of a sentence: three digits, no exponent for a size that is usual, and a true minus."""
    if value != 0 and math.isfinite(value) and 1e-4 <= abs(value) < 1e6:
        decimals = max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:.{decimals}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def classical_sentences(
    found: ClassicalPooling, common: Summary, prob: float = CI_PROB, *, normal: bool = True
) -> tuple[str, ...]:
    """Return the classical answer in a sentence, and where it is far from the posterior another one that says why.

    Parameters
    ----------
    found
        The classical answers.
    common
        Posterior of the common slope.
    prob
        Probability of the intervals.
    normal
        Whether the posterior takes estimates and slopes for normal, as the classical answers do.
    """
    one = found.shown
    if one is None:
        return ("The classical estimates cannot be computed: the numbers are too far apart.",)
    if one.n == 1:
        return (f"Classical: one estimate, {_between(one.estimate, one.low, one.high)}; nothing is pooled.",)
    tau = _between(math.sqrt(one.tau2), math.sqrt(one.tau2_low), math.sqrt(one.tau2_high))
    among = one.heterogeneity
    told_of = (
        f"{_between(one.estimate, one.low, one.high)}, {level(prob)} interval in brackets; τ {tau}; "
        f"I² {among.i2:.0f} %; Q {told(among.q)}, {_p(among.p)}; a new group between {told(one.prediction_low)} and "
        f"{told(one.prediction_high)}."
    )
    sentence = f"Classical answer, REML with Knapp and Hartung's standard errors: {told_of}"
    if found.regression is not None:
        return (f"{sentence} {_of_regression(found.regression)}",)
    why = why_they_differ(one, common, normal=normal)
    return (sentence, why) if why else (sentence,)


def _of_regression(table: pd.DataFrame) -> str:
    """Return the meta-regression in a sentence: the slope of an average group, the changes, and F."""
    first, *others = table.to_dict("records")
    changes = ", ".join(
        f"{_between(row['estimate'], row['ci_low'], row['ci_high'])} with one more of {row['term']}" for row in others
    )
    return (
        f"With {' and '.join(str(row['term']) for row in others)} beside it the slope of an average group is "
        f"{_between(first['estimate'], first['ci_low'], first['ci_high'])} and changes by {changes}; τ "
        f"{told(math.sqrt(first['tau2']))}; F {told(first['f'])}, {_p(first['f_p'])}."
    )


def why_they_differ(one: Pooled, common: Summary, *, normal: bool = True) -> str:
    """Say why the posterior of the common slope is not where the classical interval is; blank where it is.

    They differ where one interval is `MUCH_WIDER` times as long as the other, or the estimates differ by `FAR_APART` of
    the longer one.
    """
    lengths = common.ci_high - common.ci_low, one.high - one.low
    if not min(lengths) > 0:
        return ""
    longer = max(lengths)
    middle = common.mean if math.isfinite(common.mean) else (common.ci_low + common.ci_high) / 2
    unlike = longer > MUCH_WIDER * min(lengths)
    if not unlike and abs(middle - one.estimate) <= FAR_APART * longer:
        return ""
    how = "lies elsewhere than" if not unlike else "is wider than" if lengths[0] == longer else "is narrower than"
    tails = "" if normal else ", and takes every estimate, and slopes between groups, for normal"
    return (
        f"The posterior interval of the common slope {how} the classical one, because {one.n} estimates say little "
        "about τ. The posterior averages over every τ that its prior and the estimates allow. The classical interval "
        f"uses one value of τ and the quantiles of t with {one.n - 1} degrees of freedom{tails}. See sensitivity.csv "
        "for other priors."
    )


def _between(estimate: float, low: float, high: float) -> str:
    return f"{told(estimate)} ({told(low)} to {told(high)})"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
