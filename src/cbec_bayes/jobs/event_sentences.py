"""An event study in plain sentences: what holds under all estimators, and what does not."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from cbec_bayes.classical.events.paths import SUN_ABRAHAM, TWFE
from cbec_bayes.classical.events.pretrends import BIAS_REDUCED
from cbec_bayes.estimands.summary import leaves_zero_out
from cbec_bayes.jobs import event_estimators
from cbec_bayes.jobs.event_tables import EVERY, HIERARCHICAL, PLACEBO_FACTOR
from cbec_bayes.panel.adoption import Adoption
from cbec_bayes.panel.cells import count
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, level

NAMES = {**event_estimators.NAMES, HIERARCHICAL: "the hierarchical model"}
"""What sentences call the estimators."""

_LEVEL = 0.05
_FEWEST = 2
_WEAK = 1.1  # log Bayes factor: three to one
_ENOUGH = 0.2  # share of the units of the first lag without which a later one is not spoken of


def event_sentences(
    adoption: Adoption,
    events: pd.DataFrame,
    pretrends: pd.DataFrame,
    weights: pd.DataFrame,
    *,
    outcome: str | None = None,
    prob: float = CI_PROB,
) -> tuple[str, ...]:
    """Return what an event study says.

    Parameters
    ----------
    adoption
        The rows.
    events, pretrends, weights
        The tables; see `cbec_bayes.jobs.event_tables`.
    outcome
        What the outcome is called; default its column.
    prob
        Probability of the intervals.
    """
    every = events[events["group"] == GROUP_ALL]
    return (
        *_about_panel(adoption),
        *_about_average(every, outcome or adoption.design.outcome, prob),
        *_about_growth(every, prob),
        *about_pretrends(pretrends),
        *_about_placebos(pretrends),
        *_about_weights(weights, every),
    )


def _about_panel(adoption: Adoption) -> Iterator[str]:
    design = adoption.design
    labels = adoption.cohort_labels()
    when = labels[0] if len(labels) == 1 else f"between {labels[0]} and {labels[-1]}"
    n_adopters = int((adoption.cohort >= 0).sum())
    yield (
        f"{n_adopters} of {count(len(design.units), 'unit')} adopt {when}, in {count(len(labels), 'cohort')}; "
        f"{len(design.units) - n_adopters} {'is' if len(design.units) - n_adopters == 1 else 'are'} not treated in the "
        f"{count(len(design.times), 'period')} that are compared."
    )


def _about_average(every: pd.DataFrame, outcome: str, prob: float) -> Iterator[str]:
    """Yield what the estimators say of the mean effect over all treated rows."""
    averages = every[(every["event_time"] == EVERY) & every["estimate"].notna()]
    if averages.empty:
        yield "No estimator has a mean effect over the treated rows."
        return
    low, high = averages["estimate"].min(), averages["estimate"].max()
    clear = leaves_zero_out(averages)
    yield (
        f"The mean effect of adoption on {outcome} over all treated rows lies between {low:.3g} and {high:.3g}, "
        "depending on the estimator."
    )
    ci = level(prob)
    if clear.all() and (low > 0) == (high > 0):
        side = "above" if low > 0 else "below"
        yield f"Every estimator puts its {ci} interval {side} zero: the sign holds under all."
    elif not clear.any():
        yield f"No estimator's {ci} interval leaves zero out: none tells the sign of the mean effect."
    else:
        told = [
            f"{NAMES[row['estimator']]} ({row['estimate']:.3g}, {row['ci_low']:.3g} to {row['ci_high']:.3g})"
            for row in averages[clear].to_dict("records")
        ]
        n_open = int((~clear).sum())
        others = "other one" if n_open == 1 else f"other {n_open} estimators"
        yield (
            f"The {ci} interval leaves zero out under {', '.join(told)}, and includes it under the {others}: the sign "
            "of the mean effect depends on the estimator."
        )


def _about_growth(every: pd.DataFrame, prob: float) -> Iterator[str]:
    """Yield how effects change with time since adoption, where the first and the last lag have intervals."""
    after = every[(every["event_time"] != EVERY) & every["estimate"].notna()]
    after = after.assign(lag=pd.to_numeric(after["event_time"]))
    after = after[after["lag"] >= 0]
    there = set(after["estimator"])
    estimator = next((one for one in (HIERARCHICAL, SUN_ABRAHAM, *NAMES) if one in there), "")
    own = after[after["estimator"] == estimator].sort_values("lag", ignore_index=True)
    if len(own) < 2 or own["n_units"].iloc[0] < _FEWEST:
        return
    first = own.iloc[0]
    last = own[own["n_units"] >= max(_FEWEST, _ENOUGH * int(first["n_units"]))].iloc[-1]
    yield (
        f"Under {NAMES[estimator]} the effect is {first['estimate']:.3g} in the period of adoption "
        f"({level(prob)} interval {first['ci_low']:.3g} to {first['ci_high']:.3g}), and {last['estimate']:.3g} "
        f"{count(int(last['lag']), 'period')} later ({last['ci_low']:.3g} to {last['ci_high']:.3g}; "
        f"{count(int(last['n_units']), 'unit')} are observed that long)."
    )


def about_pretrends(pretrends: pd.DataFrame) -> Iterator[str]:
    """Yield whether units that adopt moved apart from others before they did.

    Parameters
    ----------
    pretrends
        The table; see `cbec_bayes.jobs.event_tables`.
    """
    tests = pretrends[pretrends["p"].notna() & (pretrends["estimator"] == SUN_ABRAHAM)]
    own = tests[tests["test"] == BIAS_REDUCED] if (tests["test"] == BIAS_REDUCED).any() else tests
    if own.empty:
        yield "Nothing tests whether units moved alike before adoption: no period before the reference can be tested."
        return
    p = float(own["p"].iloc[0])
    said = "< 0.001" if p < 0.0005 else f"= {p:.3f}"
    if p < _LEVEL:
        yield (
            "Before adoption, units that were about to adopt already moved apart from the others (all leads zero: "
            f"p {said}). Effects after adoption can then not be told from what would have happened without it."
        )
        return
    yield (
        f"Before adoption no difference between units that adopt and others is found (all leads zero: p {said}). That "
        "does not show that they would have moved alike later."
    )


def _about_placebos(pretrends: pd.DataFrame) -> Iterator[str]:
    """Yield whether the hierarchical model has effects before adoption."""
    own = pretrends[pretrends["test"] == PLACEBO_FACTOR]
    if own.empty:
        return
    factor = float(own["statistic"].iloc[0])
    if abs(factor) < _WEAK:
        said = "the panel hardly tells whether there are effects before adoption"
    else:
        said = f"the panel speaks {'for no' if factor > 0 else 'for'} effects before adoption"
    yield f"Under the hierarchical model {said} (log Bayes factor of none against some: {factor:.1f})."


def _about_weights(weights: pd.DataFrame, every: pd.DataFrame) -> Iterator[str]:
    """Yield whether the two-way coefficient weighs effects negatively."""
    negative = weights[weights["weight"] < 0]
    if negative.empty:
        yield (
            "In the coefficient of two-way fixed effects no cell of cohort and period has a negative weight, though "
            "weights differ from shares of rows."
        )
        return
    static = every[(every["estimator"] == TWFE) & (every["event_time"] == EVERY)]
    if static.empty:
        return
    cohorts = ", ".join(dict.fromkeys(negative["cohort"]))
    yield (
        f"The coefficient of two-way fixed effects ({static['estimate'].iloc[0]:.3g}) weighs the effects in "
        f"{len(negative)} of {len(weights)} cells of cohort and period negatively (weights adding up to "
        f"{negative['weight'].sum():.2g}; cohorts {cohorts}): it compares later adopters with earlier ones, and is no "
        "mean of effects where these change over time."
    )
