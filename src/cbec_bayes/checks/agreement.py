"""Classical estimates and their standard errors against the posterior, term by term, with a reason where they part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.checks.pair import LEAST, Pair
from cbec_bayes.checks.refits import Refitted, over_units, regression_sds
from cbec_bayes.checks.remedies import Finding, remedy
from cbec_bayes.checks.result import FAMILY_LEVEL, CheckResult, not_applying
from cbec_bayes.checks.severity import Severity, Slope, instead_of, numbers_of, severest
from cbec_bayes.checks.without import NEARER, why_apart
from cbec_bayes.classical.few import FewClusters, few_clusters
from cbec_bayes.classical.tables import MOST_GROUPS
from cbec_bayes.estimands.groups import group_slopes
from cbec_bayes.estimands.loadings import units_per_group
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import t_isf
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

AGREEMENT_COLUMNS = (
    "column",
    "term",
    "n_clusters",
    "estimate",
    "crv1_se",
    "cr2_se",
    "crv3_se",
    "crv1_p",
    "cr2_p",
    "crv3_p",
    "wild_p",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "apart",
    "sd_over_crv1",
    "sd_over_crv3",
    "why",
    "origin",
    "mcse",
    "crv1_low",
    "crv1_high",
    "cr2_low",
    "cr2_high",
    "crv3_low",
    "crv3_high",
    "sd_over_cr2",
    "severity",
)

_CANDIDATES = (Finding.SERIAL, Finding.UNITS, Finding.DRIFT, Finding.SPREAD)
"""What may make clustered errors larger or smaller than the posterior's."""


