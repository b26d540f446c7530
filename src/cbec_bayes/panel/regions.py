"""Chinese provinces and the schemes that sort units into groups; any scheme is a CSV of unit and group."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbec_bayes.panel.names import tidy
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir, read_rows
from cbec_bayes.runtime.labels import fault_of_name


@dataclass(frozen=True, slots=True)
class Province:
    """A province: two-digit code of GB/T 2260, English and Chinese short name."""

    code: str
    name_en: str
    name_zh: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """A partition of units into groups, in file order.

    Attributes
    ----------
    name
        Name of the file without its ending.
    group_of
        Unit name to group name.
    """

    name: str
    group_of: Mapping[str, str]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in order of first appearance."""
        return tuple(dict.fromkeys(self.group_of.values()))

    def members(self, group: str) -> tuple[str, ...]:
        """Return the units of a group, or raise `InputError` naming the groups there are."""
        units = tuple(unit for unit, own in self.group_of.items() if own == group)
        if not units:
            raise InputError(f"unknown region '{group}' in scheme '{self.name}'; it has {', '.join(self.groups)}")
        return units

    def without(self, units: Sequence[str]) -> Scheme:
        """Return the scheme without some units (Tibet, in most provincial panels)."""
        for unit in units:
            if unit not in self.group_of:
                raise InputError(f"unknown unit '{unit}' in scheme '{self.name}'")
        kept = {unit: group for unit, group in self.group_of.items() if unit not in units}
        return Scheme(self.name, kept)


def provinces() -> tuple[Province, ...]:
    """Return the 31 provinces of mainland China, in the order of their codes."""
    rows = read_rows(asset_dir("data") / "regions" / "provinces.csv", required=("code", "name_en", "name_zh"))
    return tuple(Province(row["code"], row["name_en"], row["name_zh"]) for row in rows)


def load_scheme(scheme: str | Path) -> Scheme:
    """Load a scheme that ships with the package by name, or any CSV with the columns unit and group by its path.

    Parameters
    ----------
    scheme
        ``"four_regions"`` (National Bureau of Statistics: east, central, west, north-east), ``"three_regions"``
        (the older east, central, west), or the path of a CSV file.

    Raises
    ------
    InputError
        No such scheme; a blank cell; a unit listed twice.
    """
    folder = asset_dir("data") / "regions"
    path = Path(scheme)
    if path.suffix != ".csv":
        path = folder / f"{scheme}.csv"
        if not os.path.isfile(path):
            names = sorted(file.stem for file in folder.glob("*.csv") if file.stem != "provinces")
            raise InputError(f"unknown scheme '{scheme}'; there are {', '.join(names)}, or give a CSV file")
    if fault := fault_of_name(path.stem):
        raise InputError(f"results are named after the file, and {fault}", file=path)
    group_of: dict[str, str] = {}
    for row in read_rows(path, required=("unit", "group")):
        unit, group = tidy(row["unit"]), tidy(row["group"])
        if not unit or not group:
            raise InputError("the cell is blank", file=path, row=row.number, column="unit" if not unit else "group")
        if unit in group_of:
            raise InputError(f"'{unit}' is listed twice", file=path, row=row.number, column="unit")
        group_of[unit] = group
    return Scheme(path.stem, group_of)
