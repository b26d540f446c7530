"""Small panels that the tests break in one place each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cbec_bayes.panel import Roles

ROLES = Roles(outcome="y", exposure="x", controls=("z",), unit="unit", time="time")
GROUPED = Roles(outcome="y", exposure="x", controls=("z",), unit="unit", time="time", group="group")


def table(n_units: int = 4, n_times: int = 3, seed: int = 0) -> pd.DataFrame:
    """Return a balanced panel of units A, B, ... in the periods 2015, ...; rows by unit then time, first one row 2."""
    rng = np.random.default_rng(seed)
    units = [chr(ord("A") + i) for i in range(n_units)]
    keys = [(unit, 2015 + t) for unit in units for t in range(n_times)]
    frame = pd.DataFrame(keys, columns=["unit", "time"])
    frame["group"] = np.where(frame["unit"] <= units[n_units // 2 - 1], "west", "east")
    return frame.assign(**{name: rng.normal(size=len(keys)).round(3) for name in ("y", "x", "z")})


def with_cell(frame: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    """Return the table with one cell replaced; `row` counts the header as 1."""
    cells = frame[column].astype(object)
    cells.iloc[row - 2] = value
    return frame.assign(**{column: cells})
