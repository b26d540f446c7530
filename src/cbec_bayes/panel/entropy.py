"""Composite indices with Shannon entropy weights: an indicator system read from TOML, its weights, and the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.special import entr

from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.toml import (
    Number,
    PositiveNumber,
    Table,
    Text,
    Texts,
    find_toml,
    one_of,
    otherwise,
    read_table,
    shipped_names,
    wrong_key,
)

Array = NDArray[np.float64]

DIRECTIONS = ("positive", "negative")
NORMALISATIONS = ("pooled", "per_period")
ZEROS = ("limit", "shift")

# A spread of a few units in the last place is the rounding of a constant, and would be weighed like any other.
_ROUNDING = 4 * np.finfo(float).eps


@dataclass(frozen=True, slots=True)
class Indicator(Table):
    """A column of the data: its label, its first-level group, one of `DIRECTIONS`, and its unit if stated."""

    name: Text
    label: Text
    group: Text
    direction: Annotated[str, one_of(DIRECTIONS, "value")]
    unit: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicatorSystem:
    """What an index is made of, and by which variant of the method.

    Attributes
    ----------
    name
        Name of the file without its ending.
    title, description
        One line each; the description may be blank.
    normalisation
        One of `NORMALISATIONS`: which rows are one sample of `entropy_weights`, all of them or those of a period.
    shift
        Added to the normalised values before the shares are taken; 0 is the rule ``"limit"`` of zero shares.
    scale
        The index lies in [0, scale].
    indicators
        In file order.
    missing
        Labels of what the index would have if it could be had; such a gap is to be named wherever the index is shown.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> cb.load_system("cbec").normalisation
    'pooled'
    """

    name: str
    title: str
    description: str
    normalisation: str
    shift: float
    scale: float
    indicators: tuple[Indicator, ...]
    missing: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The first-level groups, in order of first appearance."""
        return tuple(dict.fromkeys(indicator.group for indicator in self.indicators))


@dataclass(frozen=True, slots=True)
class EntropyWeights:
    """Weights of J indicators and what each adds to the index of n rows.

    Attributes
    ----------
    weights
        Shape (J,), or (T, J) per period; each vector is non-negative and sums to one.
    entropy
        Same shape, in [0, 1]; 1 for a constant indicator.
    periods
        The T periods in sorted order, or None when pooled.
    terms
        Weight times normalised value, shape (n, J); a row's sum is its index, in [0, 1].
    """

    weights: Array
    entropy: Array
    periods: tuple[Any, ...] | None
    terms: Array


@dataclass(frozen=True, slots=True)
class EntropyIndex:
    """An entropy-weight index as tables, each with a column `origin`.

    Attributes
    ----------
    weights
        Columns indicator, label, group, direction, weight, entropy, period (blank when pooled).
    group_weights
        Columns group, weight, period: sums of weights over first-level groups.
    index
        Unit, time, `value`, and one column per first-level group; rows in the order of the data. A group's column is
        what its indicators add: these columns sum to `value`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> system = cb.load_system("cbec_observed")
    >>> frame = cb.example_frame().assign(**{one.name: range(96) for one in system.indicators})
    >>> index = cb.entropy_index(frame, system, unit="firm", time="year")
    >>> round(float(index.index["value"].max()), 6)
    1.0
    """

    weights: pd.DataFrame
    group_weights: pd.DataFrame
    index: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class _SystemFile(Table):
    """The file of an indicator system; see `IndicatorSystem`."""

    title: Text
    description: Text = ""
    normalisation: Annotated[str, one_of(NORMALISATIONS, "value")]
    zero: Annotated[str, one_of(ZEROS, "value")] = "limit"
    shift: Number | None = None
    scale: PositiveNumber = 1.0
    missing: Texts = ()
    indicators: Annotated[
        tuple[Indicator, ...], Field(min_length=1), otherwise("at least one table [[indicators]] is needed")
    ]


def _folder() -> Path:
    return asset_dir("data") / "indicators"


def indicator_systems() -> tuple[str, ...]:
    """Return the names of the indicator systems that ship with the package."""
    return shipped_names(_folder())


def system_file(system: str | Path) -> Path:
    """Return the file of an indicator system, by its name or path."""
    return find_toml(system, _folder(), "indicator system")


