"""The design of a panel: labelled arrays that both engines receive, so that they never differ in their samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel import Panel
from cbec_bayes.panel.cells import count, some
from cbec_bayes.panel.characteristics import Characteristics
from cbec_bayes.panel.identify import explained
from cbec_bayes.panel.levels import Levels
from cbec_bayes.panel.periods import Frequency, period_text
from cbec_bayes.panel.precision import norms
from cbec_bayes.panel.spread import Spread, spread_of
from cbec_bayes.panel.weights import rows_of_weights
from cbec_bayes.panel.within import Array, Codes, PeriodEffects, TwoWay, period_codes
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import Origin

_EPSILON = float(np.finfo(float).eps)
_CONTROLS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Counts:
    """What is known of rows that are not there: of a panel of which only moments are.

    Attributes
    ----------
    n_obs, n_units
        Rows and units.
    group_obs, group_units
        Numbers of rows and of units of each group, shape (R,); without groups R is 1.
    """

    n_obs: int
    n_units: int
    group_obs: NDArray[np.int64]
    group_units: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Design:
    """Outcome, regressors and codes of a panel.

    Attributes
    ----------
    outcome
        Name of y.
    terms
        Names of the K regressors, the exposure first.
    y, x
        Shapes (n,) and (n, K), in the data's own units.
    unit, time, group
        Codes from 0 without holes, shape (n,); `group` is None where there are no groups.
    units, times, groups
        Labels of the codes.
    effects
        Projection off the unit and period effects of these rows; its codes of periods are those of the effects.
    period_effects
        Which effects of periods there are.
    weight
        Weight of every row, shape (n,): its error has the variance sigma^2 / w. None where all rows weigh the same.
    clusters
        Sets of clusters that classical standard errors are of; none for the units.
    absorbed
        Sets of effects beside those of units and periods.
    rounding
        Norm of the rounding of each regressor as it is stored, as a share of its own, shape (K,): of whatever rows, in
        whatever unit. None where that is not known.
    origin
        Origin of the data; every result says it.
    held_spread
        Standard deviations that priors are measured in, where these are not the rows' own: a part of a panel, or
        another outcome on its regressors, is fitted under the same priors.
    frequency
        How often a period comes: what the numbers of `times` count.
    counted
        Numbers of rows and units, where the rows themselves are not there; None where they are.
    period_effects
        Which effects of periods there are.
    characteristics
        Characteristics of the groups of the whole panel, on which the slopes of the exposure are regressed; None for
        none.
    n_exposures
        How many of the regressors are exposures, which come first: their slopes are pooled alike. The first is the one
        that is meant where one is.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> design = cb.make_design(cb.make_panel(frame, roles))
    >>> print(design)
    Design of 96 rows, 12 units, 8 periods (2011 to 2018), 3 groups (food, metal, paper)
    outcome sales; exposure price; controls wage; effects unit+time; origin: observed
    """

    outcome: str
    terms: tuple[str, ...]
    y: Array
    x: Array
    unit: Codes
    time: Codes
    group: Codes | None
    units: tuple[str, ...]
    times: tuple[float, ...]
    groups: tuple[str, ...]
    effects: TwoWay
    origin: Origin
    held_spread: Spread | None = None
    rounding: Array | None = None
    frequency: Frequency = Frequency.NUMBER
    counted: Counts | None = None
    period_effects: PeriodEffects = PeriodEffects.COMMON
    characteristics: Characteristics | None = None
    n_exposures: int = 1
    weight: Array | None = None
    clusters: tuple[Levels, ...] = ()
    absorbed: tuple[Levels, ...] = ()

    @property
    def exposures(self) -> tuple[str, ...]:
        """Names of the exposures."""
        return self.terms[: self.n_exposures]

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the other regressors."""
        return self.terms[self.n_exposures :]

    @property
    def root(self) -> Array:
        """Square roots of the weights, shape (n,): rows times these have errors of one variance."""
        return self.effects.root

    def scaled(self, columns: Array) -> Array:
        """Return columns, shape (n,) or (n, k), times the square roots of the weights; as they are without weights."""
        if self.weight is None:
            return columns
        return columns * (self.root if columns.ndim == 1 else self.root[:, None])

    @property
    def log_weights(self) -> float:
        """Sum over rows of ln w / 2: what the log density of the outcome has beside that of the scaled rows."""
        return 0.0 if self.weight is None else float(np.log(self.weight).sum()) / 2

    @property
    def effect_names(self) -> str:
        """What is absorbed, as fixest writes it."""
        of_periods = {
            PeriodEffects.COMMON: "unit+time",
            PeriodEffects.NONE: "unit",
            PeriodEffects.BY_GROUP: "unit+group^time" if self.groups else "unit+time",
        }[self.period_effects]
        return "+".join([of_periods, *(one.name for one in self.absorbed)])

    @property
    def counts(self) -> Counts:
        """Numbers of rows and units."""
        if self.counted is not None:
            return self.counted
        if self.group is None:
            sizes = (self.n_obs, len(self.units))
            return Counts(*sizes, *(np.array([size], dtype=np.int64) for size in sizes))
        first = np.unique(self.unit, return_index=True)[1]
        obs, units = (np.bincount(self.group[rows], minlength=len(self.groups)) for rows in (slice(None), first))
        return Counts(self.n_obs, len(self.units), obs, units)

    @property
    def spread(self) -> Spread:
        """Standard deviations of outcome, regressors and periods that priors are measured in."""
        if self.held_spread is not None:
            return self.held_spread
        return spread_of((self.y, *self.x.T), self.elapsed, self.effects)

    @property
    def elapsed(self) -> Array:
        """Periods that have passed, less their mean over rows, shape (n,)."""
        when = np.asarray(self.times, dtype=float)[self.time]
        return np.asarray(when - when.mean())

    @property
    def rounding_norms(self) -> Array | None:
        """Norm of the rounding of each regressor over these rows, shape (K,); None where it is not known."""
        return None if self.rounding is None else self.rounding * np.linalg.norm(self.scaled(self.x), axis=0)

    @property
    def group_of_unit(self) -> Codes:
        """Code of every unit's group, shape (N,); zeros where there are no groups."""
        if self.group is None:
            return np.zeros(len(self.units), dtype=np.intp)
        return self.group[np.unique(self.unit, return_index=True)[1]]

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return len(self.y) if self.counted is None else self.counted.n_obs

    def __str__(self) -> str:
        first, last = (period_text(self.times[at], self.frequency) for at in (0, -1))
        sizes = [count(self.n_obs, "row"), count(len(self.units), "unit")]
        sizes.append(f"{count(len(self.times), 'period')} ({first} to {last})")
        if self.groups:
            sizes.append(f"{count(len(self.groups), 'group')} ({some(self.groups)})")
        exposures, controls = self.exposures or ("none",), self.controls
        return (
            f"Design of {', '.join(sizes)}\n"
            f"outcome {self.outcome}; exposure {', '.join(exposures)}; "
            f"controls {some(controls, _CONTROLS_SHOWN) or 'none'}; "
            f"effects {self.effect_names}; origin: {self.origin}"
        )

    __repr__ = __str__

    def keeping(self, terms: Sequence[str]) -> Design:
        """Return the design with some of its regressors, in the order given."""
        for term in terms:
            if term not in self.terms:
                raise InputError(f"unknown regressor '{term}'; {suggest(term, self.terms)}")
        at = [self.terms.index(term) for term in terms]
        held = None if self.held_spread is None else self.held_spread.of([0, *(1 + k for k in at)])
        rounding = None if self.rounding is None else self.rounding[at]
        leading = next((k for k, term in enumerate(terms) if term not in self.exposures), len(terms))
        found = replace(self, terms=tuple(terms), x=self.x[:, at], held_spread=held, rounding=rounding)
        found = replace(found, n_exposures=max(1, leading))
        return found if tuple(terms[:1]) == self.terms[:1] else replace(found, characteristics=None)

    def with_regressors(self, terms: Sequence[str], x: Array) -> Design:
        """Return the same rows with other regressors, shape (n, K)."""
        found = replace(self, terms=tuple(terms), x=x, held_spread=None, rounding=None)
        return replace(found, characteristics=None, n_exposures=1)

    def holding_spread(self) -> Design:
        """Return the design with its spread held, whatever becomes of its rows."""
        return replace(self, held_spread=self.spread)

    def of_group(self, group: str) -> Design:
        """Return the rows of one group."""
        if group not in self.groups or self.group is None:
            raise InputError(f"unknown group '{group}'; {suggest(group, self.groups)}")
        return self.rows(self.group == self.groups.index(group))

    def rows(self, mask: NDArray[np.bool_]) -> Design:
        """Return the rows where `mask`, shape (n,), is true, with effects of their own."""
        unit, units = _recode(self.unit[mask], self.units)
        time, times = _recode(self.time[mask], self.times)
        group, groups = (None, ()) if self.group is None else _recode(self.group[mask], self.groups)
        weight = None if self.weight is None else self.weight[mask]
        absorbed = tuple(one.rows(mask) for one in self.absorbed)
        time_codes = period_codes(time, group, self.period_effects)
        return replace(
            self,
            y=self.y[mask],
            x=self.x[mask],
            unit=unit,
            time=time,
            group=group,
            units=units,
            times=times,
            groups=groups,
            effects=TwoWay(unit, time_codes, weight, tuple(one.codes for one in absorbed)),
            absorbed=absorbed,
            weight=weight,
            clusters=tuple(one.rows(mask) for one in self.clusters),
        )


