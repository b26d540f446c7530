"""Slopes of groups regressed on characteristics of the groups: does the slope rise with income?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit, draw_scales
from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.refit import diagnose
from cbec_bayes.bayes.sampling.gates import PASSED
from cbec_bayes.classical.few import MOST_CLUSTERS
from cbec_bayes.classical.fewbatch import prepare_few
from cbec_bayes.classical.regression import Regression, twfe
from cbec_bayes.estimands.mixed_slopes import log_scales, min_ess
from cbec_bayes.estimands.summary import SLOPE_ON_COLUMNS, Drawn, Mixed, Quantity, Summary, summarise_draws
from cbec_bayes.panel.characteristics import Characteristics
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.labels import CI_PROB

COLUMNS = (
    *SLOPE_ON_COLUMNS,
    "share",
    "share_ci_low",
    "share_ci_high",
    "evidence_gain",
    "estimate",
    "se",
    "p",
    "cr2_se",
    "cr2_df",
    "cr2_p",
    "gate",
    "origin",
)
"""Columns of slope_regression.csv; see `slope_regression`."""

DRAWS = 1_000
"""Number of draws of the scales, in the fit without characteristics."""


@dataclass(frozen=True, slots=True)
class SlopeRegression:
    """What slopes of groups have to do with characteristics of the groups.

    Attributes
    ----------
    table
        A row for each characteristic; see `COLUMNS`.
    said
        A sentence for each.
    """

    table: pd.DataFrame
    said: tuple[str, ...]


def slope_regression(
    fit: PanelFit, ssc: str = "reghdfe", *, prob: float = CI_PROB, seed: int = 1
) -> SlopeRegression | None:
    """Return the regression of the groups' slopes on characteristics of the groups, beside the classical one.

    Parameters
    ----------
    fit
        The fitted model.
    ssc
        Convention of the clustered standard errors that stand beside.
    prob
        Probability of the intervals.
    seed
        Seed of the fit without the characteristics.

    Returns
    -------
    SlopeRegression or None
        None where the slopes of the model are not regressed on any.

    Notes
    -----
    ``mean`` to ``p_positive`` are of delta, the change of the slope with one more unit of the characteristic.
    ``tau_with`` and ``tau_without`` are posterior medians of two fits, with the characteristics and without;
    ``explained`` is 1 - tau_with^2 / tau_without^2, of all characteristics together, and below zero where they explain
    less than they cost. ``share`` is of draws of the first fit alone: the variance over groups of delta'z over the sum
    of this and tau^2. ``evidence_gain`` is the log evidence of the first fit less that of the second. ``estimate`` and
    what follows it are of the regression with the exposure times each characteristic, with effects of units and
    periods, and errors clustered by unit.
    """
    characteristics, standardised = fit.design.characteristics, fit.blocks.characteristics
    if characteristics is None or standardised is None:
        return None
    names = next(block.labels[0] for block in fit.blocks.flat if block.name == COVARIATE_SLOPE)
    centre, spread = (
        _of(names, characteristics, values) for values in (characteristics.centre, characteristics.spread)
    )
    tau_without, evidence, gate = _without(fit.design, fit, seed)
    tau, delta = _draws(fit, "tau"), _draws(fit, COVARIATE_SLOPE)
    there = (delta @ standardised.T).var(axis=1, ddof=1)
    share = summarise_draws(np.divide(there, there + tau**2, out=np.zeros_like(there), where=there + tau**2 > 0), prob)
    own = float(np.median(tau))
    shared: dict[str, object] = {
        "n_groups": len(fit.design.groups),
        "tau_with": own,
        "tau_without": tau_without,
        "explained": 1 - own**2 / tau_without**2 if tau_without > 0 else np.nan,
        "share": share.mean,
        "share_ci_low": share.ci_low,
        "share_ci_high": share.ci_high,
        "evidence_gain": np.nan if fit.log_evidence is None else fit.log_evidence - evidence,
        "gate": gate,
        "origin": str(fit.design.origin),
    }
    classical = interacted_regression(fit.design, ssc)
    rows, said = [], []
    for k, (name, quantity) in enumerate(_slopes(fit, names, spread).items()):
        summary = quantity.summary(prob)
        beside = {column: classical[column][1 + characteristics.names.index(name)] for column in classical}
        measured = {"covariate": name, "covariate_mean": centre[k], "covariate_sd": spread[k]}
        rows.append(measured | asdict(summary) | shared | beside)
        said.append(_sentence(fit.design.terms[0], name, summary))
    said.append(_explained(names, own, tau_without, gate))
    return SlopeRegression(pd.DataFrame(rows, columns=list(COLUMNS)), tuple(said))


def interacted_regression(design: Design, ssc: str = "reghdfe") -> Mapping[str, Array]:
    """Return the regression with the exposure times each characteristic of the groups, less its mean over groups.

    Parameters
    ----------
    design
        With characteristics.
    ssc
        Convention of the clustered standard errors.

    Returns
    -------
    mapping
        estimate, se, p, cr2_se, cr2_df and cr2_p, each of shape (1 + M + K,): the exposure, its products with the
        characteristics, and the controls. NaN where there is nothing.
    """
    names = ("estimate", "se", "p", "cr2_se", "cr2_df", "cr2_p")
    products = interacted_design(design)
    found = {name: np.full(len(products.terms), np.nan) for name in names}
    try:
        fit: Regression = twfe(products, ssc=ssc, directly=True)
    except InputError:
        return found
    found |= {"estimate": fit.estimate, "se": fit.se, "p": fit.p}
    if fit.n_units <= MOST_CLUSTERS and not fit.is_exact:
        few = prepare_few(products, ssc=ssc).fit(products.y[None])
        found |= {"cr2_se": few.cr2_se[0], "cr2_df": few.cr2_df, "cr2_p": few.cr2_p[0]}
    return found


def interacted_design(design: Design) -> Design:
    """Return the design with the exposure times each characteristic of the groups, less its mean over groups."""
    characteristics = design.characteristics
    assert characteristics is not None
    assert design.group is not None
    about = (characteristics.standardised(design.groups) * characteristics.spread)[design.group]
    exposure, *controls = design.terms
    terms = (exposure, *(f"{exposure}:{name}" for name in characteristics.names), *controls)
    return design.with_regressors(terms, np.column_stack([design.x[:, :1], design.x[:, :1] * about, design.x[:, 1:]]))


def _of(names: tuple[str, ...], characteristics: Characteristics, values: Array) -> Array:
    """Return the values of some characteristics."""
    return values[[characteristics.names.index(name) for name in names]]


def _draws(fit: PanelFit, name: str) -> Array:
    values = np.asarray(fit.tree["posterior"][name].to_numpy(), dtype=float)
    return values.reshape(-1, *values.shape[2:])


def _slopes(fit: PanelFit, names: tuple[str, ...], spread: Array) -> dict[str, Quantity]:
    """Return delta of each characteristic, in its own unit."""
    if fit.collapsed is None:
        draws = _draws(fit, COVARIATE_SLOPE) / spread
        return {name: Drawn(draws[:, k], min_ess(fit)) for k, name in enumerate(names)}
    unit = np.eye(fit.collapsed.n_conditional)[fit.blocks.positions[COVARIATE_SLOPE]]
    mean, variance = fit.collapsed.linear(log_scales(fit, at_most=None), unit / spread[:, None])
    return {name: Mixed(mean[:, k], np.sqrt(variance[:, k]), min_ess(fit)) for k, name in enumerate(names)}


def _without(design: Design, fit: PanelFit, seed: int) -> tuple[float, float, str]:
    """Return the median of tau and the log evidence of the same model without characteristics, and its gate."""
    if fit.collapsed is None:
        return np.nan, np.nan, "the model was not fitted without"
    try:
        collapsed = collapsed_of(blocks_for(replace(design, characteristics=None), fit.model))
        drawn = draw_scales(collapsed, draws=DRAWS, chains=1, seed=seed)
        diagnose(drawn).require()
    except (GateError, InputError) as error:
        return np.nan, np.nan, str(error)
    tau = float(np.median(collapsed.scales(drawn.points[0])["tau"]))
    return tau, np.nan if drawn.evidence.value is None else drawn.evidence.value, PASSED


def _sentence(exposure: str, name: str, delta: Summary) -> str:
    """Say whether the slope changes with a characteristic."""
    numbers = f"{delta.mean:.3g} ({delta.ci_low:.3g} to {delta.ci_high:.3g}) with one more of it"
    if delta.ci_low > 0 or delta.ci_high < 0:
        verb = "rises" if delta.mean > 0 else "falls"
        return f"The slope of {exposure} {verb} with {name} of the group: it changes by {numbers}."
    return f"Whether the slope of {exposure} rises with {name} of the group is not settled: it changes by {numbers}."


def _explained(names: tuple[str, ...], tau: float, tau_without: float, gate: str) -> str:
    """Say how much of the variance of slopes between groups characteristics explain."""
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    if not tau_without > 0:
        return f"What {listed} explains of the differences between slopes of groups is not known: {gate}."
    share = 1 - tau**2 / tau_without**2
    explains = f"explains {share:.0%} of their variance" if share > 0 else "explains nothing of their variance"
    return (
        f"The standard deviation of slopes between groups is {tau:.3g} with {listed} and {tau_without:.3g} without "
        f"(posterior medians of two fits): {listed} {explains}."
    )
