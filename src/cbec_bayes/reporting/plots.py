"""Figures of a fit from Python, as matplotlib figures: drawn by what draws those of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.checks import CheckResult
from cbec_bayes.checks.suite import Checks
from cbec_bayes.classical.tables import classical_frame, fit_columns, own_columns
from cbec_bayes.estimands.groups import effects
from cbec_bayes.jobs.specifications import Specified
from cbec_bayes.jobs.study import posterior_path
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.checkfigures import check_drawings
from cbec_bayes.reporting.drawing import Drawing
from cbec_bayes.reporting.paneltables import own_regressions, shown_groups
from cbec_bayes.reporting.plain import in_natural_order
from cbec_bayes.reporting.specifications import curves
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, level

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_effects(fit: PanelFit, *, ssc: str = "reghdfe", ci: float = CI_PROB, label: str | None = None) -> Figure:
    """Draw the slope of each group beside the group's own regression.

    Parameters
    ----------
    fit
        A fitted model.
    ssc
        Convention of the clustered standard errors.
    ci
        Probability of the intervals.
    label
        Words for the exposure; default its name.

    Returns
    -------
    matplotlib.figure.Figure
        With many groups it shows those with the largest and the smallest slopes.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.plot_effects(fit).savefig("effects.png")
    """
    design = fit.design
    table = effects(fit, ssc, prob=ci)
    own = pd.DataFrame({"column": [], "term": [], "estimate": [], "ci_low": [], "ci_high": []})
    if fit.blocks.gathered is None:
        own = classical_frame(fit_columns(design, own_columns(design), ssc, directly=True), design.origin, ci)
    figure: Figure = effects_drawing(table, own, design.terms[0], label=label, ci=ci).figure
    return figure


def effects_drawing(
    table: pd.DataFrame, classical: pd.DataFrame, exposure: str, *, label: str | None = None, ci: float = CI_PROB
) -> Drawing:
    """Draw effects.csv beside classical.csv, with the groups in natural order.

    Parameters
    ----------
    table, classical
        As the files of these names have them.
    exposure
        The term whose slopes are drawn.
    label
        Words for it; default its name.
    ci
        Probability of the intervals.
    """
    few, _ = shown_groups(in_natural_order(table))
    own = own_regressions(classical, exposure, few["group"])
    beside = f"own regression, clustered {level(ci)} interval"
    return figures.forest(few, own, f"slope of {label or exposure}", beside, prob=ci)


def plot_path(fit: PanelFit, *, seed: int = 1, label: str | None = None) -> Figure:
    """Draw the slope of each group from complete to no pooling, and what the data say about the scale between groups.

    Parameters
    ----------
    fit
        A fitted model whose group slopes are pooled, and whose coefficients are integrated out.
    seed
        Seed of the fits along the path.
    label
        Words for the exposure; default its name.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        The model has no such path; or no fit along it passed its gates.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.plot_path(fit).savefig("path.png")
    """
    if fit.collapsed is None or "tau" not in fit.collapsed.names:
        raise InputError(
            f"the model '{fit.model.name}' has no path from complete to no pooling, because it does not pool slopes"
        )
    path, density = posterior_path(fit, seed=seed)
    if path.is_empty:
        raise InputError(f"there is no path to draw. {path.gates}")
    figure: Figure = figures.path(
        labels=path.labels,
        tau=path.tau,
        means=path.means,
        density=density,
        complete=path.complete,
        xlabel=f"sd of slopes between groups, τ ({label or fit.design.terms[0]})",
    ).figure
    return figure


def plot_specifications(specified: Specified, *, scale: str | None = None, label: str | None = None) -> Figure:
    """Draw every slope under every specification, and what each of them assumes.

    Parameters
    ----------
    specified
        From `cbec_bayes.weigh_specifications`.
    scale
        ``"levels"`` or ``"logarithms"`` of the outcome, where there are both; default the first.
    label
        Words for the exposure; default its name.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        No specification has slopes on this scale.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.plot_specifications(cb.weigh_specifications(fit)).savefig("specifications.png")
    """
    drawn = curves(specified.specifications, label or specified.exposure, prob=specified.ci)
    name = next(iter(drawn), "") if scale is None or len(drawn) == 1 else f"specifications_{scale}"
    if name not in drawn:
        raise InputError("no specification passed its gates" if not drawn else f"no slopes of the outcome in {scale}")
    figure: Figure = drawn[name].figure
    return figure


def plot_checks(checks: Checks | Sequence[CheckResult], *, exposure: str = "") -> dict[str, Figure]:
    """Draw the checks of a fit.

    Parameters
    ----------
    checks
        From `cbec_bayes.check`.
    exposure
        The term whose cells are filled where cells of regressions are drawn.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By the name of the check; a check that does not apply, or that its table says better, has no figure.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> figures = cb.plot_checks(cb.check(fit, only=("power_scaling", "agreement")))
    >>> sorted(figures)
    ['agreement', 'power_scaling']
    """
    results = checks.results if isinstance(checks, Checks) else checks
    return {name: one.figure for name, one in check_drawings(results, exposure).items()}
