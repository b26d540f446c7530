"""What a panel can carry of a member: terms that its rows say nothing of are left out, and a sentence says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.terms import TERMS
from cbec_bayes.panel.design import Design, exact_groups
from cbec_bayes.panel.levels import is_nested
from cbec_bayes.panel.spread import COLLINEAR
from cbec_bayes.panel.within import PeriodEffects, means_by

ROWS = 3
"""Rows of a unit from which on it tells more than its level and one change: a trend, a slope, a correlation."""

UNITS = 2
"""Units with so many rows without which nothing is told."""

SHARE = 0.1
"""Share of the units that have to have them."""

SPARE = 3
"""Units more than groups, counting those that tell a slope, without which slopes of units have no spread."""

CHANGES = 10
"""Rows of a group, less one for each of its units, without which it has no spread of its own."""

CONTROLS = 20
"""Controls up to which each has a spread over groups of its own: 20 take half a minute.

With 25 no proposal does, and Markov chains through so many dimensions take an hour.
"""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Carried:
    """A member as far as a panel can carry it.

    Attributes
    ----------
    model
        The member without the terms that were left out.
    left_out
        A plain sentence for each of them.
    """

    model: PanelModel
    left_out: tuple[str, ...]


def carried(model: PanelModel, design: Design) -> Carried:
    """Leave out of a member what the rows of a panel say nothing of.

    Parameters
    ----------
    model
        A member of the family.
    design
        The panel, with its rows.

    Notes
    -----
    A term that is left out has no coefficients, and its scale no prior. What a term needs:

    - Terms of groups, and a spread by group: two groups at least. Of everything below flat terms are not asked, because
      a member without them answers another question: where they are not identified, fitting says so.
    - Deviations of groups in a slope: regressors that vary within units in two groups at least, for a spread of slopes
      is not known of one. Those of controls: `CONTROLS` at most.
    - Effects of groups in periods: two units of one group in one period, or they are the errors themselves.
    - Slopes of units: an exposure that varies within units of three rows at least, in `SPARE` units more than groups.
      An exposure of zeros and ones that changes in few units has too few, whatever the number of rows.
    - Trends of units, and a correlation of errors that is estimated: units with three rows, `UNITS` of them and a share
      of `SHARE` at least. A unit of two rows has one change, in which trend, correlation and error are one.
    - Any correlation of errors: periods that are whole numbers, and one row of a unit in each. One that is estimated:
      some step of an odd number of periods, for the sign of a correlation is not known from even ones.
    - A spread by group: `CHANGES` rows in each group, one less for each of its units; and errors in each.
    """
    facts, found, said = _Facts(design), model, []
    of_groups: list[str] = []
    others = design.period_effects is not PeriodEffects.COMMON or len(design.absorbed) > 0
    if others and found.choice("time_effect") != "fixed":
        found = found.reduced(time_effect="fixed")
        said.append(
            "Effects of periods are not given a standard deviation of their own, because the regression that "
            "was asked for states them."
        )
    for key, needs in _NEEDS.items():
        choice, term = found.choice(key), TERMS[key]
        assert term.default is not None
        if choice == term.default:
            continue
        reason = _without_groups(design) if term.without_groups(choice) != choice else ""
        reason = reason or (_of_regression(found, design) if key == "group_time_effect" else "")
        if choice != "fixed" and not reason:
            reason = next((reason for need in needs if (reason := need(facts, choice))), "")
        if reason:
            found = found.reduced(**{key: term.default})
            if reason == _without_groups(design):
                of_groups.append(term.label)
            else:
                said.append(_are_left_out([term.label], reason))
    said += [_are_left_out(of_groups, _without_groups(design))] if of_groups else []
    said += _of_further_exposures(facts) if found.choice("group_slope") == "pooled" else []
    return Carried(found, tuple(said))


class _Facts:
    """What the needs of terms are looked up in."""

    def __init__(self, design: Design) -> None:
        self.design = design

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Periods of each unit, shape (N,): frequency weights make copies of rows, which tell of no other period."""
        return np.bincount(np.unique(self._periods, axis=0)[:, 0])

    @cached_property
    def is_copied(self) -> bool:
        """Whether a unit has several rows in one period."""
        return len(np.unique(self._periods, axis=0)) < self.design.n_obs

    @cached_property
    def _periods(self) -> NDArray[np.intp]:
        return np.column_stack([self.design.unit, self.design.time])

    @cached_property
    def group(self) -> NDArray[np.intp]:
        """Group of each unit, shape (N,); zero where there are none."""
        first = np.unique(self.design.unit, return_index=True)[1]
        return np.zeros(len(first), dtype=np.intp) if self.design.group is None else self.design.group[first]

    @cached_property
    def varies(self) -> NDArray[np.bool_]:
        """Whether each regressor varies within each unit, shape (N, K)."""
        unit, x = self.design.unit, self.design.x
        left = np.zeros((len(self.sizes), x.shape[1]))
        np.maximum.at(left, unit, np.abs(x - means_by(unit, x)[unit]))
        return np.asarray(left > COLLINEAR * np.abs(x).max(axis=0))

    @cached_property
    def steps(self) -> NDArray[np.float64]:
        """Periods from each row to the next one of its unit."""
        when = np.asarray(self.design.times, dtype=float)[self.design.time]
        order = np.lexsort((when, self.design.unit))
        return np.asarray(np.diff(when[order])[np.diff(self.design.unit[order]) == 0])


