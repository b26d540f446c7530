"""Columns that a study computes from those of its files: a logarithm, a ratio, or an index with entropy weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import AfterValidator

from cbec_bayes.panel.entropy import EntropyIndex, entropy_index, load_system
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import FROM_OBSERVED, Origin
from cbec_bayes.runtime.toml import Table, Text, Texts, TomlPath, wrong


def _two(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) != 2:
        raise wrong(f"two columns are needed, the numerator and the denominator; here are {len(values)}")
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived(Table):
    """How one column is computed from others; exactly one of the three is given.

    Attributes
    ----------
    log
        Column of which this is the natural logarithm.
    ratio
        Two columns: this is the first over the second.
    index
        Indicator system by name or file: this is its index with entropy weights, over the rows of the study.
    """

    log: Text | None = None
    ratio: Annotated[Texts, AfterValidator(_two)] | None = None
    index: TomlPath | None = None

    @property
    def is_one(self) -> bool:
        """Whether exactly one way is given."""
        return sum(way is not None for way in (self.log, self.ratio, self.index)) == 1

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns that it is computed from."""
        if self.index is not None:
            return tuple(indicator.name for indicator in load_system(self.index).indicators)
        return self.ratio or ((self.log,) if self.log is not None else ())


def derive(frame: pd.DataFrame, derived: Mapping[str, Derived], *, unit: str, time: str) -> pd.DataFrame:
    """Return a table with its derived columns, each computed from columns of the table or derived before it.

    Parameters
    ----------
    frame
        Rows of units in periods.
    derived
        Name of the new column to how it is computed.
    unit, time
        Names of the columns that messages name a row by.

    Raises
    ------
    InputError
        A source is missing or no number; the new name is taken; a logarithm is asked of what is not positive, or a
        ratio to zero; or see `cbec_bayes.panel.entropy.entropy_index`.
    """
    found = frame.copy()
    for name, how in derived.items():
        if name in found.columns:
            raise InputError(
                "a column of the files already has the name of this derived column; choose another name", column=name
            )
        for source in how.sources:
            if source not in found.columns:
                known = [str(column) for column in found.columns]
                raise InputError(f"it is derived from '{source}'; {suggest(source, known)}", column=name)
        if how.index is not None:
            found[name] = index_of(found, how.index, unit=unit, time=time).index["value"].to_numpy()
        elif how.ratio is not None:
            top, bottom = (_numbers(found, source, name) for source in how.ratio)
            _require(
                found, bottom != 0, f"'{how.ratio[1]}' is zero, and nothing can be divided by it", name, (unit, time)
            )
            found[name] = top / bottom
        elif how.log is not None:
            values = _numbers(found, how.log, name)
            _require(found, ~(values <= 0), f"'{how.log}' is not positive, and has no logarithm", name, (unit, time))
            found[name] = np.log(values)
    return found


def index_of(frame: pd.DataFrame, system: str, *, unit: str, time: str) -> EntropyIndex:
    """Return the index of an indicator system over the rows of a study's table, with its weights."""
    return entropy_index(frame, load_system(system), unit=unit, time=time, origin=Origin.INDEX)


def origin_of(name: str, derived: Mapping[str, Derived], origins: Mapping[str, Origin]) -> Origin:
    """Return where a column comes from: of a derived one, the least observed of its sources, and an index is an index.

    Parameters
    ----------
    name
        Name of the column.
    derived
        The derived columns.
    origins
        Column to origin, as the study states it; a column that is not named is observed.
    """
    if name in origins or name not in derived:
        return origins.get(name, Origin.OBSERVED)
    how = derived[name]
    of_sources = [origin_of(source, derived, origins) for source in how.sources if source != name]
    own = Origin.OBSERVED if how.index is None else Origin.INDEX
    return max((own, *of_sources), key=FROM_OBSERVED.index)


def _numbers(frame: pd.DataFrame, source: str, name: str) -> pd.Series:
    try:
        return frame[source].astype(float)
    except (TypeError, ValueError):
        raise InputError(f"it is derived from '{source}', which holds no numbers", column=name) from None


def _require(frame: pd.DataFrame, fine: pd.Series, message: str, name: str, keys: tuple[str, str]) -> None:
    if not fine.all():
        first = frame[~fine].iloc[0]
        where = ", ".join(str(first[key]) for key in keys)
        raise InputError(f"{where}: {message}", column=name)
