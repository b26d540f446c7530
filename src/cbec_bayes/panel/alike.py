"""Names that look alike, and codes that may have become one: what a reader should know of the names of a panel."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype

from cbec_bayes.panel.cells import count, some

_ACCENTS = re.compile("[\u0300-\u036f]")
_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")


def stored_as_numbers(series: pd.Series, column: str) -> list[str]:
    """Say where a column of names is stored as numbers in which different codes may have become one."""
    if not is_float_dtype(series.dtype):
        return []
    values = series.to_numpy(dtype=float, na_value=np.nan)
    values = values[np.isfinite(values)]
    found = []
    if np.any(values != np.round(values)):
        found.append(
            f"'{column}' is stored as numbers, in which codes such as 1.1 and 1.10 are one; store it as text if they "
            "are two"
        )
    single = series.dtype == np.float32
    most = 2**24 if single else 2**53
    if np.any(np.abs(values) > most):
        found.append(
            f"'{column}' is stored in {'single' if single else 'double'} precision, in which whole numbers beyond "
            f"{most} lose digits: several codes may have become one; store it as text or as integers"
        )
    return found


def look_alike(names: Sequence[str], what: str) -> list[str]:
    """Say which names differ only by case, blanks, accents or zeros before or after them.

    They are taken as different names, because they may be; a reader who knows better corrects the data.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_key(name), []).append(name)
    sets = [" and ".join(f"'{name}'" for name in found) for found in alike.values() if len(found) > 1]
    if not sets:
        return []
    return [
        f"{count(len(sets), 'set')} of names of {what}, taken as different, differ only by case, blanks, accents or "
        f"zeros: {some(sets)}"
    ]


def _key(name: str) -> str:
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", name)).casefold()
    plain = re.sub(r"[\s_]+", "", plain)
    return re.sub(r"\.0+$", "", _ZEROS.sub("", plain))
