"""The lattice of members: one member of the family for every combination of the assumptions that a reader may doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.study import MAIN

LEVELS, LOGARITHMS = "levels", "logarithms"
"""Scales of the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One value of an assumption.

    Attributes
    ----------
    value
        As the tables have it.
    terms
        What a model chooses for it, by the key of the term.
    label
        What a figure and a sentence call it; blank for what is simplest.
    without
        What a sentence calls what is simplest; blank for the others.
    assumes
        What it assumes, and what would bias the slope under it.
    """

    value: str
    terms: Mapping[str, str]
    label: str
    without: str = ""
    assumes: str


AXES: Mapping[str, tuple[Choice, ...]] = {
    "correlation": (
        Choice(
            value="off",
            terms={"correlation": "off"},
            label="",
            without="with errors that are independent over time",
            assumes="An error of one period says nothing of the next; where it does, intervals are too narrow.",
        ),
        Choice(
            value="ar1",
            terms={"correlation": "ar1"},
            label="errors AR(1)",
            assumes="What disturbs a unit fades at one rate; an effect that sets in slowly is partly taken for it.",
        ),
        Choice(
            value="random_walk",
            terms={"correlation": "random_walk"},
            label="errors a random walk",
            assumes="What disturbs a unit stays, so that only changes from one period to the next tell the slope; an "
            "effect that comes later than the change of the exposure is missed.",
        ),
    ),
    "trends": (
        Choice(
            value="off",
            terms={"unit_trend": "off"},
            label="",
            without="without trends of units",
            assumes="No unit drifts by itself; where units that drift are those whose exposure grows, the slope takes "
            "up the drift.",
        ),
        Choice(
            value="pooled",
            terms={"unit_trend": "pooled"},
            label="trends of units",
            assumes="Each unit may drift along a straight line; an effect that grows with the time since adoption is "
            "nearly such a line, so that the trends may absorb a part of it (Wolfers 2006).",
        ),
    ),
    "spread": (
        Choice(
            value="common",
            terms={"spread": "common"},
            label="",
            without="with errors that are equally large in all groups",
            assumes="Errors are equally large in all groups; where they are not, noisy groups count for too much.",
        ),
        Choice(
            value="by_group",
            terms={"spread": "by_group"},
            label="spread by group",
            assumes="Errors of each group have a size of their own, which few rows hardly tell.",
        ),
    ),
    "unit_slope": (
        Choice(
            value="off",
            terms={"unit_slope": "off"},
            label="",
            without="with one slope for all units of a group",
            assumes="The units of a group share one slope; where they do not, intervals are too narrow, and units "
            "whose exposure moves most speak for the group.",
        ),
        Choice(
            value="pooled",
            terms={"unit_slope": "pooled"},
            label="slopes of units",
            assumes="Units may differ in their slopes, about that of their group and whatever their exposure.",
        ),
    ),
    "controls": (
        Choice(
            value="common",
            terms={"group_control_slope": "off", "group_time_effect": "off"},
            label="",
            without="with controls and periods that act alike in all groups",
            assumes="Controls and periods act alike in all groups; where they do not, a group's slope takes up the "
            "difference. A control that the exposure itself moves is an outcome, and takes a part of the effect away.",
        ),
        Choice(
            value="pooled",
            terms={"group_control_slope": "pooled", "group_time_effect": "pooled"},
            label="controls and periods by group",
            assumes="Controls and periods may act differently by group, which leaves less of the exposure to tell its "
            "slope from. A control that the exposure itself moves is an outcome, and takes a part of the effect away.",
        ),
    ),
}
"""Assumptions by the names of their columns, each with its values, the simplest first."""

OUTCOME_SCALE = "outcome_scale"
"""Column of the scale of the outcome, an assumption too; its values cannot be weighed against each other."""

ALTERNATIVE = "alternative"
"""Column of the panel: `cbec_bayes.panel.study.MAIN`, or one that a study names. Each has weights of its own."""

REDUCED: Mapping[str, tuple[str, ...]] = {
    "correlation": ("off", "ar1"),
    "trends": ("off", "pooled"),
    "spread": ("common",),
    "unit_slope": ("off",),
    "controls": ("common", "pooled"),
}
"""Values of the assumptions in the reduced lattice, for panels of which there are many: those that move slopes most."""

BASE = "robust"
"""Member whose priors are those of the lattice, where the base has none: it has every scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """A member of the lattice.

    Attributes
    ----------
    name
        The values that are not the simplest, joined; ``plain`` where all are.
    chosen
        The value of each assumption, by the name of the column.
    model
        The member.
    outcome_scale
        `LEVELS` or `LOGARITHMS`.
    alternative
        Name of the panel that it is fitted to, among those that ask the same question.
    """

    name: str
    chosen: Mapping[str, str]
    model: PanelModel
    outcome_scale: str = LEVELS
    alternative: str = MAIN

    @property
    def assumes(self) -> str:
        """What the member assumes and what would bias it, a sentence for each assumption."""
        return " ".join(choice_of(axis, value).assumes for axis, value in self.chosen.items())

    @property
    def labels(self) -> tuple[str, ...]:
        """What the terms that it has beyond the simplest are called."""
        found = (choice_of(axis, value).label for axis, value in self.chosen.items())
        return tuple(label for label in found if label)


