"""How far each group's slope moves with the prior of the between-group scale: refits, exact and cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import location_priors
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.observations import points_of
from cbec_bayes.bayes.posterior import POINTWISE_MAX, pointwise
from cbec_bayes.bayes.sampling.gates import KHAT_MAX, PASSED, sentence
from cbec_bayes.bayes.sampling.weights import smoothed_weights
from cbec_bayes.checks.refits import Refitted, draws_of, near_draws, refit_slopes
from cbec_bayes.checks.result import CheckResult, not_applying, there_are
from cbec_bayes.checks.severity import Change, Severity, Slope, changes, in_words, numbers_of, severest
from cbec_bayes.checks.under_priors import slopes_under
from cbec_bayes.estimands.groups import group_slopes
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import normal_logpdf
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.labels import CI_PROB, GROUP_NEW
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

SENSITIVITY_COLUMNS = ("prior", "group", "mean", "sd", "ci_low", "ci_high", "p_positive", "origin", "gate")

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Multiples of the model's own scale at which the between-group prior is tried, as a half-normal."""

EXTREME = tuple(f"half-normal, {factor:g} times" for factor in (min(FACTORS), max(FACTORS)))
"""Priors that are shown and not judged: a scale that is four times another is another claim about the groups."""


def alternatives(own: Prior) -> dict[str, Prior]:
    """Return priors of the between-group scale by name, the model's own first, all in its unit.

    They are half-normals from a quarter to four times the model's scale, a half-t with three degrees of freedom, a
    half-Cauchy and an exponential. `own` must be of a family with a scale or a mean.
    """
    scale = own.params.get("scale", own.params.get("mean", own.params.get("upper", 1.0)))
    tried = {f"half-normal, {factor:g} times": Prior("half_normal", {"scale": factor * scale}) for factor in FACTORS}
    tried |= {
        "half-t, 3 degrees of freedom": Prior("half_t", {"df": 3.0, "scale": scale}),
        "half-Cauchy": Prior("half_cauchy", {"scale": scale}),
        "exponential": Prior("exponential", {"mean": scale}),
    }
    return {"the model's own": own} | {name: prior for name, prior in tried.items() if prior != own}