def load_system(system: str | Path) -> IndicatorSystem:
    """Load an indicator system by name, or from any TOML file by path.

    Raises
    ------
    InputError
        No such system (with a suggestion), or the file is malformed: the message names the file and the key, where
        ``indicators[2]`` is the second indicator.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> system = cb.load_system("cbec_observed")
    >>> len(system.indicators)
    5
    """
    path = system_file(system)
    file = read_table(path, _SystemFile)
    shift = file.shift
    if file.zero == "limit":
        if shift is not None:
            raise wrong_key(path, "shift", "goes with zero = 'shift' only; the limit has none")
        shift = 0.0
    elif shift is None:
        raise wrong_key(path, "shift", "a finite number is needed")
    elif not 0 < shift <= 1:
        known = "must be above 0 and at most 1, the range of the normalised values"
        raise wrong_key(path, "shift", f"{known}, not {shift:g}")
    for place, indicator in enumerate(file.indicators):
        for key in ("name", "label"):
            given = getattr(indicator, key)
            if any(getattr(other, key) == given for other in file.indicators[:place]):
                raise wrong_key(path, f"indicators[{place + 1}].{key}", f"'{given}' is listed twice")
    return IndicatorSystem(
        name=path.stem,
        title=file.title,
        description=file.description,
        normalisation=file.normalisation,
        shift=shift,
        scale=file.scale,
        indicators=file.indicators,
        missing=file.missing,
    )


def entropy_weights(
    values: ArrayLike, *, direction: Sequence[str], periods: ArrayLike | None = None, shift: float = 0.0
) -> EntropyWeights:
    """Weigh indicators by how unequally they are spread over the rows.

    Over the m rows of one sample (all rows, or those of one period) and for each indicator j:

    - normalised values z_ij = (x_ij - min_j) / (max_j - min_j), or (max_j - x_ij) / (max_j - min_j) for a negative
      one, with minimum and maximum over the m rows;
    - shares p_ij = (z_ij + shift) / sum_i (z_ij + shift), which sum to one over the m rows;
    - entropy e_j = -(1 / ln m) sum_i p_ij ln p_ij, where 0 ln 0 = 0;
    - weights w_j = (1 - e_j) / sum_j (1 - e_j), over the indicators;
    - index of row i: sum_j w_j z_ij, without the shift.

    Per period, each has its own minima and weights, so levels do not compare between periods. A constant indicator
    has e_j = 1 and weight 0; one is constant if its spread is no more than the rounding of its values.

    Parameters
    ----------
    values
        Shape (n, J), finite, one row per unit and period.
    direction
        ``"positive"`` or ``"negative"`` for each of the J indicators.
    periods
        Shape (n,): each period is a sample of its own. None pools all rows.
    shift
        From 0 to 1; 0 is the limiting rule.

    Raises
    ------
    InputError
        A value is not finite; a sample has fewer than two rows; all indicators are constant in a sample.
    ValueError
        Shapes do not agree, a direction is unknown, or the shift is out of range.

    References
    ----------
    Shannon, C. E. (1948). A mathematical theory of communication. Bell System Technical Journal 27, 379-423.
    Hwang, C.-L. and Yoon, K. (1981). Multiple Attribute Decision Making. Springer.
    Zeleny, M. (1982). Multiple Criteria Decision Making. McGraw-Hill.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 2 or not x.size or x.shape[1] != len(direction):
        raise ValueError(f"values of shape {x.shape} are not rows of one value for each of {len(direction)} directions")
    if unknown := set(direction) - set(DIRECTIONS):
        raise ValueError(f"unknown directions {', '.join(sorted(unknown))}")
    if not 0 <= shift <= 1:
        raise ValueError(f"the shift must be from 0 to 1, not {shift}")
    if periods is not None and np.shape(periods) != (len(x),):
        raise ValueError(f"periods of shape {np.shape(periods)} are not one for each of {len(x)} rows")
    for row, column in np.argwhere(~np.isfinite(x)):
        raise InputError(f"the value at row {row}, column {column} (from 0) is missing or not finite")
    x = np.where(np.asarray(direction) == "negative", -x, x)
    labels, sample = np.unique(np.zeros(len(x)) if periods is None else np.asarray(periods), return_inverse=True)

    entropy, weights = np.empty((2, len(labels), x.shape[1]))
    terms = np.empty_like(x)
    for k, label in enumerate(labels):
        rows, where = sample == k, "" if periods is None else f" in period {label}"
        if (m := np.count_nonzero(rows)) < 2:
            raise InputError(f"entropy weights need at least two rows, there is one{where}")
        z, constant = _normalised(x[rows])
        if constant.all():
            raise InputError(f"every indicator is constant{where}, so there is nothing to weigh")
        raised = np.where(constant, 1.0, z + shift)
        entropy[k] = np.where(constant, 1.0, entr(raised / raised.sum(axis=0)).sum(axis=0) / np.log(m))
        weights[k] = (1 - entropy[k]) / (1 - entropy[k]).sum()
        terms[rows] = weights[k] * z
    if periods is None:
        return EntropyWeights(weights[0], entropy[0], None, terms)
    return EntropyWeights(weights, entropy, tuple(labels), terms)


def _normalised(x: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return values on [0, 1] by column, zero where the column is constant, and which columns are."""
    spread = np.ptp(x, axis=0)
    constant = spread <= _ROUNDING * np.abs(x).max(axis=0)
    return np.where(constant, 0.0, (x - x.min(axis=0)) / np.where(constant, 1.0, spread)), constant