def agreement(
    found: PanelFit,
    ssc: str,
    *,
    replications: int = 999,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> CheckResult:
    """Hold the classical regressions against the posterior.

    Parameters
    ----------
    found
        A fitted model.
    ssc
        Convention of the clustered standard errors.
    replications, seed
        Draws and seed of the wild cluster bootstrap; the seed is that of refits too.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    CheckResult
        One row per term of the pooled regression that the model has in common for all rows. Where groups differ in
        their slopes, and there are at most `MOST_GROUPS`, the same of the interacted regression, whose slope is the
        average over units (the posterior's is then that of units like those that are there, without their own
        deviations), and one row per group's slope of the exposure. `apart` is the posterior mean less the estimate, in
        posterior standard deviations; `mcse` is the Monte Carlo standard error of that mean. The ends of the classical
        intervals have the degrees of freedom of the p-values beside them.

    Notes
    -----
    The severity is judged by CR2. The check *widens the answer* where the posterior sd of a slope is below `LEAST` or
    above `MOST` times CR2's standard error, and the degrees of freedom of this one do not allow for the difference: few
    clusters hardly know it themselves. It *changes the answer* where a sign that the posterior settles would not be
    settled with that standard error. Ratios are judged of what both estimate alike: the slope in common, or the average
    over units, and the controls in common. They are not judged of slopes of groups, which borrow from each other, nor
    under a model that has correlated errors, a spread for each group, trends or periods of groups, and so weighs rows
    otherwise than the regression; `why` says it.

    A slope of a group is judged where the classical interval excludes the posterior mean, at a level that all groups
    share: the severity is then that of the change from the posterior to the regression
    (`cbec_bayes.checks.severity.Change`), and at least *worth knowing*. Otherwise the check is *fine*.

    Where a ratio is too far off, the model is refitted with each term that could be the reason, and the text names
    those that come nearer. Where that is not judged, the model is refitted without each of its terms, and the text
    names those that make the posterior narrower or wider (`cbec_bayes.checks.without.why_apart`).
    """
    name = "agreement"
    tried = tuple(_pairs(found, ssc, replications, seed))
    pairs = [one for one, _ in tried]
    if not pairs:
        return not_applying(name, AGREEMENT_COLUMNS, "No classical regression can be run beside the posterior.")
    table = pd.DataFrame([row for _, row in tried], columns=list(AGREEMENT_COLUMNS))
    far, far_of_errors = table["apart"].abs().max(), max(one.apart for one in pairs)
    ratios = [one.ratio for one in pairs if one.is_judged]
    why = next((one.legitimate for one in reversed(pairs) if one.legitimate), "")
    spread = f"Posterior sds are not judged against CR2's standard errors, because {why}"
    if ratios:
        spread = f"Posterior sds are {min(ratios):.2f} to {max(ratios):.2f} times CR2's standard errors"
    text = (
        f"The classical estimate and the posterior mean of each of {len(table)} terms differ by at most {far:.1f} "
        f"posterior standard deviations, and by at most {far_of_errors:.1f} of CR2's standard errors. {spread}."
    )
    exposure = found.design.terms[0]
    judged = sorted(pairs, key=lambda one: (one.severity.rank, one.term != exposure))
    if judged[0].severity in (Severity.CHANGES, Severity.WIDENS):
        text += _said(found, judged, seed=seed, executor=executor, on_progress=on_progress)
    average = [one for one in pairs if one.term == exposure and not one.is_of_group][-1:]
    if average and average[0].is_far and average[0].legitimate:
        first = average[0]
        text += f" The posterior sd of {first.name} is {first.ratio:.2f} times CR2's standard error."
        because = why_apart(found, first.ratio, first.se, seed=seed, executor=executor, on_progress=on_progress)
        text += f" {because}" if because else ""
    return CheckResult(name, severest(one.severity for one in pairs), table, "agreement", text)


def _pairs(found: PanelFit, ssc: str, replications: int, seed: int) -> Iterator[tuple[Pair, tuple[object, ...]]]:
    pooled = found.model.choice("group_slope") == "pooled"
    others = _clusters_otherwise(found.design) or _weighs_otherwise(found.model)
    for column, part, draws in _columns(found):
        try:
            tested = [term for term in part.terms if term in draws]
            few = few_clusters(part, ssc=ssc, bootstrapped=tested, replications=replications, seed=seed)
        except InputError:  # its rows cannot carry the regression
            continue
        if column == GROUP_AVERAGE and not np.isfinite(few.regression.se).all():  # a group whose slope they do not tell
            continue
        common = column == GROUP_ALL and found.model.choice("group_slope") != "off" and len(found.design.groups) > 1
        for k, term in enumerate(part.terms):
            if term in draws and np.isfinite(few.regression.se[k]) and few.regression.se[k] > 0:
                of_general = "the model lets groups differ and this regression does not" if common else ""
                cr2 = float(few.cr2_se[k]), float(few.cr2_df[k])
                crv1 = float(few.regression.se[k]), max(1.0, few.regression.n_clusters - 1.0)
                se, df = cr2 if cr2[0] > 0 else crv1
                one = Pair(
                    column=column,
                    term=term,
                    estimate=float(few.regression.estimate[k]),
                    se=se,
                    df=df,
                    posterior=summarise_draws(draws[term]),
                    legitimate=of_general or others,
                    pooled=pooled and column not in (GROUP_ALL, GROUP_AVERAGE),
                    level=FAMILY_LEVEL / max(1, len(found.design.groups)),
                )
                yield one, _row(one, few, k, found)


def _columns(found: PanelFit) -> Iterator[tuple[str, Design, dict[str, Array]]]:
    """Yield the label of each regression, its rows, and draws of the slopes that the model has for them, by term."""
    design, slopes = found.design, group_slopes(found)
    posterior = found.tree["posterior"].dataset
    exposure = design.terms[0]
    controls = {}
    if "control_slope" in posterior:
        controls = {term: posterior["control_slope"].sel(coef=term).to_numpy() for term in design.controls}
    yield GROUP_ALL, design, {exposure: slopes.common} | controls
    if len(slopes.labels) < 2:
        return
    if len(slopes.labels) > MOST_GROUPS:
        return
    if found.model.choice("group_slope") != "off":
        own = controls if found.model.choice("group_control_slope") == "off" else {}
        yield GROUP_AVERAGE, interacted(design), {exposure: over_units(slopes, design)} | own
    for r, group in enumerate(slopes.labels):
        yield group, design.of_group(group), {exposure: slopes.groups[:, r]}


def interacted(design: Design) -> Design:
    """Return the rows with a slope of the exposure for each group, of which the first is the average over units.

    With w_r the shares of units, d beta_r = d sum_r w_r beta_r + d (beta_r - sum_r w_r beta_r), so that the columns are
    d, which has the average, and for every group but the last d in the group less w_r / w_R times d in the last.
    """
    assert design.group is not None
    sizes = units_per_group(design)
    d, last = design.x[:, 0], len(design.groups) - 1
    own = [d * (design.group == r) - sizes[r] / sizes[last] * d * (design.group == last) for r in range(last)]
    names = [f"{design.terms[0]}: {group}" for group in design.groups[:last]]
    x = np.column_stack([d, design.x[:, 1:], *own])
    return design.with_regressors((*design.terms, *names), x)


def _clusters_otherwise(design: Design) -> str:
    """Say that errors hang together within more than units where the regression's do; blank where they do not."""
    if not design.clusters:
        return ""
    names = " and ".join(one.name for one in design.clusters)
    return f"the regression lets errors be correlated within {names}, and the model takes units as independent"


def _weighs_otherwise(model: PanelModel) -> str:
    """Say which terms let a model weigh rows otherwise than a regression does; blank where it weighs them alike."""
    if model.choice("residual") != "normal" or model.choice("correlation") != "off" or model.residuals.by_group:
        return (
            "the model weights rows by the size and correlation of their errors, and the regression weights all "
            "rows alike"
        )
    if model.choice("unit_trend") != "off":
        return "the model has trends of units and the regression has none"
    if model.choice("group_time_effect") != "off" or model.choice("group_control_slope") != "off":
        return "the model lets groups differ in more than the slope and the regression does not"
    return ""


def _row(one: Pair, few: FewClusters, k: int, found: PanelFit) -> tuple[object, ...]:
    s = one.posterior
    crv1, crv3 = float(few.regression.se[k]), float(few.crv3_se[k])
    chances = few.regression.p[k], few.cr2_p[k], few.crv3_p[k], few.wild_p[k]
    errors = one.estimate, crv1, float(few.cr2_se[k]), crv3, *(float(p) for p in chances)
    posterior = s.mean, s.sd, s.ci_low, s.ci_high
    compared = (s.mean - one.estimate) / s.sd, s.sd / crv1, s.sd / crv3
    mcse = s.sd / math.sqrt(found.diagnostics.ess_bulk_min)
    ends = (float(end[k]) for pair in few.intervals().values() for end in pair)
    last = s.sd / float(few.cr2_se[k]), str(one.severity)
    labels = one.column, one.term, few.regression.n_units
    return (*labels, *errors, *posterior, *compared, explain(one), str(found.design.origin), mcse, *ends, *last)


def explain(one: Pair) -> str:
    """Say in plain words why a posterior and a regression part, if they do."""
    reasons = []
    if one.pooled and abs(one.posterior.mean - one.estimate) > one.posterior.sd:
        reasons.append("pooling moves it towards the common slope")
    if not one.is_far:
        return "; ".join(reasons) or "they agree"
    if one.pooled:
        reasons.append("the posterior also uses rows of other groups" if one.ratio < LEAST else _FEW.format(one.df))
    elif one.legitimate:
        reasons.append(one.legitimate)
    elif one.is_allowed:
        reasons.append(_FEW.format(one.df))
    elif one.ratio < LEAST:
        reasons.append("the model takes errors within a unit as independent, and clustering does not")
    else:
        reasons.append("errors within a unit are negatively correlated, which only clustering allows for")
    return "; ".join(reasons)


_FEW = (
    "with {:.1f} degrees of freedom the clustered standard error is itself so uncertain that it allows for this "
    "difference"
)


def _said(found: PanelFit, judged: Sequence[Pair], *, seed: int, executor: Executor, on_progress: OnProgress) -> str:
    """Say which terms part by how much, the severest first, and which term of the family answers it."""
    far = [one for one in judged if one.severity in (Severity.CHANGES, Severity.WIDENS)]
    first = far[0]
    if first.is_of_group:
        own, half = Slope.of(first.posterior), first.se * float(t_isf((1 - CI_PROB) / 2, first.df))
        regression = Slope(first.estimate, first.estimate - half, first.estimate + half)
        return (
            f" In the group {first.column} the interval of the regression excludes the posterior mean of the "
            "slope: the "
            f"regression gives {numbers_of(regression, own)}, the posterior {numbers_of(own, regression)}. The terms "
            "group_control_slope and group_time_effect let groups differ in more than the slope."
        )
    said = f" The posterior sd of {first.name} is {first.ratio:.2f} times CR2's standard error: {explain(first)}."
    if first.severity is Severity.CHANGES:
        said += f" With that standard error {instead_of(first.as_clustered, grouped=False)}."
    return said + _nearer(found, first, seed=seed, executor=executor, on_progress=on_progress)


def _nearer(found: PanelFit, one: Pair, *, seed: int, executor: Executor, on_progress: OnProgress) -> str:
    """Say with which terms the posterior sd comes nearer to CR2's standard error, the nearest first."""
    remedies = [remedy(finding, found.model, found.design) for finding in _CANDIDATES]
    tried = [(r, Refitted(found.design, r.model, seed)) for r in remedies if r.model is not None]
    pieces = [piece for _, piece in tried]
    sds = fan_out(executor, regression_sds, pieces, on_progress=on_progress, named="term")
    ratios = [(own[one.term] / one.se, r) for (r, _), own in zip(tried, sds, strict=True) if one.term in own]
    own = abs(math.log(one.ratio))
    nearer = sorted(
        (pair for pair in ratios if abs(math.log(pair[0])) < own - NEARER), key=lambda p: abs(math.log(p[0]))
    )
    if not nearer:
        return " No single further term brings the two closer together."
    said = ", ".join(f"{ratio:.2f} times with {r.said} (term {r.term})" for ratio, r in nearer)
    return f" It is {said}."