@dataclass(frozen=True, slots=True)
class Lattice:
    """The members of a panel, and what it cannot carry.

    Attributes
    ----------
    specifications
        In the order of the axes, the simplest first.
    left_out
        A sentence for each term that the panel cannot carry; see `cbec_bayes.bayes.model.carried`.
    """

    specifications: tuple[Specification, ...]
    left_out: tuple[str, ...]


def choice_of(axis: str, value: str) -> Choice:
    """Return a value of an assumption."""
    return next(choice for choice in AXES[axis] if choice.value == value)


def lattice_base(model: PanelModel | None = None) -> PanelModel:
    """Return the member that all of the lattice are made from: with flat effects, and a prior for every scale.

    Parameters
    ----------
    model
        Whose priors come before those of the member that ships.
    """
    shipped = load_panel_model(BASE)
    own = {} if model is None else {name: prior for name, prior in model.priors.items() if name in shipped.priors}
    return replace(shipped, priors={**shipped.priors, **own})


def lattice(
    design: Design,
    base: PanelModel | None = None,
    outcome_scale: str = LEVELS,
    *,
    reduced: bool = False,
    richest: bool = False,
    alternative: str = MAIN,
) -> Lattice:
    """Return the lattice of a panel.

    Parameters
    ----------
    design
        Rows and regressors.
    base
        Member whose priors hold throughout; see `lattice_base`.
    outcome_scale
        Scale of the design's outcome.
    reduced
        Whether the members are those of `REDUCED` alone, eight at the most.
    richest
        Whether the member with every term that the panel carries is among them all the same: it is the one that is
        fitted where none is named, and a page must not weigh specifications without the one that it shows.
    alternative
        As in `Specification`.

    Notes
    -----
    A random walk stands without trends of units: it lets each unit drift away as far as it will, so that its steps tell
    hardly anything of a line, and AR(1) errors with trends have it as their limit.
    """
    start = lattice_base(base)
    every = carried(start, design).model
    found, left_out = [], dict[str, None]()
    for chosen in product(*AXES.values()):
        values = {axis: choice.value for axis, choice in zip(AXES, chosen, strict=True)}
        if values["correlation"] == "random_walk" and values["trends"] != "off":
            continue
        terms = {key: term for choice in chosen for key, term in choice.terms.items()}
        has_every = richest and all(every.choice(key) == term for key, term in terms.items())
        if reduced and not has_every and any(value not in REDUCED[axis] for axis, value in values.items()):
            continue
        one = replace(specification(start, values, outcome_scale), alternative=alternative)
        told = carried(one.model, design)
        left_out |= dict.fromkeys(told.left_out)
        if all(told.model.choice(key) == term for key, term in terms.items()):
            found.append(one)
    return Lattice(tuple(found), tuple(left_out))


def specification(base: PanelModel, values: Mapping[str, str], outcome_scale: str = LEVELS) -> Specification:
    """Return the member with given values of all assumptions: the one place that knows the terms of a model."""
    chosen = [choice_of(axis, values[axis]) for axis in AXES]
    on = [(axis, choice.value) for axis, choice in zip(AXES, chosen, strict=True) if choice.label]
    name = "+".join(axis if value in ("pooled", "by_group") else value for axis, value in on) or "plain"
    terms = {key: term for choice in chosen for key, term in choice.terms.items()}
    model = base.choosing(unit_effect="fixed", time_effect="fixed", group_slope="pooled", residual="normal", **terms)
    kept = {key: prior for key, prior in base.priors.items() if key in ("slope", "control_slope", *model.scales)}
    model = replace(model, name=name, question="", assumes="", priors=kept)
    return Specification(name=name, chosen=dict(values), model=model, outcome_scale=outcome_scale)