def spans_group_times(model: PanelModel, design: Design) -> bool:
    """Return whether effects that the regression is asked for with span those of groups in periods that are pooled."""
    if design.group is None or model.choice("group_time_effect") != "pooled":
        return False
    cells = design.group * len(design.times) + design.time
    return any(is_nested(one.codes, cells) for one in design.absorbed)


def _are_left_out(labels: Sequence[str], reason: str) -> str:
    """Say in one sentence which terms are left out for one reason."""
    named = " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)
    return f"{named[0].upper()}{named[1:]} are left out: {reason}."


def _of_regression(model: PanelModel, design: Design) -> str:
    """Say why effects of groups in periods are what the regression that was asked for has, and not a model's."""
    if design.period_effects is PeriodEffects.NONE:
        return "the regression that was asked for has no effects of periods"
    by_group = design.period_effects is PeriodEffects.BY_GROUP and model.choice("group_time_effect") != "fixed"
    if by_group or spans_group_times(model, design):
        return "the regression that was asked for has them already, without pooling"
    return ""


def _without_groups(design: Design) -> str:
    if design.group is None or not design.groups:
        return "the panel has no groups"
    return "the panel has one group" if len(design.groups) == 1 else ""


def _controls_are_few(facts: _Facts, choice: str) -> str:
    count = len(facts.design.terms) - 1
    if count <= CONTROLS:
        return ""
    own = f"each of the {count} controls would have its own standard deviation over groups"
    return f"{own}, and with more than {CONTROLS} controls this takes hours"


def _regressors_vary(facts: _Facts, terms: slice, what: str) -> str:
    varies = facts.varies[:, terms].any(axis=1)
    groups = np.unique(facts.group[varies])
    if len(groups) > 1:
        return ""
    if not len(groups):
        return f"{what} in no unit over time"
    return f"{what} over time in units of only one group, {facts.design.groups[groups[0]]}"


def _exposure_varies(facts: _Facts, choice: str) -> str:
    return _regressors_vary(facts, slice(0, 1), "the exposure varies")


def _of_further_exposures(facts: _Facts) -> list[str]:
    """Say of which exposures beside the first the rows do not tell how far groups differ in their slopes."""
    reasons = {
        name: _regressors_vary(facts, slice(k, k + 1), f"'{name}' varies")
        for k, name in enumerate(facts.design.exposures[1:], 1)
    }
    return [
        f"How far groups differ in the slope of {name} is known only from the prior, because {reason}."
        for name, reason in reasons.items()
        if reason
    ]


def _controls_vary(facts: _Facts, choice: str) -> str:
    if not facts.design.controls:
        return "there are no controls"
    return _regressors_vary(facts, slice(len(facts.design.exposures), None), "controls vary")


