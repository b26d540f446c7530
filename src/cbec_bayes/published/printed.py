"""Printed tables, read from CSV as strings, and the paper that they belong to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cbec_bayes.published.number import DecimalSign, PrintedNumber, decimal_sign
from cbec_bayes.published.stated import STARS_WITH_PLUS, Facts, read_facts
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import Row, asset_dir, read_rows

TABLE_COLUMNS = ("table", "column", "term", "quantity", "printed", "stars")
COUNTS = ("n_obs", "units", "clusters", "periods", "df")
DESCRIBING = ("outcome", "estimator", "scale", "effects", "clustering", "sample")
"""Texts that say what a column is; see `cbec_bayes.published.described`."""
TEXTS = ("name", "first_level", "second_level", "note", "unit_effects", "time_effects", *DESCRIBING)
MEASURES = (
    "estimate",
    "parenthesis",
    "mean",
    "sd",
    "min",
    "max",
    "r2",
    "r2_within",
    "r2_adjusted",
    "standard_error",
    "t_statistic",
    "p_value",
    "ci_low",
    "ci_high",
    "f_statistic",
    "correlation",
)
BESIDE = ("standard_error", "t_statistic", "p_value", "ci_low", "ci_high")
"""What may stand beside a coefficient in addition to, or in the place of, its parentheses."""
AS_QUANTITY = {"se": "standard_error", "t": "t_statistic", "p": "p_value"}
"""What the parentheses of a reading are, as a quantity of their own."""

OF_TERMS = ("estimate", "parenthesis", "mean", "sd", "min", "max", *BESIDE, "correlation")
"""Quantities that need a term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """An estimate with what stands in parentheses under it and its stars.

    Attributes
    ----------
    table, column, term, label
        Where it stands; `label` is the row's name as printed.
    estimate
        The coefficient.
    parenthesis
        The number in parentheses, None if none is printed.
    stars
        ``""`` to ``"***"``.
    beside
        Other numbers on its precision, by quantity (`BESIDE`).
    """

    table: str
    column: str
    term: str
    label: str
    estimate: PrintedNumber
    parenthesis: PrintedNumber | None
    stars: str
    beside: Mapping[str, PrintedNumber] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a printed regression table.

    Attributes
    ----------
    table, name
        The table and the column's head.
    coefficients
        Term to coefficient, in printed order.
    numbers
        Quantity (``n_obs``, ``r2`` ...) to number.
    texts
        Quantity to text (fixed effects and the like).
    """

    table: str
    name: str
    coefficients: Mapping[str, Coefficient]
    numbers: Mapping[str, PrintedNumber]
    texts: Mapping[str, str]

    @property
    def key(self) -> str:
        """``"table: column"``, the name of a column in paper.toml."""
        return f"{self.table}: {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """A row of a descriptive table: n, mean, sd, minimum and maximum of one term, each None if not printed."""

    table: str
    term: str
    label: str
    n_obs: PrintedNumber | None
    mean: PrintedNumber | None
    sd: PrintedNumber | None
    min: PrintedNumber | None
    max: PrintedNumber | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The printed tables of one paper and the facts that belong to them.

    Attributes
    ----------
    files
        Files read, in order.
    columns
        Columns of the regression tables, by key.
    moments
        Rows of descriptive tables, by (table, term).
    facts
        What paper.toml says.
    notes
        Sentences on how the files were read.
    correlations
        Table to correlations, by the two variables.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> cb.load_paper().columns["4: East"].coefficients["cbec"].estimate.text
    '0.22'
    """

    files: tuple[Path, ...]
    columns: Mapping[str, TableColumn]
    moments: Mapping[tuple[str, str], Moments]
    facts: Facts
    notes: tuple[str, ...] = ()
    correlations: Mapping[str, dict[tuple[str, str], PrintedNumber]] = field(default_factory=dict)

    @property
    def full_sample(self) -> Mapping[str, Moments]:
        """Term to moments of the full sample: of the table that paper.toml names, else of the only one there is."""
        tables = {table for table, _ in self.moments}
        table = self.facts.moments_table or (next(iter(tables)) if len(tables) == 1 else None)
        return {term: row for (own, term), row in self.moments.items() if own == table}


