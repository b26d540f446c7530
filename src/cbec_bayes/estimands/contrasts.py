"""Comparisons of the slopes of a fitted panel model: contrasts, ranks, and whether a slope is practically zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.estimands.groups import slope_differences, slope_quantities
from cbec_bayes.estimands.summary import CONTRAST_COLUMNS
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_NEW

ROPE = 0.1
"""Half-width of what is practically zero, in ratios of the standard deviations of outcome and exposure within units."""


def rope_width(design: Design, rope: float | None = None) -> float:
    """Return the half-width of what is practically zero: what was asked for, or `ROPE` in the outcome's unit."""
    within = design.spread.within
    return ROPE * float(within[0] / within[1]) if rope is None else rope


def contrasts(fit: PanelFit, prob: float = CI_PROB) -> pd.DataFrame:
    """Contrast every two groups, with intervals of a probability.

    Returns
    -------
    DataFrame
        group, minus, mean, sd, ci_low, ci_high, p_positive (the probability that the first is larger), origin, mcse.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.contrasts(fit)[["group", "minus", "mean", "p_positive"]].round(1)
       group  minus  mean  p_positive
    0   food  metal  -0.4         0.0
    1   food  paper  -0.7         0.0
    2  metal  paper  -0.4         0.0
    """
    origin = str(fit.design.origin)
    rows = [
        {"group": one, "minus": other, **asdict(difference.summary(prob)), "origin": origin}
        for (one, other), difference in slope_differences(fit).items()
    ]
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def ranks(labels: Sequence[str], draws: Array) -> pd.DataFrame:
    """Return the probability of each rank, 1 the largest slope: group, rank, probability."""
    order = (-draws).argsort(axis=1).argsort(axis=1)
    rows = [
        {"group": label, "rank": k + 1, "probability": float((order[:, r] == k).mean())}
        for r, label in enumerate(labels)
        for k in range(len(labels))
    ]
    return pd.DataFrame(rows, columns=["group", "rank", "probability"])


def equivalence(fit: PanelFit, half_width: float | None = None, prob: float = CI_PROB) -> pd.DataFrame:
    """Return each slope with the probability that it is practically zero (Kruschke, 2018), and the average over units.

    Parameters
    ----------
    fit
        A fitted model.
    half_width
        Half-width of the region of practical equivalence to zero, in units of the slope; default that of `rope_width`.
    prob
        Probability of the intervals.

    Returns
    -------
    DataFrame
        estimand (``(average)``, a group, or ``(all)``), mean, sd, ci_low, ci_high, p_positive, rope_half_width, p_rope,
        origin, mcse.

    Raises
    ------
    InputError
        The half-width is not positive.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.equivalence(fit, 0.5).set_index("estimand")["p_rope"].round(1).to_dict()
    {'(average)': 0.0, 'food': 0.5, 'metal': 0.0, 'paper': 0.0, '(all)': 0.1}
    """
    half_width = rope_width(fit.design, half_width)
    if not half_width > 0:
        raise InputError(f"the region of practical equivalence needs a positive half-width, not {half_width:g}")
    rows = []
    for name, quantity in slope_quantities(fit).items():
        if name == GROUP_NEW:
            continue
        found = quantity.summary(prob)
        numbers = dict(zip(("mean", "sd", "ci_low", "ci_high", "p_positive"), found.numbers, strict=True))
        rope = {"rope_half_width": half_width, "p_rope": quantity.within(half_width)}
        rows.append({"estimand": name, **numbers, **rope, "origin": str(fit.design.origin), "mcse": found.mcse})
    return pd.DataFrame(rows)
