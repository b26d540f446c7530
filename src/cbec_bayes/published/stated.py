"""What a paper states outside its tables, read from paper.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, PlainValidator

from cbec_bayes.runtime.labels import fault_of_group
from cbec_bayes.runtime.toml import (
    Count,
    CsvPath,
    Flag,
    SomeTexts,
    Table,
    Text,
    Texts,
    TextTable,
    one_of,
    otherwise,
    read_table,
    validate_table,
    wrong,
)

READINGS = ("se", "p", "t")
DEFAULT_STARS = {"*": Fraction(1, 10), "**": Fraction(1, 20), "***": Fraction(1, 100)}
STARS_WITH_PLUS = {"+": Fraction(1, 10), "*": Fraction(1, 20), "**": Fraction(1, 100), "***": Fraction(1, 1000)}
"""Levels that are taken where a table has a plus and says nothing of its signs."""
SCALES = ("coefficient", "ratio")
ESTIMATORS = ("ols", "2sls", "gmm", "logit", "probit", "poisson", "ml", "marginal effect", "odds ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Table):
    """Columns (by key) that should share out the rows of another column, or of the panel if `whole` is None."""

    whole: Text | None = None
    parts: SomeTexts


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """What paper.toml says of one column, or of all columns of one table; None where it says nothing.

    Attributes
    ----------
    outcome, sample, effects
        In the paper's words.
    estimator
        One of `ESTIMATORS`.
    scale
        ``ratio`` where estimates are tested against one, else ``coefficient``.
    reading, stars
        What stands in parentheses, and symbol to level.
    clusters, clustered
        How many clusters there are, and whether standard errors are clustered.
    """

    outcome: str | None = None
    estimator: str | None = None
    scale: str | None = None
    effects: str | None = None
    reading: str | None = None
    stars: Mapping[str, Fraction] | None = None
    clusters: int | None = None
    clustered: bool | None = None
    sample: str | None = None

    def or_else(self, other: ColumnFacts) -> ColumnFacts:
        """Return these facts, and the other's where these say nothing."""
        chosen = {one.name: getattr(self, one.name) for one in fields(self)}
        return ColumnFacts(**{name: getattr(other, name) if v is None else v for name, v in chosen.items()})


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
    stars_stated, reading_stated
        Whether paper.toml says what the stars and the parentheses are; else they are what is usual.
    clustered
        Whether standard errors are said to be clustered by unit; None where nothing is said.
    terms
        Label of a row, as printed, to the term that stands for it.
    integers, binary
        Terms of whole numbers, and of zeros and ones, for the checks of means.
    tables, columns
        What is said of all columns of a table, by the table, and of one column, by its key.
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
    terms: Mapping[str, str] = field(default_factory=dict)
    stars_stated: bool = False
    reading_stated: bool = False
    clustered: bool | None = None
    integers: tuple[str, ...] = ()
    binary: tuple[str, ...] = ()
    tables: Mapping[str, ColumnFacts] = field(default_factory=dict)
    columns: Mapping[str, ColumnFacts] = field(default_factory=dict)

    def of_column(self, table: str, column: str) -> ColumnFacts:
        """Return what is said of a column, and where nothing is, of its table."""
        own = self.columns.get(f"{table}: {column}", ColumnFacts())
        return own.or_else(self.tables.get(table, ColumnFacts()))

    def label(self, term: str) -> str:
        """Return the display name of a term."""
        return self.labels.get(term, term)


_LEVEL = re.compile(r"[+-]?(\d{1,9}/\d{1,9}|(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?)", re.ASCII)


def _level(value: object) -> Fraction:
    text = str(value).strip()
    if not _LEVEL.fullmatch(text):  # 1e-999999999 is a fraction of a billion digits
        raise wrong("a level such as '0.05' is needed")
    try:
        level = Fraction(text)
    except ZeroDivisionError:
        raise wrong("a level such as '0.05' is needed") from None
    if not 0 < level < 1:
        raise wrong(f"a level must lie between 0 and 1, not {value}")
    return level