def entropy_index(
    frame: pd.DataFrame,
    system: IndicatorSystem,
    *,
    unit: str,
    time: str,
    file: Path | str | None = None,
    origin: Origin = Origin.OBSERVED,
) -> EntropyIndex:
    """Compute the index of a panel: scale times the weighted sum of normalised indicators, in [0, scale].

    Parameters
    ----------
    frame
        One row per unit and period, with the unit, the time, and the columns that the system names.
    system
        The indicators and the variant of the method; see `entropy_weights`.
    unit, time
        Names of the columns of units and periods.
    file
        Where the frame was read from, for messages; their rows count the frame's rows with a header as line 1.
    origin
        Written in every table.

    Raises
    ------
    InputError
        A column is missing or repeated, a cell is missing or not a number, a unit has two rows in a period, a column
        of the result would have the name of another, or the weights do not exist (see `entropy_weights`).

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> system = cb.load_system("cbec_observed")
    >>> frame = cb.example_frame().assign(**{one.name: range(96) for one in system.indicators})
    >>> index = cb.entropy_index(frame, system, unit="firm", time="year")
    >>> index.weights["weight"].round(1).tolist()
    [0.2, 0.2, 0.2, 0.2, 0.2]
    """
    names = [indicator.name for indicator in system.indicators]
    header = [unit, time, "value", *system.groups, "origin"]
    for name in header:
        if header.count(name) > 1:
            raise InputError("two columns of the index would have this name; rename it", file=file, column=name)
    values = _checked(frame, names, unit, time, file)
    try:
        found = entropy_weights(
            values,
            direction=[indicator.direction for indicator in system.indicators],
            periods=frame[time].to_numpy() if system.normalisation == "per_period" else None,
            shift=system.shift,
        )
    except InputError as error:
        raise InputError(error.message, file=file) from None

    described = pd.DataFrame(list(system.indicators)).rename(columns={"name": "indicator"}).drop(columns="unit")
    per_period = zip(found.periods or ("",), np.atleast_2d(found.weights), np.atleast_2d(found.entropy), strict=True)
    weights = pd.concat(
        [described.assign(weight=weight, entropy=entropy, period=period) for period, weight, entropy in per_period],
        ignore_index=True,
    )
    group_weights = weights.groupby(["period", "group"], sort=False, as_index=False)["weight"].sum()
    terms = system.scale * found.terms
    index = frame[[unit, time]].reset_index(drop=True).assign(value=terms.sum(axis=1))
    for group in system.groups:
        index[group] = terms[:, described["group"] == group].sum(axis=1)
    tables = weights, group_weights[["group", "weight", "period"]], index
    return EntropyIndex(*(table.assign(origin=str(origin)) for table in tables))


def _checked(frame: pd.DataFrame, names: Sequence[str], unit: str, time: str, file: Path | str | None) -> Array:
    """Return the indicators as numbers, shape (n, J), or raise `InputError` for the first thing in the way."""
    columns = list(frame.columns)
    for name in (unit, time, *names):
        if columns.count(name) != 1:
            problem = "appears twice" if name in columns else f"is missing; {suggest(name, [*map(str, columns)])}"
            raise InputError(f"the column {problem}", file=file, row=1, column=name)
    if not len(frame):
        raise InputError("there are no rows", file=file)

    def wrong(row: int, column: str, message: str) -> InputError:
        who = f"{frame[unit].iloc[row]}, {frame[time].iloc[row]}"
        return InputError(f"{who}: {message}", file=file, row=row + 2, column=column)

    for name in (unit, time):
        for row in np.flatnonzero(frame[name].isna()).tolist():
            raise wrong(row, name, "the cell is blank")
    for row in np.flatnonzero(frame.duplicated([unit, time])).tolist():
        raise wrong(row, unit, "a second row of this unit and period")
    values: Array = frame[list(names)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    for row, column in np.argwhere(~np.isfinite(values)).tolist():
        cell = frame[names[column]].iloc[row]
        blank = pd.isna(cell) or not str(cell).strip()
        problem = "the value is missing; interpolate it first" if blank else f"'{cell}' is not a finite number"
        raise wrong(row, names[column], problem)
    return values
