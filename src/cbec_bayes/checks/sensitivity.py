"""How far each group's slope moves with the prior of the between-group scale: refits, exact and cheap."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.checks.result import CheckResult
from cbec_bayes.effects.groups import group_slopes
from cbec_bayes.effects.summary import summarise_draws
from cbec_bayes.spec import GROUP_ALL, GROUP_NEW, Origin, Prior

SENSITIVITY_COLUMNS = ("prior", "group", "mean", "sd", "ci_low", "ci_high", "p_positive", "origin")

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Multiples of the model's own scale at which the between-group prior is tried, as a half-normal."""


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


def between_group_prior(found: PanelFit, *, origin: Origin, seed: int = 1) -> CheckResult:
    """Refit under other priors of the between-group scale.

    Parameters
    ----------
    found
        A fit that pools group slopes; the check does not apply to others, nor where the scale is held fixed.
    origin, seed
        Of the data, and of everything random.

    Returns
    -------
    CheckResult
        It fails where the sign of a group's slope is settled (95 % interval on one side of zero) under some priors and
        not under others.
    """
    name = "between_group_prior"
    model = found.model
    if model.group_slope != "pooled" or model.priors["tau"].dist == "fixed" or found.collapsed is None:
        empty = pd.DataFrame(columns=list(SENSITIVITY_COLUMNS))
        return CheckResult(name, None, empty, None, f"The model {model.name} has no between-group scale to be sampled.")
    rows = []
    for label, prior in alternatives(model.priors["tau"]).items():
        one = replace(model, priors={**model.priors, "tau": prior})
        slopes = group_slopes(fit(found.design, one, seed=seed, origin=origin))
        draws = {group: slopes.groups[:, r] for r, group in enumerate(slopes.labels)}
        draws |= {GROUP_ALL: slopes.common} | ({} if slopes.new is None else {GROUP_NEW: slopes.new})
        for group, values in draws.items():
            s = summarise_draws(values)
            rows.append((label, group, s.mean, s.sd, s.ci_low, s.ci_high, s.p_positive, str(origin)))
    table = pd.DataFrame(rows, columns=list(SENSITIVITY_COLUMNS))
    groups = table[table["group"].isin(found.design.groups)]
    settled = (groups["ci_low"] > 0) | (groups["ci_high"] < 0)
    share = settled.groupby(groups["group"], sort=False).mean()
    moved = [str(group) for group, s in share.items() if 0 < s < 1]
    means = groups.groupby("group")["mean"]
    own = groups[groups["prior"] == groups["prior"].iloc[0]].set_index("group")
    far = ((means.max() - means.min()) / own["sd"]).max()
    signs = (
        f"whether the sign is settled depends on it for {', '.join(moved)}"
        if moved
        else "no settled sign depends on it"
    )
    text = (
        f"Over {table['prior'].nunique()} priors of the between-group scale no group's mean slope moves by more than "
        f"{far:.1f} of its posterior standard deviations, and {signs}."
    )
    return CheckResult(name, not moved, table, None, text)
