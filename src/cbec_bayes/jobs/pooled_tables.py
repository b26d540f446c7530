"""The tables and sentences of pooled estimates, as `published` keeps them in its receipt and `report` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cbec_bayes.estimands import CONTRAST_COLUMNS, EFFECT_COLUMNS
from cbec_bayes.jobs.classical_pooling import COLUMNS, REGRESSION_COLUMNS, SMALL_COLUMNS
from cbec_bayes.published import leave_one_out, meta_regression
from cbec_bayes.runtime.exact import pack_or_none, table_in, texts_in, unpack

FURTHER: Mapping[str, tuple[str, ...]] = {
    "slope_regression": meta_regression.COLUMNS,
    "leave_one_out": leave_one_out.COLUMNS,
    "classical_regression": REGRESSION_COLUMNS,
}
"""Tables that only some poolings have, with their columns."""

_SENSITIVITY = (
    "reading",
    "model",
    "between_prior",
    "group",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "mcse",
    "origin",
    "unit",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTables:
    """What pooling finds, without the posterior itself.

    Attributes
    ----------
    effects, contrasts, sensitivity, classical, small_studies
        Tables that are written as CSV; `sensitivity` is None where there is none.
    further
        Those of `FURTHER` that there are.
    priors
        The priors in plain numbers.
    answer, notes
        Sentences: what the estimates say, and what a reader should know of how they were pooled.
    """

    effects: pd.DataFrame
    contrasts: pd.DataFrame
    sensitivity: pd.DataFrame | None
    classical: pd.DataFrame
    small_studies: pd.DataFrame
    further: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    priors: str
    answer: tuple[str, ...]
    notes: tuple[str, ...]

    def kept(self) -> Any:
        """Return everything as a receipt keeps it; `tables_of` reads it."""
        tables = {name: getattr(self, name) for name in _COLUMNS}
        return pack_or_none(
            {**tables, "further": self.further, "priors": self.priors, "answer": self.answer, "notes": self.notes}
        )


_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "effects": (*EFFECT_COLUMNS, "se_reading"),
    "contrasts": CONTRAST_COLUMNS,
    "sensitivity": _SENSITIVITY,
    "classical": COLUMNS,
    "small_studies": SMALL_COLUMNS,
}


def tables_of(packed: Any) -> PooledTables:
    """Return what a receipt keeps.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is nothing that `PooledTables.kept` returns.
    """
    held = unpack(packed)
    tables = {name: table_in(held[name], columns) for name, columns in _COLUMNS.items() if held[name] is not None}
    if not isinstance(held["priors"], str) or not isinstance(held["further"], Mapping):
        raise TypeError("texts and tables by name are needed")
    return PooledTables(
        effects=tables["effects"],
        contrasts=tables["contrasts"],
        sensitivity=tables.get("sensitivity"),
        classical=tables["classical"],
        small_studies=tables["small_studies"],
        further={name: table_in(table, FURTHER[name]) for name, table in held["further"].items()},
        priors=held["priors"],
        answer=texts_in(held["answer"]),
        notes=texts_in(held["notes"]),
    )