def _groups_have_units(facts: _Facts, choice: str) -> str:
    design = facts.design
    assert design.group is not None
    once = np.unique(np.column_stack([design.unit, design.group * len(design.times) + design.time]), axis=0)
    cells = np.bincount(once[:, 1])
    return (
        ""
        if cells.max() > 1
        else "no group has two units in the same period, so that they cannot be told from the errors"
    )


def _units_have_slopes(facts: _Facts, choice: str) -> str:
    varies = facts.varies[:, 0]
    if not varies.any():
        return "the exposure varies in no unit over time"
    telling = varies & (facts.sizes >= ROWS)
    spare = int(np.maximum(np.bincount(facts.group[telling]) - 1, 0).sum()) if telling.any() else 0
    if spare >= SPARE:
        return ""
    units = "one unit" if telling.sum() == 1 else f"{int(telling.sum()) or 'no'} units"
    among = f" of {len(facts.design.groups)} groups" if len(facts.design.groups) > 1 else ""
    return (
        f"the exposure varies over time in {units}{among} with {ROWS} rows or more, which is too few to tell how "
        "slopes differ"
    )


def _units_have_rows(facts: _Facts, choice: str) -> str:
    enough = int((facts.sizes >= ROWS).sum())
    if enough >= max(UNITS, SHARE * len(facts.sizes)):
        return ""
    have = {0: "no unit has", 1: "only one unit has"}.get(enough, f"only {enough} of {len(facts.sizes)} units have")
    return f"{have} {ROWS} rows or more, and fewer rows cannot separate it from the errors"


def _periods_are_whole(facts: _Facts, choice: str) -> str:
    times = np.asarray(facts.design.times, dtype=float)
    return (
        ""
        if np.all(times == np.round(times))
        else "the periods are not whole numbers, so that the time between two rows is not known"
    )


def _periods_have_one_row(facts: _Facts, choice: str) -> str:
    return "frequency weights make several rows for one unit and period" if facts.is_copied else ""


def _steps_tell_signs(facts: _Facts, choice: str) -> str:
    if choice == "random_walk":
        return ""
    if np.any(facts.steps % 2 == 1):
        return _units_have_rows(facts, choice)
    if not len(facts.steps):
        return "no unit has two rows"
    return (
        "all rows of a unit are an even number of periods apart, so that the sign of the correlation cannot be known; "
        "number the periods 1, 2, 3 if they follow each other"
    )


def _groups_have_changes(facts: _Facts, choice: str) -> str:
    design = facts.design
    assert design.group is not None
    n_groups = len(design.groups)
    changes = np.bincount(design.group, minlength=n_groups) - np.bincount(facts.group, minlength=n_groups)
    few = [label for label, count in zip(design.groups, changes, strict=True) if count < CHANGES]
    if not few:
        return ""
    have, their = ("has", "its") if len(few) == 1 else ("have", "their")
    return f"{_listed(few)} {have} too few rows to estimate the size of {their} own errors"


def _listed(labels: Sequence[str]) -> str:
    if len(labels) > _NAMED:
        return f"{', '.join(labels[:_NAMED])} and {len(labels) - _NAMED} other groups"
    return " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)


def _groups_have_errors(facts: _Facts, choice: str) -> str:
    exact = exact_groups(facts.design)
    if not exact:
        return ""
    return (
        f"the outcome of {_listed(exact)} is explained without an error, so that the size of its errors cannot be "
        "estimated"
    )


_NEEDS: dict[str, tuple[Callable[[_Facts, str], str], ...]] = {
    "group_slope": (_exposure_varies,),
    "group_control_slope": (_controls_vary, _controls_are_few),
    "group_time_effect": (_groups_have_units,),
    "unit_slope": (_units_have_slopes,),
    "unit_trend": (_units_have_rows,),
    "correlation": (_periods_are_whole, _periods_have_one_row, _steps_tell_signs),
    "spread": (_groups_have_changes, _groups_have_errors),
}
"""By the key of a term, functions that say why a panel cannot carry it, or nothing where it can."""
