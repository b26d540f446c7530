"""`Roles` says what the columns are, `Panel` is the validated table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import count
from cbec_bayes.panel.characteristics import Characteristics
from cbec_bayes.panel.levels import Levels, require_sets
from cbec_bayes.panel.names import tidy
from cbec_bayes.panel.notes import RowCodes, describe
from cbec_bayes.panel.periods import Frequency, period_text
from cbec_bayes.panel.weights import WeightsKind, weights_kind
from cbec_bayes.panel.within import PeriodEffects, period_codes
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import FROM_OBSERVED, Origin, fault_of_name

Codes = NDArray[np.intp]

_SHOWN = 5  # rows in a notebook


def least_observed(origins: Iterable[Origin]) -> Origin:
    """Return the origin that is farthest from observation; each must be one of a panel."""
    return max(origins, key=FROM_OBSERVED.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which column plays which part.

    Attributes
    ----------
    outcome, exposure
        Numeric columns: what is explained, and the regressor of interest.
    unit, time
        Columns that together name a row.
    further
        Exposures beside the first one, whose slopes are pooled as its are.
    controls
        Further regressors, if there are any.
    group
        Column that sorts units into groups, if there are groups.
    slope_on
        Numeric columns of characteristics of groups, on which the slopes of groups are regressed; a control may be one.
    weights, weights_kind
        Column of the rows' weights, if they have any, and what these say: see `cbec_bayes.panel.weights.WeightsKind`.
    clusters
        One column or two that standard errors are clustered by; none for the units.
    absorbed
        Columns of every set of effects beside those of units and periods; several of one set are taken at once.

    Raises
    ------
    InputError
        A column has no name, a name with invisible signs, or two roles; weights are of no known kind; there are
        characteristics and no groups.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> roles = cb.Roles(outcome="sales", exposure="price", unit="firm", time="year")
    >>> roles.group is None
    True
    """

    outcome: str
    exposure: str
    unit: str
    time: str
    controls: tuple[str, ...] = ()
    group: str | None = None
    slope_on: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    weights: str | None = None
    weights_kind: str = WeightsKind.ANALYTIC
    clusters: tuple[str, ...] = ()
    absorbed: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        # As names of columns that are read are: a letter with an accent has one form.
        for part in ("outcome", "exposure", "unit", "time"):
            object.__setattr__(self, part, tidy(getattr(self, part)))
        object.__setattr__(self, "controls", tuple(map(tidy, self.controls)))
        object.__setattr__(self, "slope_on", tuple(map(tidy, self.slope_on)))
        object.__setattr__(self, "further", tuple(map(tidy, self.further)))
        for part in ("group", "weights"):
            name = getattr(self, part)
            object.__setattr__(self, part, None if name is None else tidy(name))
        object.__setattr__(self, "weights_kind", weights_kind(self.weights_kind))
        object.__setattr__(self, "clusters", tuple(map(tidy, self.clusters)))
        require_sets(self.clusters)
        object.__setattr__(self, "absorbed", tuple(tuple(map(tidy, names)) for names in self.absorbed))
        parts = [
            ("unit", self.unit),
            ("time", self.time),
            *([("group", self.group)] if self.group is not None else []),
            ("outcome", self.outcome),
            *(("exposure", name) for name in self.exposures),
            *(("control", name) for name in self.controls),
            *([("weights", self.weights)] if self.weights is not None else []),
            *((self._further_role(name), name) for name in self.sets_of_labels),
        ]
        role_of: dict[str, str] = {}
        for role, name in parts:
            if not name:
                raise InputError(f"the {role} column has no name")
            if fault_of_name(name):
                raise InputError(fault_of_name(name), column=name)
            if name in role_of:
                raise InputError(f"the column is given as {role_of[name]} and as {role}", column=name)
            role_of[name] = role
        _require_characteristics(self.slope_on, self.group, {name: r for name, r in role_of.items() if r != "control"})

    @property
    def exposures(self) -> tuple[str, ...]:
        """The exposure, then those beside it."""
        return (self.exposure, *self.further)

    @property
    def regressors(self) -> tuple[str, ...]:
        """The exposures, then the controls."""
        return (*self.exposures, *self.controls)

    @property
    def measured(self) -> tuple[str, ...]:
        """The numeric columns: outcome, exposure, controls."""
        return (self.outcome, *self.regressors)

    @property
    def numeric(self) -> tuple[str, ...]:
        """The columns that are read as numbers: the measured ones, weights, and characteristics of groups."""
        return tuple(dict.fromkeys([*self.measured, *self._weights, *self.slope_on]))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that hold names: they stay text as it is written."""
        return (self.unit, *((self.group,) if self.group is not None else ()), *self.sets_of_labels)

    @property
    def sets_of_labels(self) -> tuple[str, ...]:
        """The columns of clusters and effects that are not units, periods or groups."""
        every = (name for names in (self.clusters, *self.absorbed) for name in names)
        return tuple(dict.fromkeys(name for name in every if name not in (self.unit, self.time, self.group)))

    def _further_role(self, name: str) -> str:
        return "cluster" if name in self.clusters else "effect"

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read: units, periods, groups, what is measured, weights, others, characteristics."""
        group = (self.group,) if self.group is not None else ()
        every = [self.unit, self.time, *group, *self.measured, *self._weights, *self.sets_of_labels, *self.slope_on]
        return tuple(dict.fromkeys(every))

    @property
    def _weights(self) -> tuple[str, ...]:
        return () if self.weights is None else (self.weights,)

    def role(self, column: str) -> str:
        """Return what a column but unit and time is: outcome, exposure, control, group, weights, cluster or effect."""
        named = {name: self._further_role(name) for name in self.sets_of_labels}
        named |= dict.fromkeys(self.exposures, "exposure") | {self.outcome: "outcome"}
        for role, name in (("group", self.group), ("weights", self.weights)):
            if name is not None:
                named[name] = role
        return named.get(column, "control")


