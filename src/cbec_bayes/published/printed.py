"""Printed numbers with the precision they were printed at, and printed tables read from CSV as strings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from cbec_bayes.published.intervals import Interval
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import Row, asset_dir, read_rows, read_toml
from cbec_bayes.runtime.toml import Section

TABLE_COLUMNS = ("table", "column", "term", "quantity", "printed", "stars")
COUNTS = ("n_obs", "units", "clusters", "periods", "df")
TEXTS = ("name", "first_level", "second_level", "unit_effects", "time_effects", "note")
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
)
READINGS = ("se", "p", "t")
DEFAULT_STARS = {"*": Fraction(1, 10), "**": Fraction(1, 20), "***": Fraction(1, 100)}

# Digits first, so that "." alone is no number; a comma groups thousands; en dash, minus sign and hyphen all occur.
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class PrintedNumber:
    """A number as printed: its text, its value, and the interval that rounding to its last digit allows.

    Attributes
    ----------
    text
        As printed, with trailing zeros.
    value
        The decimal it spells.
    interval
        `value` plus and minus half a unit of the last printed digit; the value alone for a count.
    """

    text: str
    value: Decimal
    interval: Interval

    @classmethod
    def parse(cls, text: str, *, exact: bool = False) -> PrintedNumber:
        """Read ``"0.10"``, ``".5"``, ``"-.775"``, ``"1,234.5"``, ``"−2"`` or ``"1e-3"``.

        Parameters
        ----------
        text
            The number as printed.
        exact
            True for a count, which was not rounded.

        Raises
        ------
        ValueError
            It is not a finite number.
        """
        plain = text.strip().replace("−", "-").replace("–", "-")
        if not _NUMBER.fullmatch(plain) or not re.search(r"\d", plain.split("e")[0].split("E")[0]):
            raise ValueError(f"'{text}' is not a number")
        value = Decimal(plain.replace(",", ""))
        if abs(value.adjusted()) > 100 and value != 0:
            raise ValueError(f"'{text}' is beyond 1e100 or below 1e-100; change the unit")
        half = Fraction(0) if exact else Fraction(Decimal(5).scaleb(_exponent(value) - 1))
        centre = Fraction(value)
        return cls(text.strip(), value, Interval(centre - half, centre + half))

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return self.text


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"'{value}' is not finite")  # noqa: TRY004 - the type tells finite from infinite here
    return exponent


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
    """

    table: str
    column: str
    term: str
    label: str
    estimate: PrintedNumber
    parenthesis: PrintedNumber | None
    stars: str


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


