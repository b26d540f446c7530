"""Characteristics of groups, as income: what the slopes of groups are regressed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.cells import Source, count
from cbec_bayes.panel.reading import MEAN
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

_NAMED = 2
_SAME = 4  # units in the last place by which equal numbers may differ
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristics:
    """Numbers that groups have.

    Attributes
    ----------
    names
        Names of the M characteristics.
    groups
        Labels of the R groups of the whole panel.
    measured
        Values of each group, in their own units, shape (R, M).
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    measured: Array

    @property
    def centre(self) -> Array:
        """Means over groups, each of which counts once, shape (M,)."""
        return np.asarray(self.measured.mean(axis=0))

    @property
    def spread(self) -> Array:
        """Standard deviations over groups, shape (M,)."""
        return np.asarray(self.measured.std(axis=0, ddof=1))

    def standardised(self, groups: Sequence[str], names: Sequence[str] | None = None) -> Array:
        """Return how many standard deviations some groups are from the mean of all groups of the panel, shape (r, m).

        Parameters
        ----------
        groups
            Their labels.
        names
            Which characteristics; default all.
        """
        rows = [self.groups.index(group) for group in groups]
        at = [self.names.index(name) for name in self.names if names is None or name in names]
        return np.asarray(((self.measured - self.centre) / self.spread)[np.ix_(rows, at)])


def characteristics_of(
    source: Source,
    columns: Mapping[str, Array],
    group: Codes,
    groups: tuple[str, ...],
    kept: Codes,
    *,
    at: str | None = None,
) -> tuple[Characteristics, tuple[str, ...]]:
    """Return what a table says of its groups, and sentences on what was taken for it.

    Parameters
    ----------
    source, columns
        The table, and the characteristics in each of its rows by name, NaN where one is missing.
    group, groups
        Code of the group of each row that is kept, shape (n,), and the labels of the codes.
    kept
        Positions of these rows in the table, shape (n,).
    at
        ``mean`` where a characteristic that differs between rows of a group is its mean over them; None where that is
        refused.

    Raises
    ------
    InputError
        A characteristic differs between rows of a group, is missing in one, is the same in all of them or a combination
        of others; there are too few groups.
    """
    names = tuple(columns)
    values, told = np.empty((len(groups), len(names))), []
    for m, name in enumerate(names):
        column = columns[name][kept]
        known = np.isfinite(column)
        lacking = [label for r, label in enumerate(groups) if not known[group == r].any()]
        if lacking:
            raise InputError(f"the group '{lacking[0]}' has no value in any row", file=source.file, column=name)
        varying = [r for r in range(len(groups)) if varies(column[(group == r) & known])]
        if varying and at != MEAN:
            rows = {groups[r]: np.flatnonzero((group == r) & known) for r in varying[:_NAMED]}
            said = _varying(column, source.rows[kept], rows, len(varying))
            first = next(iter(rows.values()))
            raise source.wrong(int(kept[first[int(column[first].argmax())]]), name, f"'{name}' {said}")
        values[:, m] = [column[(group == r) & known].mean() for r in range(len(groups))]
        if varying:
            many = count(len(varying), "group")
            told.append(f"'{name}' varies within {many}, and is taken at the mean over the rows of each group")
    _require_told(values, names, groups, source)
    return Characteristics(names=names, groups=groups, measured=values), tuple(told)


def varies(values: Array) -> bool:
    """Say whether numbers, of which there is one at least, differ beyond their last digits."""
    return bool(np.ptp(values) > _SAME * np.spacing(np.abs(values).max()))


def _varying(column: Array, row: NDArray[np.int64], rows: Mapping[str, Codes], n_varying: int) -> str:
    """Say that a characteristic varies within some groups, and name rows of the first, given their positions."""
    found = []
    for label, own in rows.items():
        low, high = own[int(column[own].argmin())], own[int(column[own].argmax())]
        found.append(f"in '{label}' it is {column[low]:g} in row {row[low]} and {column[high]:g} in row {row[high]}")
    more = f"; and {n_varying - len(found)} more" if n_varying > len(found) else ""
    return (
        f"varies within {count(n_varying, 'group')}: {'; '.join(found)}{more}; --slope-on-at mean takes its mean over "
        "each group's rows"
    )


def _require_told(values: Array, names: Sequence[str], groups: Sequence[str], source: Source) -> None:
    """Raise `InputError` where slopes of groups cannot be regressed on characteristics."""
    least = len(names) + 2
    listed = " and ".join(f"'{name}'" for name in names)
    if len(groups) < least:
        raise InputError(
            f"slopes of {count(len(groups), 'group')} cannot be regressed on {listed}: {least} groups are needed",
            file=source.file,
        )
    for m, name in enumerate(names):
        if not varies(values[:, m]):
            raise InputError(
                "it is the same in all groups, so that no slope can be regressed on it", file=source.file, column=name
            )
        others = np.column_stack([np.ones(len(groups)), values[:, :m]])
        left = values[:, m] - others @ np.linalg.lstsq(others, values[:, m])[0]
        if np.linalg.norm(left) <= _TOLERANCE * np.linalg.norm(values[:, m] - values[:, m].mean()):
            raise InputError(
                f"over the groups it is a linear combination of {' and '.join(names[:m])}",
                file=source.file,
                column=name,
            )