def load_paper(folder: Path | str | None = None) -> Paper:
    """Read every table (``*.csv``) of a folder and its paper.toml, if there is one.

    Parameters
    ----------
    folder
        Folder of CSV files with the columns table, column, term, quantity, printed, stars (label is optional).
        Default: the paper that ships with the package.

    Raises
    ------
    InputError
        A file is malformed; the message names file, row and column.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> paper = cb.load_paper()
    >>> print(paper.facts.title)
    Cross-Border E-Commerce and Commercial Circulation Upgrading in China
    """
    folder = asset_dir("data") / "published" / "cbec_circulation" if folder is None else Path(folder)
    if not os.path.isdir(folder):
        raise InputError("no such folder" if not os.path.exists(folder) else "not a folder", file=folder)
    sidecar = folder / "paper.toml"
    facts = read_facts(sidecar) if os.path.lexists(sidecar) else Facts()
    beside = folder.resolve()  # as a scheme beside paper.toml is named
    files = [path for path in sorted(folder.glob("*.csv")) if str(beside / path.name) != facts.scheme]
    if not files:
        raise InputError("the folder has no .csv tables", file=folder)

    sources = [(path, read_rows(path, required=TABLE_COLUMNS, optional=("label",))) for path in files]
    return paper_of_rows(sources, facts, sidecar)


def paper_of_rows(sources: Sequence[tuple[Path, Sequence[Row]]], facts: Facts, sidecar: Path) -> Paper:
    """Return the paper that tidy rows make.

    Parameters
    ----------
    sources
        Files with their rows, which have the columns of `TABLE_COLUMNS`.
    facts
        What is said of the tables.
    sidecar
        Where that is said, for messages.

    Raises
    ------
    InputError
        A cell is malformed, or facts name what is not there.
    """
    cells: dict[_Place, _Cell] = {}
    notes: list[str] = []
    for path, rows in sources:
        facts = _with_plus(facts, rows)
        decimal = _decimal(path, rows)
        notes += [f"{path.name}: {decimal.note}"] if decimal.note else []
        for row in rows:
            place, value = _read_cell(path, row, facts, decimal.sign)
            if place in cells and place.quantity not in TEXTS:
                raise InputError(
                    f"table {place.table}, column {place.column}, term '{place.term}' has a second '{place.quantity}'",
                    file=path,
                    row=row.number,
                    column="quantity",
                )
            cells[place] = _Cell(value, row["stars"], row["label"], path, row.number)
    paper = Paper(
        files=tuple(path for path, _ in sources),
        columns=_columns(cells, facts),
        moments=_moments(cells),
        facts=facts,
        notes=tuple(notes),
        correlations=_correlations(cells),
    )
    _check_facts(paper, sidecar)
    return paper


def _with_plus(facts: Facts, rows: Sequence[Row]) -> Facts:
    """Return facts under which a plus is a star, where the tables have one and nothing says what it means."""
    if facts.stars_stated or not any(row["stars"] == "+" for row in rows):
        return facts
    return replace(facts, stars=dict(STARS_WITH_PLUS))