@dataclass(frozen=True, slots=True)
class Partition:
    """Columns (by key) that should share out the rows of another column, or of the panel if `whole` is None."""

    whole: str | None
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a paper states outside its tables (paper.toml); every field has a neutral default.

    Attributes
    ----------
    stars
        Symbol to significance level.
    claimed_reading
        What the paper says its parentheses are: ``se``, ``p`` or ``t``.
    units, periods
        Size of the panel.
    scheme, excluded
        Scheme of groups (a name, or the path of its CSV) and units left out of the panel.
    outcome, exposure
        Terms of the left-hand side and of the slope of interest.
    moments_table
        The descriptive table of the full sample.
    groups
        Column key to group of the scheme.
    partitions
        Columns that share out rows.
    labels
        Term to display name.
    """

    title: str = ""
    authors: str = ""
    stars: Mapping[str, Fraction] = field(default_factory=lambda: dict(DEFAULT_STARS))
    claimed_reading: str = "se"
    units: int | None = None
    periods: int | None = None
    scheme: str | None = None
    excluded: tuple[str, ...] = ()
    outcome: str | None = None
    exposure: str | None = None
    moments_table: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    partitions: tuple[Partition, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, term: str) -> str:
        """Return the display name of a term."""
        return self.labels.get(term, term)


@dataclass(frozen=True, slots=True)
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
    """

    files: tuple[Path, ...]
    columns: Mapping[str, TableColumn]
    moments: Mapping[tuple[str, str], Moments]
    facts: Facts

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
    """
    folder = asset_dir("data") / "published" / "cbec_circulation" if folder is None else Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder" if not folder.exists() else "not a folder", file=folder)
    sidecar = folder / "paper.toml"
    facts = _read_facts(sidecar) if sidecar.is_file() else Facts()
    beside = folder.resolve()  # as a scheme beside paper.toml is named
    files = [path for path in sorted(folder.glob("*.csv")) if str(beside / path.name) != facts.scheme]
    if not files:
        raise InputError("the folder has no .csv tables", file=folder)

    cells: dict[tuple[str, str, str, str], tuple[PrintedNumber | str, str, str, Path, int]] = {}
    for path in files:
        for row in read_rows(path, required=TABLE_COLUMNS, optional=("label",)):
            key, value = _read_cell(path, row, facts)
            if key in cells and key[3] not in TEXTS:
                raise InputError(
                    f"table {key[0]}, column {key[1]}, term '{key[2]}' has a second '{key[3]}'",
                    file=path,
                    row=row.number,
                    column="quantity",
                )
            cells[key] = (value, row["stars"], row["label"], path, row.number)
    paper = Paper(tuple(files), _columns(cells), _moments(cells), facts)
    _check_facts(paper, sidecar)
    return paper


def _read_cell(path: Path, row: Row, facts: Facts) -> tuple[tuple[str, str, str, str], PrintedNumber | str]:
    def wrong(column: str, message: str) -> InputError:
        return InputError(message, file=path, row=row.number, column=column)

    quantity, printed, stars = row["quantity"], row["printed"], row["stars"]
    if quantity not in (*MEASURES, *COUNTS, *TEXTS):
        known = ", ".join((*MEASURES, *COUNTS, *TEXTS))
        raise wrong("quantity", f"unknown quantity '{quantity}'; known are {known}")
    for column in ("table", "column"):
        if not row[column]:
            raise wrong(column, "the cell is blank")
    if quantity in ("estimate", "parenthesis", "mean", "sd", "min", "max") and not row["term"]:
        raise wrong("term", f"'{quantity}' needs a term")
    if stars and quantity != "estimate":
        raise wrong("stars", "only an estimate carries stars")
    if stars and stars not in facts.stars:
        raise wrong("stars", f"unknown stars '{stars}'; known are {', '.join(facts.stars)}")
    # The columns of a descriptive table are the quantities themselves, so the row is found by its term alone.
    column = "" if quantity in ("mean", "sd", "min", "max") or (quantity == "n_obs" and row["term"]) else row["column"]
    key = (row["table"], column, row["term"], quantity)
    if quantity in TEXTS:
        return key, printed
    try:
        number = PrintedNumber.parse(printed, exact=quantity in COUNTS)
    except ValueError as error:
        raise wrong("printed", str(error)) from None
    if quantity in COUNTS and (number.value < 1 or number.value != int(number.value)):
        raise wrong("printed", f"'{printed}' is not a count")
    if quantity == "sd" and number.value < 0:
        raise wrong("printed", f"negative standard deviation {printed}")
    if quantity == "parenthesis" and number.value < 0 and facts.claimed_reading != "t":
        raise wrong(
            "printed",
            f"negative {'standard error' if facts.claimed_reading == 'se' else 'p-value'} {printed}",
        )
    return key, number


_Cells = Mapping[tuple[str, str, str, str], tuple[PrintedNumber | str, str, str, Path, int]]


def _columns(cells: _Cells) -> dict[str, TableColumn]:
    heads = list(dict.fromkeys((table, column) for (table, column, _, quantity) in cells if column))
    columns = {}
    for table, name in heads:
        own = {(k[2], k[3]): v for k, v in cells.items() if k[:2] == (table, name)}
        coefficients = {}
        for (term, quantity), (value, stars, label, path, row) in own.items():
            if quantity == "parenthesis" and (term, "estimate") not in own:
                raise InputError(f"'{term}' has a parenthesis but no estimate", file=path, row=row)
            if quantity == "estimate" and isinstance(value, PrintedNumber):
                below = own.get((term, "parenthesis"), (None,))[0]
                parenthesis = below if isinstance(below, PrintedNumber) else None
                coefficients[term] = Coefficient(
                    table=table,
                    column=name,
                    term=term,
                    label=label or term,
                    estimate=value,
                    parenthesis=parenthesis,
                    stars=stars,
                )
        numbers = {q: v for (_, q), (v, *_) in own.items() if isinstance(v, PrintedNumber) and q not in READ_TOGETHER}
        texts = {q: v for (_, q), (v, *_) in own.items() if isinstance(v, str)}
        if coefficients or numbers:
            column = TableColumn(table, name, coefficients, numbers, texts)
            columns[column.key] = column
    return columns


READ_TOGETHER = ("estimate", "parenthesis")


def _moments(cells: _Cells) -> dict[tuple[str, str], Moments]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for (table, column, term, quantity), (value, _, label, _, _) in cells.items():
        if not column and isinstance(value, PrintedNumber):
            rows.setdefault((table, term), {"label": label or term})[quantity] = value
    fields = ("n_obs", "mean", "sd", "min", "max")
    return {
        (table, term): Moments(table=table, term=term, label=row["label"], **{name: row.get(name) for name in fields})
        for (table, term), row in rows.items()
    }


def _read_facts(path: Path) -> Facts:
    top = Section(path, read_toml(path))
    top.only(
        (
            *("title", "authors", "claimed_reading", "stars", "panel", "outcome", "exposure", "moments", "groups"),
            *("partitions", "labels"),
        )
    )
    claimed = top.text("claimed_reading", "se")
    if claimed not in READINGS:
        raise top.wrong("claimed_reading", f"unknown reading '{claimed}'; {suggest(claimed, READINGS)}")
    panel, outcome, exposure, moments = (
        top.section(name, needed=False) for name in ("panel", "outcome", "exposure", "moments")
    )
    panel.only(("units", "periods", "scheme", "excluded"))
    for role in (outcome, exposure):
        role.only(("term",))
    moments.only(("table",))
    return Facts(
        title=top.text("title", ""),
        authors=top.text("authors", ""),
        stars=_read_stars(top) if "stars" in top.values else dict(DEFAULT_STARS),
        claimed_reading=claimed,
        units=panel.count("units"),
        periods=panel.count("periods"),
        scheme=panel.found("scheme", ".csv") if "scheme" in panel.values else None,
        excluded=panel.texts("excluded", needed=False),
        outcome=outcome.text("term", None),
        exposure=exposure.text("term", None),
        moments_table=moments.text("table", None),
        groups=top.mapping("groups"),
        partitions=tuple(_partition(one) for one in top.sections("partitions")),
        labels=top.mapping("labels"),
    )


def _partition(section: Section) -> Partition:
    section.only(("whole", "parts"))
    return Partition(section.text("whole", None), section.texts("parts"))


def _read_stars(top: Section) -> dict[str, Fraction]:
    stars = {}
    for symbol, level in top.section("stars").values.items():
        try:
            stars[symbol] = Fraction(str(level))
        except (ValueError, ZeroDivisionError):
            raise top.wrong(f"stars.{symbol}", "a level such as '0.05' is needed") from None
    if not stars or any(not 0 < level < 1 for level in stars.values()):
        raise top.wrong("stars", "each level must lie between 0 and 1")
    return dict(sorted(stars.items(), key=lambda item: item[1], reverse=True))


def _check_facts(paper: Paper, sidecar: Path) -> None:
    facts = paper.facts
    named: Sequence[str] = [
        *facts.groups,
        *(key for part in facts.partitions for key in (*part.parts, part.whole) if key is not None),
    ]
    for key in named:
        if key not in paper.columns:
            raise InputError(f"no column '{key}' in the tables; there are {', '.join(paper.columns)}", file=sidecar)
    if facts.moments_table and not paper.full_sample:
        raise InputError(f"moments.table is '{facts.moments_table}', but no such table was read", file=sidecar)