def _groups(named: Mapping[str, str]) -> Mapping[str, str]:
    for key, name in named.items():
        if fault := fault_of_group(name):
            raise wrong(fault, key)
    return named


def _descending(stars: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Return the levels from the weakest claim to the strongest."""
    if not stars:
        raise wrong("at least one level is needed, such as '*' = '0.05'")
    return dict(sorted(stars.items(), key=lambda item: item[1], reverse=True))


_Stars = Annotated[
    Mapping[str, Annotated[Fraction, PlainValidator(_level)]],
    otherwise("a table of levels is needed"),
    AfterValidator(_descending),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PanelFacts(Table):
    units: Count | None = None
    periods: Count | None = None
    scheme: CsvPath | None = None
    excluded: Texts = ()
    clustered: Flag | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ColumnFile(Table):
    """A table ``[columns."1: (2)"]`` or ``[tables."1"]``; see `ColumnFacts`."""

    outcome: Text | None = None
    estimator: Annotated[str, one_of(ESTIMATORS, "estimator")] | None = None
    scale: Annotated[str, one_of(SCALES, "scale")] | None = None
    effects: Text | None = None
    reading: Annotated[str, one_of(READINGS, "reading")] | None = None
    stars: _Stars | None = None
    clusters: Count | None = None
    clustered: Flag | None = None
    sample: Text | None = None

    def facts(self) -> ColumnFacts:
        """Return what is said."""
        return ColumnFacts(**{one.name: getattr(self, one.name) for one in fields(ColumnFacts)})


_Columns = Annotated[Mapping[str, _ColumnFile], otherwise("a table of tables is needed")]


@dataclass(frozen=True, slots=True)
class _Term(Table):
    term: Text | None = None


@dataclass(frozen=True, slots=True)
class _DescriptiveTable(Table):
    table: Text | None = None
    integers: Texts = ()
    binary: Texts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _PaperFile(Table):
    """The file paper.toml; see `Facts`."""

    title: Text = ""
    authors: Text = ""
    claimed_reading: Annotated[str, one_of(READINGS, "reading")] | None = None
    stars: _Stars | None = None
    panel: _PanelFacts = _PanelFacts()
    outcome: _Term = _Term()
    exposure: _Term = _Term()
    moments: _DescriptiveTable = _DescriptiveTable()
    groups: Annotated[TextTable, AfterValidator(_groups)] = field(default_factory=dict)
    partitions: Annotated[tuple[Partition, ...], otherwise("tables [[partitions]] are needed")] = ()
    labels: TextTable = field(default_factory=dict)
    terms: TextTable = field(default_factory=dict)
    tables: _Columns = field(default_factory=dict)
    columns: _Columns = field(default_factory=dict)


def read_facts(path: Path) -> Facts:
    """Read paper.toml, or raise `InputError` naming the file and the key."""
    return _facts(read_table(path, _PaperFile))


def facts_of(values: Mapping[str, object], path: Path) -> Facts:
    """Return what the content of a paper.toml says; `path` is for messages."""
    return _facts(validate_table(values, _PaperFile, path))


def _facts(file: _PaperFile) -> Facts:
    return Facts(
        title=file.title,
        authors=file.authors,
        stars=dict(DEFAULT_STARS) if file.stars is None else file.stars,
        claimed_reading=file.claimed_reading or "se",
        units=file.panel.units,
        periods=file.panel.periods,
        scheme=file.panel.scheme,
        excluded=file.panel.excluded,
        outcome=file.outcome.term,
        exposure=file.exposure.term,
        moments_table=file.moments.table,
        groups=file.groups,
        partitions=file.partitions,
        labels=file.labels,
        terms=file.terms,
        stars_stated=file.stars is not None,
        reading_stated=file.claimed_reading is not None,
        clustered=file.panel.clustered,
        integers=file.moments.integers,
        binary=file.moments.binary,
        tables={table: said.facts() for table, said in file.tables.items()},
        columns={key: said.facts() for key, said in file.columns.items()},
    )