def exact_groups(design: Design) -> tuple[str, ...]:
    """Return the groups whose outcome is explained without an error by their own regressors and effects."""
    if design.group is None or design.counted is not None:
        return ()
    rows = [design.group == g for g in range(len(design.groups))]
    time = period_codes(design.time, design.group, design.period_effects)
    further = [[one.rows(own).codes for one in design.absorbed] for own in rows]
    exact = [
        explained(design.y[own], design.x[own], design.unit[own], time[own], others)
        for own, others in zip(rows, further, strict=True)
    ]
    return tuple(label for label, is_exact in zip(design.groups, exact, strict=True) if is_exact)


def _recode[Label](codes: Codes, labels: tuple[Label, ...]) -> tuple[Codes, tuple[Label, ...]]:
    present, recoded = np.unique(codes, return_inverse=True)
    return recoded.astype(np.intp), tuple(labels[code] for code in present)


def make_design(panel: Panel) -> Design:
    """Return the design of a panel's own roles.

    Analytic weights are over their mean, so that sigma is the scale of a row of average weight, whatever unit weights
    are counted in. With frequency weights each row is there as often as its weight says.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> design = cb.make_design(cb.make_panel(frame, roles))
    >>> design.n_obs, design.groups
    (96, ('food', 'metal', 'paper'))
    """
    roles, frame = panel.roles, panel.frame
    terms = roles.regressors
    given = None if roles.weights is None else frame[roles.weights].to_numpy(dtype=float)
    at, weight = rows_of_weights(panel.n_obs, given, roles.weights_kind)
    x, unit = frame[list(terms)].to_numpy(dtype=float)[at], panel.unit_codes[at]
    absorbed = tuple(one.rows(at) for one in panel.absorbed)
    return Design(
        outcome=roles.outcome,
        terms=terms,
        y=frame[roles.outcome].to_numpy(dtype=float)[at],
        x=x,
        unit=unit,
        time=panel.time_codes[at],
        group=panel.group_codes[at] if panel.groups else None,
        units=panel.units,
        times=panel.times,
        groups=panel.groups,
        effects=TwoWay(unit, panel.effect_codes[at], weight, tuple(one.codes for one in absorbed)),
        absorbed=absorbed,
        weight=weight,
        clusters=tuple(one.rows(at) for one in panel.clusters),
        period_effects=panel.period_effects,
        characteristics=panel.characteristics,
        n_exposures=len(roles.exposures),
        origin=panel.origin,
        frequency=panel.frequency,
        rounding=norms(x) / np.maximum(np.linalg.norm(x, axis=0), np.finfo(float).tiny),
    )
