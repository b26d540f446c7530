"""Tables and other results as what JSON can hold, so that what is read back is what was written, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_SIZES = (8, 16, 32, 64)
_GAPPED = (*(f"{kind}{size}" for kind in ("Int", "UInt") for size in _SIZES), "Float32", "Float64", "boolean")
_NUMBERS = (*(f"{kind}{size}" for kind in ("int", "uint") for size in _SIZES), "float16", "float32", "float64", "bool")
DTYPES = ("object", "str", "category", *_NUMBERS, *_GAPPED)
"""Types of columns that are kept."""


def pack(value: Any) -> Any:
    """Return a result as what JSON can hold; `unpack` gives it back.

    Parameters
    ----------
    value
        Text, number, truth value, None, pandas.NA, a DataFrame, or a tuple, a list or a mapping by text of these.

    Raises
    ------
    TypeError
        It is, or holds, something else, or a column of a type that is not among `DTYPES`.
    """
    import numpy as np
    import pandas as pd

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return value
    if value is pd.NA:
        return {"missing": "NA"}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, pd.DataFrame):
        return {"table": _packed_frame(value)}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [pack(one) for one in value]}
    if isinstance(value, Mapping):
        return {"mapping": [[str(name), pack(one)] for name, one in value.items()]}
    raise TypeError(f"results of type {type(value).__name__} cannot be kept")


def pack_or_none(value: Any) -> Any:
    """Return a result as `pack` does, or None where it cannot be kept, so that nothing computed is lost over it."""
    try:
        return pack(value)
    except (TypeError, ValueError, OverflowError):
        return None


def unpack(held: Any) -> Any:
    """Return what `pack` was given.

    Raises
    ------
    ValueError, TypeError, KeyError
        It is nothing that `pack` returns.
    """
    if not isinstance(held, Mapping):
        if isinstance(held, list):
            raise TypeError("a list must be stored under its kind")
        return held
    import pandas as pd

    ((kind, inside),) = held.items()
    match kind:
        case "missing":
            return pd.NA
        case "table":
            return _unpacked_frame(inside)
        case "tuple":
            return tuple(unpack(one) for one in inside)
        case "list":
            return [unpack(one) for one in inside]
        case "mapping":
            return {str(name): unpack(one) for name, one in inside}
    raise ValueError(f"unknown kind '{kind}'")


def texts_in(value: Any) -> tuple[str, ...]:
    """Return texts that a receipt kept as a list or a tuple; anything else raises `TypeError`."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise TypeError("a list of texts is needed")
    return tuple(value)


def named_texts_in(value: Any) -> dict[str, str]:
    """Return texts that a receipt kept by name; anything else raises `TypeError`."""
    if not isinstance(value, Mapping):
        raise TypeError("texts by name are needed")
    return dict(zip(value, texts_in(list(value.values())), strict=True))


def table_in(value: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table that a receipt kept; one that has other columns raises `TypeError`."""
    found = table_of(value)
    if tuple(found.columns) != tuple(columns):
        raise TypeError("a table of other columns is needed")
    return found


def table_of(value: Any) -> pd.DataFrame:
    """Return a table that a receipt kept, whatever its columns; anything else raises `TypeError`."""
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        raise TypeError("a table is needed")
    return value


def _packed_frame(frame: pd.DataFrame) -> dict[str, Any]:
    import pandas as pd

    if not frame.columns.is_unique or not all(isinstance(name, str) for name in frame.columns):
        raise TypeError("columns must have names of their own, as text")
    plain = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    counted = plain and frame.index.equals(pd.RangeIndex(len(frame)))
    return {
        "rows": len(frame),
        "index": None if counted else {**_packed_column(frame.index.to_series()), "name": pack(frame.index.name)},
        "columns": {name: _packed_column(frame[name]) for name in frame.columns},
    }


def _packed_column(column: pd.Series) -> dict[str, Any]:
    import pandas as pd

    kind = str(column.dtype)
    if kind not in DTYPES:
        raise TypeError(f"a column of type {kind} cannot be kept")
    if kind == "category":
        labels = _packed_column(column.cat.categories.to_series())
        return {"type": kind, "values": column.cat.codes.tolist(), "labels": labels, "ordered": column.cat.ordered}
    missing = kind in _GAPPED
    values = [None if missing and value is pd.NA else pack(value) for value in column.array]
    return {"type": kind, "values": values}


def _unpacked_frame(held: Any) -> pd.DataFrame:
    import pandas as pd

    if not isinstance(held, Mapping) or not isinstance(held["columns"], Mapping):
        raise TypeError("a table has its columns by name")
    labels = held["index"]
    index: pd.Index = pd.RangeIndex(held["rows"])
    if labels is not None:
        index = pd.Index(_unpacked_column(labels), name=labels["name"])
    columns = {name: _unpacked_column(column).set_axis(index) for name, column in held["columns"].items()}
    return pd.DataFrame(columns, index=index, columns=list(columns))


def _unpacked_column(held: Mapping[str, Any]) -> pd.Series:
    import pandas as pd

    if held["type"] not in DTYPES:
        raise TypeError(f"a column of type {held['type']} is never kept")
    if held["type"] == "category":
        labels = pd.Index(_unpacked_column(held["labels"]))
        return pd.Series(pd.Categorical.from_codes(held["values"], labels, ordered=held["ordered"]))
    column: pd.Series = pd.Series([unpack(value) for value in held["values"]], dtype=held["type"])
    return column
