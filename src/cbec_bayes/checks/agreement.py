"""Classical estimates and their standard errors against the posterior, term by term, with a reason where they part."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.checks.result import CheckResult
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.tables import MOST_GROUPS
from cbec_bayes.estimands.groups import group_slopes
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_ALL

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
)

APART = 1.5
"""Ratio of two standard errors beyond which a reason is given."""

FEWEST = 5
"""Fewer clusters than this tell nothing about their own variance."""


def agreement(found: PanelFit, ssc: str, *, replications: int = 999, seed: int = 1) -> CheckResult:
    """Hold the classical regressions against the posterior.

    Parameters
    ----------
    found
        A fitted model.
    ssc
        Convention of the clustered standard errors.
    replications, seed
        Of the wild cluster bootstrap.

    Returns
    -------
    CheckResult
        One row per term of the pooled regression that the model has in common for all rows, and one per group's slope
        of the exposure, where there are at most `MOST_GROUPS`. `apart` is the posterior mean less the estimate, in
        posterior standard deviations; `mcse` is the Monte Carlo standard error of that mean. The ends of the classical
        intervals have the degrees of freedom of the p-values beside them. The check fails where each of a pair lies
        outside the other's 95 % interval (the classical one under CRV1).
    """
    name = "agreement"
    rows: list[tuple[object, ...]] = []
    refuted: list[str] = []
    for column, part, draws in _columns(found):
        try:
            tested = [term for term in part.terms if term in draws]
            classical = few_clusters(part, ssc=ssc, bootstrapped=tested, replications=replications, seed=seed)
        except InputError:  # its rows cannot carry the regression
            continue
        ends = classical.intervals()
        low, high = ends["CRV1"]
        for k, term in enumerate(part.terms):
            if term not in draws or not np.isfinite(classical.regression.se[k]):
                continue
            s = summarise_draws(draws[term])
            estimate, crv1 = float(classical.regression.estimate[k]), float(classical.regression.se[k])
            crv3 = float(classical.crv3_se[k])
            chances = classical.regression.p[k], classical.cr2_p[k], classical.crv3_p[k], classical.wild_p[k]
            pooled = found.model.choice("group_slope") == "pooled" and term == part.terms[0]
            why = explain(
                s.mean - estimate, s.sd, crv1, crv3, len(part.units), of_all=column == GROUP_ALL, pooled=pooled
            )
            compared = (s.mean - estimate) / s.sd, s.sd / crv1, s.sd / crv3
            posterior = s.mean, s.sd, s.ci_low, s.ci_high
            errors = estimate, crv1, float(classical.cr2_se[k]), crv3, *(float(p) for p in chances)
            mcse = s.sd / math.sqrt(found.diagnostics.ess_bulk_min)
            drawn = mcse, *(float(end[k]) for pair in ends.values() for end in pair)
            rows.append(
                (column, term, len(part.units), *errors, *posterior, *compared, why, str(found.design.origin), *drawn)
            )
            if not (s.ci_low <= estimate <= s.ci_high or low[k] <= s.mean <= high[k]):
                refuted.append(f"{term}, {column}")
    table = pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))
    if table.empty:
        return CheckResult(name, None, table, None, "No classical regression can be run beside the posterior.")
    ratio, far = table["sd_over_crv1"], table["apart"].abs().max()
    text = (
        f"Of {len(table)} terms the classical estimate and the posterior mean are at most {far:.1f} "
        f"posterior standard deviations apart, which are {ratio.min():.2f} to {ratio.max():.2f} times the clustered "
        f"standard errors{'; each outside the interval of the other: ' + '; '.join(refuted) if refuted else ''}."
    )
    return CheckResult(name, not refuted, table, "agreement", text)


def _columns(found: PanelFit) -> Iterator[tuple[str, Design, dict[str, Array]]]:
    """Yield the label of each regression, its rows, and draws of the slopes that the model has for them, by term."""
    design, slopes = found.design, group_slopes(found)
    posterior = found.tree["posterior"].dataset
    common = {design.terms[0]: slopes.common}
    if "control_slope" in posterior:
        common |= {term: posterior["control_slope"].sel(coef=term).to_numpy() for term in design.terms[1:]}
    yield GROUP_ALL, design, common
    for r, group in enumerate(slopes.labels if 1 < len(slopes.labels) <= MOST_GROUPS else ()):
        yield group, design.of_group(group), {design.terms[0]: slopes.groups[:, r]}


def explain(apart: float, sd: float, crv1: float, crv3: float, n_clusters: int, *, of_all: bool, pooled: bool) -> str:
    """Say in plain words why a posterior and a regression part, if they do.

    Parameters
    ----------
    apart
        Posterior mean less estimate.
    sd, crv1, crv3
        Posterior standard deviation and clustered standard errors.
    n_clusters
        Of the regression.
    of_all
        Whether the regression is on all rows.
    pooled
        Whether the slope is pooled between groups.
    """
    reasons = []
    if pooled and not of_all and abs(apart) > sd:
        reasons.append("pooling moves it towards the common slope")
    if n_clusters < FEWEST:
        reasons.append(f"{n_clusters} clusters are too few for any clustered error")
    elif math.isfinite(crv3) and crv3 > APART * crv1:
        reasons.append(f"{n_clusters} clusters or their leverage make CRV1 too small, as the jackknife shows")
    if sd < crv1 / APART:
        borrowed = "the posterior borrows from the other groups" if pooled and not of_all else ""
        assumed = "the model takes errors within a unit as independent, clustering does not"
        reasons.append(borrowed or assumed)
    elif sd > APART * crv1 and n_clusters >= FEWEST:
        of_groups = "the common slope is that of groups in general, which differ"
        reasons.append(of_groups if pooled and of_all else "errors of a unit cancel more than independent ones would")
    return "; ".join(reasons) or "they agree"