def _require_characteristics(names: Sequence[str], group: str | None, role_of: Mapping[str, str]) -> None:
    """Raise `InputError` where slopes cannot be regressed on some columns, given the roles of others."""
    if names and group is None:
        raise InputError(
            "--slope-on regresses the slopes of groups on their characteristics and needs groups; name their "
            "column with --group"
        )
    for name in names:
        if names.count(name) > 1:
            raise InputError("the column is given twice to regress slopes on", column=name)
        if name in role_of:
            raise InputError(f"the column is given as {role_of[name]}, and to regress slopes on", column=name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Panel:
    """A validated long table, balanced or not. Made by `make_panel`, which says what is guaranteed.

    Attributes
    ----------
    frame
        Unit, time, group and the measured columns of `roles`, and no others; n rows, sorted by unit (in order of first
        appearance in the source) and time. Unit and group are text, time is int64 when whole, the rest is float64
        without missing values.
    roles
        What the columns are.
    ledger
        What was done to the input: row (of the source), unit, time, column, action (``"dropped"``, ``"filled"``),
        value, reason. A dropped row has one entry, a filled cell of a kept row too.
    notes
        Sentences that a reader of the results should know.
    origins
        Where each measured column comes from.
    filled
        True where a cell was filled; n rows, the measured columns.
    told
        Those of the notes that are of the input and not of the rows: they stay whatever rows are taken.
    frequency
        How often a period comes: what the numbers of `times` count, see `cbec_bayes.panel.periods`.
    period_effects
        Which effects of periods its regressions have.
    characteristics
        Characteristics of its groups, on which slopes are regressed; None where they are not.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> panel = cb.make_panel(frame, roles)
    >>> panel.n_obs, panel.units[0]
    (96, 'firm 01')
    """

    frame: pd.DataFrame
    roles: Roles
    ledger: pd.DataFrame
    notes: tuple[str, ...]
    origins: Mapping[str, Origin]
    filled: pd.DataFrame
    told: tuple[str, ...] = ()
    frequency: Frequency = Frequency.NUMBER
    period_effects: PeriodEffects = PeriodEffects.COMMON
    characteristics: Characteristics | None = None

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return len(self.frame)

    @property
    def units(self) -> tuple[str, ...]:
        """The units, in order of first appearance in the source."""
        return tuple(self.frame[self.roles.unit].unique())

    @property
    def times(self) -> tuple[float, ...]:
        """The periods, ascending, counted one by one at their frequency; int when all are whole."""
        return tuple(np.unique(self.frame[self.roles.time]).tolist())

    @property
    def periods(self) -> tuple[str, ...]:
        """The periods as people write them, ascending: 2015, 2014Q1."""
        return tuple(period_text(time, self.frequency) for time in self.times)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in order of first appearance; empty when the panel has none."""
        return tuple(self.frame[self.roles.group].unique()) if self.roles.group is not None else ()

    @property
    def is_balanced(self) -> bool:
        """Whether every unit is seen in every period."""
        return self.n_obs == len(self.units) * len(self.times)

    @property
    def unit_codes(self) -> Codes:
        """Position of each row's unit in `units`, shape (n,)."""
        return pd.factorize(self.frame[self.roles.unit])[0]

    @property
    def time_codes(self) -> Codes:
        """Position of each row's period in `times`, shape (n,)."""
        return np.unique(self.frame[self.roles.time], return_inverse=True)[1]

    @property
    def group_codes(self) -> Codes:
        """Position of each row's group in `groups`, shape (n,); all 0 when the panel has none."""
        if self.roles.group is None:
            return np.zeros(self.n_obs, dtype=np.intp)
        return pd.factorize(self.frame[self.roles.group])[0]

    @property
    def clusters(self) -> tuple[Levels, ...]:
        """The sets of clusters other than the units themselves."""
        if self.roles.clusters == (self.roles.unit,):
            return ()
        return tuple(self._levels((name,)) for name in self.roles.clusters)

    @property
    def absorbed(self) -> tuple[Levels, ...]:
        """The sets of effects beside those of units and periods."""
        return tuple(map(self._levels, self.roles.absorbed))

    def _levels(self, names: Sequence[str]) -> Levels:
        """Return the levels of a column, or of several at once, in order of first appearance."""
        parts = [self._labels(name) for name in names]
        whole = [" ".join(part) for part in zip(*parts, strict=True)]
        codes, labels = pd.factorize(np.array(whole, dtype=object))
        return Levels("^".join(names), codes, tuple(labels))

    def _labels(self, name: str) -> list[str]:
        if name != self.roles.time:
            return [str(label) for label in self.frame[name]]
        return [self.periods[code] for code in self.time_codes]

    @property
    def effect_codes(self) -> Codes:
        """Codes of the effects of periods, shape (n,); see `cbec_bayes.panel.within.period_codes`."""
        group = None if self.roles.group is None else self.group_codes
        return period_codes(self.time_codes, group, self.period_effects)

    @property
    def origin(self) -> Origin:
        """The origin of the panel: that of its least observed column."""
        return least_observed(self.origins[name] for name in self.roles.measured)

    def of_group(self, group: str) -> Panel:
        """Return the panel of one group with the whole ledger; its own notes say what it cannot estimate."""
        if group not in self.groups:
            there = suggest(group, self.groups) if self.groups else "the panel has no groups"
            raise InputError(f"unknown group '{group}'; {there}")
        return self._subset(self.group_codes == self.groups.index(group))

    def between(self, first: float, last: float) -> Panel:
        """Return the panel of the periods from `first` to `last`, both included, with the whole ledger."""
        times = self.frame[self.roles.time].to_numpy()
        mask = (times >= first) & (times <= last)
        if not mask.any():
            asked = " to ".join(period_text(time, self.frequency) for time in (first, last))
            raise InputError(f"no rows from {asked}; the panel has {self.periods[0]} to {self.periods[-1]}")
        return self._subset(mask)

    def without(self, controls: Sequence[str], told: Sequence[str]) -> Panel:
        """Return the panel without some of its controls, with sentences that say why."""
        kept = [name for name in self.roles.measured if name not in controls]
        names = tuple(name for name in self.roles.controls if name not in controls)
        return replace(
            self,
            roles=replace(self.roles, controls=names),
            frame=self.frame.drop(columns=list(controls)),
            filled=self.filled[kept],
            origins={name: self.origins[name] for name in kept},
            told=(*self.told, *told),
        )

    def annotated(self) -> Panel:
        """Return the panel with its notes computed anew."""
        codes = RowCodes(
            unit=self.unit_codes,
            time=self.time_codes,
            effect=self.effect_codes,
            group=self.group_codes,
            units=self.units,
            times=self.times,
            groups=self.groups,
            frequency=self.frequency,
        )
        names = self.roles.regressors
        notes = describe(
            codes,
            (self.roles.outcome, self.frame[self.roles.outcome].to_numpy(dtype=float)),
            self.frame[list(names)].to_numpy(dtype=float),
            names,
            n_dropped=int(((self.ledger["action"] == "dropped") & (self.ledger["column"] != self.roles.weights)).sum()),
            n_filled=int(self.filled.to_numpy().sum()),
        )
        return replace(self, notes=(*self.told, *notes))

    def _subset(self, mask: NDArray[np.bool_]) -> Panel:
        frame, filled = (table.loc[mask].reset_index(drop=True) for table in (self.frame, self.filled))
        return replace(self, frame=frame, filled=filled).annotated()

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line.removeprefix('- '))}</li>" for line in str(self).splitlines())
        more = self.n_obs - _SHOWN
        rest = f"<p>… and {more} more rows</p>" if more > 0 else ""
        return f"<ul>{lines}</ul>{self.frame.head(_SHOWN).to_html(index=False, na_rep='')}{rest}"

    def __str__(self) -> str:
        roles, periods = self.roles, self.periods
        lines = [
            f"{count(self.n_obs, 'observation')}: {count(len(self.units), 'unit')} ({roles.unit}), "
            f"{count(len(periods), 'period')} ({roles.time}, {periods[0]} to {periods[-1]})",
            f"outcome {roles.outcome}; exposure {', '.join(roles.exposures)}; "
            f"controls {', '.join(roles.controls) or 'none'}",
            f"origin: {self.origin}",
        ]
        if roles.group is not None:
            lines.insert(1, f"groups ({roles.group}): {', '.join(self.groups)}")
        return "\n".join([*lines, *(f"- {note}" for note in self.notes)])

    __repr__ = __str__
