"""A member without each of its terms, and which of them makes a posterior sd narrower or wider than a regression's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.terms import TERMS
from cbec_bayes.checks.refits import Refitted, regression_sds
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

TERMS_LEFT_OUT: Sequence[tuple[str, str, str]] = (
    ("correlation", "ar1", "AR(1) errors"),
    ("correlation", "random_walk", "errors that are a random walk"),
    ("unit_trend", "", "trends of units"),
    ("spread", "", "a spread by group"),
    ("unit_slope", "", "slopes of units"),
)
"""Key of a term, its choice or any but the default, and what a sentence calls it."""

OF_GROUPS: Mapping[str, str] = {"group_control_slope": "controls", "group_time_effect": "periods"}
"""Terms by group that are left out together, and what a sentence calls them."""

NEARER = 0.1
"""What the logarithm of a ratio has to gain to be said to be nearer."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A member that differs by a term: what the term is called, and whether it is one that the fitted member has."""

    term: str
    model: PanelModel
    is_without: bool = True


def without_each_term(model: PanelModel, design: Design | None = None) -> tuple[Neighbour, ...]:
    """Return the member without each of `TERMS_LEFT_OUT` that it has, in their order, and without those by group.

    Effects of periods within groups are of the regression that is asked for where the design says so, and no term.
    """
    found = []
    for key, choice, said in TERMS_LEFT_OUT:
        default = model.reduced(**{key: str(TERMS[key].default)})
        has = model.choice(key) == choice if choice else model.choice(key) != default.choice(key)
        if has:
            found.append(Neighbour(said, named(model, default, [key])))
    keys = [key for key in OF_GROUPS if model.choice(key) != "off"]
    if design is not None and design.period_effects is PeriodEffects.BY_GROUP:
        keys = [key for key in keys if key != "group_time_effect"]
    if keys:
        said = f"{' and '.join(OF_GROUPS[key] for key in keys)} by group"
        found.append(Neighbour(said, named(model, model.reduced(**dict.fromkeys(keys, "off")), keys)))
    return tuple(found)


def named(model: PanelModel, other: PanelModel, keys: Sequence[str]) -> PanelModel:
    """Return another member under the name of the first with what it changes, as a model file says it."""
    changed = [f'{key} = "{other.choice(key)}"' for key in keys if other.choice(key) != model.choice(key)]
    return replace(other, name=f"{model.name} with {', '.join(changed)}")


def plain(model: PanelModel) -> PanelModel:
    """Return the member without all of these terms at once."""
    keys = {key: str(TERMS[key].default) for key, _, _ in TERMS_LEFT_OUT}
    other = model.reduced(**keys, **dict.fromkeys(OF_GROUPS, "off"))
    return named(model, other, [*keys, *OF_GROUPS])


def why_apart(
    found: PanelFit,
    ratio: float,
    se: float,
    *,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> str:
    """Say which term makes the posterior sd of the slope so much narrower or wider than a standard error.

    Parameters
    ----------
    found
        The fit.
    ratio, se
        The posterior sd over a standard error, and this.
    seed
        Seed of the refits.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Notes
    -----
    The member is refitted without each of its terms. A term accounts for the difference where the logarithm of the
    ratio is nearer to zero without it, by `NEARER` at the least; the text names these, the nearest first. Where there
    is none, it says what the ratio is without all of them.
    """
    tried = without_each_term(found.model, found.design)
    if not tried:
        return ""
    models = [*(one.model for one in tried), plain(found.model)]
    pieces = [Refitted(found.design, model, seed) for model in models]
    sds = fan_out(executor, regression_sds, pieces, on_progress=on_progress, named="term")
    exposure = found.design.terms[0]
    ratios = [own[exposure] / se if exposure in own else math.nan for own in sds]
    nearer = sorted(
        (abs(math.log(other)), other, one.term)
        for other, one in zip(ratios, tried, strict=False)
        if abs(math.log(other)) < abs(math.log(ratio)) - NEARER
    )
    side = "narrower" if ratio < 1 else "wider"
    if nearer:
        said = ", ".join(f"{other:.2f} without {term}" for _, other, term in nearer)
        return f"It is {side} because of {nearer[0][2]}: the ratio would be {said}."
    if math.isnan(ratios[-1]):
        return f"No single term makes it {side}."
    together = "all terms together do: " if abs(math.log(ratios[-1])) < abs(math.log(ratio)) - NEARER else ""
    said = f"the ratio would be {ratios[-1]:.2f} without all of them"
    return f"No single term makes it {side}; {together or 'all terms together do not either: '}{said}."