def between_group_prior(
    found: PanelFit,
    *,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> CheckResult:
    """Say what the slopes are under other priors of the between-group scale: by weights where they do, or refitted.

    Parameters
    ----------
    found
        A fit that pools group slopes; the check does not apply to others, nor where the scale is held fixed.
    seed
        Seed of the data, and of everything random.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    CheckResult
        Signs and widths of everything that is shown are judged, groups in general and a new group too: the severity is
        that of the severest change of a slope from the model's own prior to another; see
        `cbec_bayes.checks.severity.Change`. Priors of a quarter of the scale and of four times are shown, and are not
        judged (`EXTREME`). A refit that missed its gates has blank numbers, and the reason in `gate`; it is worth
        knowing. Where that is the one under the model's own prior, nothing can be judged.
    """
    name = "between_group_prior"
    model = found.model
    reason = _why_not(found)
    if reason:
        return not_applying(name, SENSITIVITY_COLUMNS, reason)
    tried = alternatives(model.priors["tau"])
    models = [replace(model, priors={**model.priors, "tau": prior}) for prior in tried.values()]
    near = near_draws(found, may_stand_in=False)
    shared = [None] * len(models) if near is None else slopes_under(found.design, models, "tau", near, seed)
    pieces = [Refitted(found.design, one, seed, near) for one, own in zip(models, shared, strict=True) if own is None]
    alone = iter(fan_out(executor, refit_slopes, pieces, on_progress=on_progress, named="prior"))
    refits = [next(alone) if own is None else own for own in shared]
    table = pd.DataFrame(
        [
            (label, group, *one.slopes.get(group, [np.nan] * 5), str(found.design.origin), one.gate)
            for label, one in zip(tried, refits, strict=True)
            for group in one.slopes or draws_of(group_slopes(found))
        ],
        columns=list(SENSITIVITY_COLUMNS),
    )
    refused = {label: one.gate for label, one in zip(tried, refits, strict=True) if one.gate != PASSED}
    counted = sentence(len(refits), refused, tabled=True)
    if refits[0].gate != PASSED:
        text = (
            f"Changes are measured from the refit under the model's own prior, and that refit cannot be used. {counted}"
        )
        return CheckResult(name, Severity.IDLE, table, "slopes_by", text)
    slopes = {label: one.shown for label, one in zip(tried, refits, strict=True) if label not in refused}
    judged = _changed(slopes, lambda label: label not in EXTREME)
    said = _said(judged, lambda label: f"under the prior '{label}'")
    text = f"Under {len(slopes)} priors of the standard deviation between groups {said}. {counted}"
    severity = severest([one.severity for _, one in judged] + [Severity.KNOWING] * bool(refused))
    return CheckResult(name, severity, table, "slopes_by", text)


def _why_not(found: PanelFit) -> str:
    """Say why no other prior of the between-group scale is tried; blank where they are."""
    model = found.model
    if len(found.design.groups) < 2:
        return f"{there_are(len(found.design.groups), 'group')}."
    if model.choice("group_slope") != "pooled" or model.priors["tau"].dist == "fixed":
        return f"The model {model.name} has no standard deviation between groups that is estimated."
    if found.collapsed is None:
        return f"Refits under other priors are made by the collapsed engine only, and PyMC samples {model.name}."
    return ""


def _changed(slopes: Mapping[str, Mapping[str, Slope]], is_judged: Callable[[str], bool]) -> list[tuple[str, Change]]:
    """Return the largest change of each slope from the first alternative to a judged one, the severest first."""
    (_, own), *others = slopes.items()
    found: dict[str, tuple[str, Change]] = {}
    for label, other in others:
        for one in changes(own, other) if is_judged(label) else ():
            if one.group not in found or _order(one) < _order(found[one.group][1]):
                found[one.group] = label, one
    return sorted(found.values(), key=lambda pair: _order(pair[1]))


def _order(one: Change) -> tuple[int, float]:
    return one.severity.rank, -one.size


_NAMED = 3


def _said(judged: Sequence[tuple[str, Change]], under: Callable[[str], str]) -> str:
    """Say which interval goes from what to what, for the severest changes, or that none does."""
    far = [(label, one) for label, one in judged if one.severity is not Severity.FINE]
    parts = [
        f"{in_words(one.group, grouped=True)} goes from {numbers_of(one.own, one.other)} to "
        f"{numbers_of(one.other, one.own)} {under(label)}"
        for label, one in far[:_NAMED]
    ]
    if not parts:
        return "no slope that is shown changes in its sign or its width"
    more = f", and {len(far) - _NAMED} more change" if len(far) > _NAMED else ""
    return f"{'; '.join(parts)}{more}"


POWERS = (1.0, 0.5, 0.8, 1.25, 2.0)
"""Powers that the top-level priors are raised to, their own first."""

POWER_COLUMNS = (
    "power",
    "group",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "khat",
    "prior_sensitivity",
    "likelihood_sensitivity",
    "diagnosis",
    "origin",
)

SENSITIVE = 0.05
"""Power-scaling sensitivity from which on a posterior is said to depend on what is scaled (Kallioinen et al., 2024)."""


def power_scaling(found: PanelFit) -> CheckResult:
    """Raise the priors of the scales, and of slopes that have one, to powers; the pooled effects' priors stay.

    Parameters
    ----------
    found
        A fit of either engine, with group slopes.

    Returns
    -------
    CheckResult
        One row per power and slope. The sensitivities are those of arviz-stats at powers of .99 and 1.01 of the
        top-level priors, and of the likelihood given the effects. The severity is that of the severest change of a
        slope that is shown from a power of one to another; see `cbec_bayes.checks.severity.Change`. A power that draws
        cannot tell, with a Pareto shape above 0.7, is not judged, and is worth knowing.

    Notes
    -----
    Kallioinen, Paananen, Bürkner and Vehtari (2024), Statistics and Computing 34: in a hierarchical model only the
    top-level priors are scaled, for those of the effects are part of the model.
    """
    name = "power_scaling"
    priors = _log_priors(found)
    log_prior = np.sum([v.to_numpy().ravel() for v in priors.values()], axis=0)
    if len(found.design.groups) < 2:
        return not_applying(name, POWER_COLUMNS, f"{there_are(len(found.design.groups), 'group')}.")
    if np.ptp(log_prior) == 0:
        text = f"The model {found.model.name} has no top-level prior that could be changed."
        return not_applying(name, POWER_COLUMNS, text)
    slopes = draws_of(group_slopes(found))
    sensitivity = _sensitivity(found, slopes, priors)
    rows: list[tuple[object, ...]] = []
    for power in POWERS:
        weights, khat = smoothed_weights((power - 1) * log_prior)
        for group, values in slopes.items():
            mean = float(weights @ values)
            sd = float(np.sqrt(weights @ (values - mean) ** 2))
            low, high = np.quantile(
                values, [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2], weights=weights, method="inverted_cdf"
            )
            numbers = mean, sd, float(low), float(high), float(weights @ (values > 0)), khat
            rows.append((power, group, *numbers, *sensitivity[group], str(found.design.origin)))
    table = pd.DataFrame(rows, columns=list(POWER_COLUMNS))
    known = table[~(table["khat"] > KHAT_MAX)]
    unsure = table["power"].nunique() - known["power"].nunique()
    by_power = {
        f"{power:g}": {
            str(row["group"]): Slope(row["mean"], row["ci_low"], row["ci_high"]) for row in part.to_dict("records")
        }
        for power, part in known.groupby("power", sort=False)
    }
    judged = _changed(by_power, lambda _: True)
    said = _said(judged, lambda label: f"at the power {label}")
    strong = table.loc[table["prior_sensitivity"] >= SENSITIVE, "group"].unique()
    felt = ", ".join("a new group" if group == GROUP_NEW else str(group) for group in strong)
    text = (
        f"With the top-level priors raised to powers from {min(POWERS):g} to {max(POWERS):g}, {said}. By the "
        f"power-scaling diagnostic the prior influences {felt or 'no slope'}."
        f"{f' The slopes at {unsure} of the powers cannot be computed from these draws.' if unsure else ''}"
    )
    severity = severest([one.severity for _, one in judged] + [Severity.KNOWING] * bool(unsure))
    return CheckResult(name, severity, table, "slopes_by", text)


def _log_priors(found: PanelFit) -> Any:
    """Return the log density of each top-level prior at every draw, by parameter, as a dataset.

    A collapsed fit stores those of the scales alone; of slopes that have a normal prior they follow from the draws.
    """
    import xarray as xr

    posterior = found.tree["posterior"].dataset
    stored = found.tree["log_prior"].dataset if "log_prior" in found.tree.children else xr.Dataset()
    terms = {str(name): values.to_numpy() for name, values in stored.items()}
    for block in found.blocks.flat:
        own = location_priors(block, found.priors)
        normal = [k for k in block.kept if own[k].dist == "normal"]
        if normal and block.name not in terms:
            mean, sd = (np.array([own[k].params[name] for k in normal]) for name in ("mean", "sd"))
            values = posterior[block.name].to_numpy()
            terms[block.name] = normal_logpdf(values.reshape(*values.shape[:2], -1)[..., normal], mean, sd)
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    return xr.Dataset({n: (("chain", "draw"), v.reshape(*shape, -1).sum(axis=2)) for n, v in terms.items()})


def _sensitivity(found: PanelFit, slopes: dict[str, Array], priors: Any) -> dict[str, tuple[float, float, str]]:
    """Return prior and likelihood sensitivity of each slope, with a diagnosis; NaN where rows are too many."""
    import arviz_stats as az
    import xarray as xr

    posterior = found.tree["posterior"].dataset
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    own = xr.Dataset({f"s{i}": (("chain", "draw"), v.reshape(shape)) for i, v in enumerate(slopes.values())})
    groups = {"posterior": own, "log_prior": priors}
    densities = _given_effects(found)
    if densities is not None:
        groups["log_likelihood"] = densities
    tree = xr.DataTree.from_dict(groups)
    felt = {
        kind: az.psense(tree, group=kind) if group in groups else None
        for kind, group in (("prior", "log_prior"), ("likelihood", "log_likelihood"))
    }
    result = {}
    for i, group in enumerate(slopes):
        prior, likelihood = (np.nan if one is None else float(one[f"s{i}"]) for one in felt.values())
        words = "the prior is not felt"
        if prior >= SENSITIVE:
            words = "prior and data disagree" if likelihood >= SENSITIVE else "strong prior or weak data"
        result[group] = prior, likelihood, words
    return result


def _given_effects(found: PanelFit) -> Any:
    """Return the log density of every row given the effects as a dataset, or None where it does not fit into memory.

    A fit of a Gaussian member stores densities given the other rows, which do not add up to the likelihood.
    """
    import xarray as xr

    if not found.model.is_gaussian:
        return found.tree["log_likelihood"].to_dataset()
    posterior = found.posterior
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    total = shape[0] * shape[1]
    if "unit_effect" not in posterior or total * found.design.n_obs > POINTWISE_MAX:
        return None
    collapsed = make_collapsed(found.blocks) if found.collapsed is None else found.collapsed
    effects = {str(name): v.to_numpy().reshape(total, *v.shape[2:]) for name, v in posterior.data_vars.items()}
    densities = pointwise(found.blocks, collapsed, points_of(collapsed, found.tree["posterior"].dataset), effects)
    return xr.Dataset({found.design.outcome: (("chain", "draw", "obs"), densities.reshape(*shape, -1))})