def _decimal(path: Path, rows: Sequence[Row]) -> DecimalSign:
    """Return the sign before decimals in a whole file; counts have none."""
    try:
        return decimal_sign(row["printed"] for row in rows if row["quantity"] in MEASURES)
    except ValueError as error:
        raise InputError(str(error), file=path, column="printed") from None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a cell stands; the column of a descriptive table is blank."""

    table: str
    column: str
    term: str
    quantity: str


@dataclass(frozen=True, slots=True)
class _Cell:
    """What stands there, and the line that it was read from."""

    value: PrintedNumber | str
    stars: str
    label: str
    path: Path
    row: int


def _read_cell(path: Path, row: Row, facts: Facts, decimal: str) -> tuple[_Place, PrintedNumber | str]:
    def wrong(column: str, message: str) -> InputError:
        return InputError(message, file=path, row=row.number, column=column)

    quantity, printed, stars = row["quantity"], row["printed"], row["stars"]
    if quantity not in (*MEASURES, *COUNTS, *TEXTS):
        known = ", ".join((*MEASURES, *COUNTS, *TEXTS))
        raise wrong("quantity", f"unknown quantity '{quantity}'; known are {known}")
    for column in ("table", "column"):
        if not row[column]:
            raise wrong(column, "the cell is blank")
    if quantity in OF_TERMS and not row["term"]:
        raise wrong("term", f"'{quantity}' needs a term")
    if stars and quantity != "estimate":
        raise wrong("stars", "only an estimate carries stars")
    said = facts.of_column(row["table"], row["column"])
    levels = said.stars or facts.stars
    if stars and stars not in levels:
        raise wrong("stars", f"unknown stars '{stars}'; known are {', '.join(levels)}")
    # The columns of a descriptive table are the quantities themselves, so the row is found by its term alone.
    column = "" if quantity in ("mean", "sd", "min", "max") or (quantity == "n_obs" and row["term"]) else row["column"]
    place = _Place(row["table"], column, row["term"], quantity)
    if quantity in TEXTS:
        return place, printed
    try:
        number = PrintedNumber.parse(printed, exact=quantity in COUNTS, decimal=decimal)
    except ValueError as error:
        raise wrong("printed", str(error)) from None
    if quantity in COUNTS and (number.value < 1 or number.value != int(number.value)):
        raise wrong("printed", f"'{printed}' is not a count")
    if quantity == "sd" and number.value < 0:
        raise wrong("printed", f"negative standard deviation {printed}")
    reading = said.reading or facts.claimed_reading
    if quantity == "parenthesis" and number.value < 0 and reading != "t":
        raise wrong("printed", f"negative {'standard error' if reading == 'se' else 'p-value'} {printed}")
    return place, number


def _columns(cells: Mapping[_Place, _Cell], facts: Facts) -> dict[str, TableColumn]:
    heads = list(dict.fromkeys((place.table, place.column) for place in cells if place.column))
    columns = {}
    for table, name in heads:
        own = {
            (place.term, place.quantity): cell
            for place, cell in cells.items()
            if (place.table, place.column) == (table, name)
        }
        reading = facts.of_column(table, name).reading or facts.claimed_reading
        coefficients = {}
        for (term, quantity), cell in own.items():
            if quantity == "parenthesis" and (term, "estimate") not in own:
                raise InputError(f"'{term}' has a parenthesis but no estimate", file=cell.path, row=cell.row)
            if quantity == "estimate" and isinstance(cell.value, PrintedNumber):
                # A number in a column of its own is judged against the stars as one in parentheses is.
                below = own.get((term, "parenthesis")) or own.get((term, AS_QUANTITY[reading]))
                coefficients[term] = Coefficient(
                    table=table,
                    column=name,
                    term=term,
                    label=cell.label or term,
                    estimate=cell.value,
                    parenthesis=below.value if below and isinstance(below.value, PrintedNumber) else None,
                    stars=cell.stars,
                    beside=_beside(own, term),
                )
        values = {quantity: cell.value for (_, quantity), cell in own.items() if quantity not in OF_COEFFICIENTS}
        numbers = {quantity: value for quantity, value in values.items() if isinstance(value, PrintedNumber)}
        texts = {quantity: value for quantity, value in values.items() if isinstance(value, str)}
        if coefficients or numbers:
            column = TableColumn(table, name, coefficients, numbers, texts)
            columns[column.key] = column
    return columns


OF_COEFFICIENTS = ("estimate", "parenthesis", *BESIDE, "correlation")
"""Quantities that make up a coefficient; all others are numbers and texts of their column."""


def _beside(own: Mapping[tuple[str, str], _Cell], term: str) -> dict[str, PrintedNumber]:
    found = {quantity: own[term, quantity].value for quantity in BESIDE if (term, quantity) in own}
    return {quantity: value for quantity, value in found.items() if isinstance(value, PrintedNumber)}


def _correlations(cells: Mapping[_Place, _Cell]) -> dict[str, dict[tuple[str, str], PrintedNumber]]:
    """Return the correlations of different variables, by table."""
    found: dict[str, dict[tuple[str, str], PrintedNumber]] = {}
    for place, cell in cells.items():
        if place.quantity == "correlation" and place.term != place.column and isinstance(cell.value, PrintedNumber):
            found.setdefault(place.table, {})[place.term, place.column] = cell.value
    return found


def _moments(cells: Mapping[_Place, _Cell]) -> dict[tuple[str, str], Moments]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for place, cell in cells.items():
        if not place.column and isinstance(cell.value, PrintedNumber):
            row = rows.setdefault((place.table, place.term), {"label": cell.label or place.term})
            row[place.quantity] = cell.value
    fields = ("n_obs", "mean", "sd", "min", "max")
    return {
        (table, term): Moments(table=table, term=term, label=row["label"], **{name: row.get(name) for name in fields})
        for (table, term), row in rows.items()
    }


def _check_facts(paper: Paper, sidecar: Path) -> None:
    facts = paper.facts
    named: Sequence[str] = [
        *facts.groups,
        *(key for part in facts.partitions for key in (*part.parts, part.whole) if key is not None),
    ]
    for key in (*named, *facts.columns):
        if key not in paper.columns:
            raise InputError(f"no column '{key}' in the tables; there are {', '.join(paper.columns)}", file=sidecar)
    if facts.moments_table and not paper.full_sample:
        raise InputError(f"moments.table is '{facts.moments_table}', but no such table was read", file=sidecar)
