"""What a paper states outside its tables, read from paper.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, PlainValidator

from cbec_bayes.runtime.labels import fault_of_group
from cbec_bayes.runtime.toml import (
    Count,
    CsvPath,
    SomeTexts,
    Table,
    Text,
    Texts,
    TextTable,
    one_of,
    otherwise,
    read_table,
    wrong,
)

READINGS = ("se", "p", "t")
DEFAULT_STARS = {"*": Fraction(1, 10), "**": Fraction(1, 20), "***": Fraction(1, 100)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Table):
    """Columns (by key) that should share out the rows of another column, or of the panel if `whole` is None."""

    whole: Text | None = None
    parts: SomeTexts


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _PanelFacts(Table):
    units: Count | None = None
    periods: Count | None = None
    scheme: CsvPath | None = None
    excluded: Texts = ()


@dataclass(frozen=True, slots=True)
class _Term(Table):
    term: Text | None = None


@dataclass(frozen=True, slots=True)
class _DescriptiveTable(Table):
    table: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _PaperFile(Table):
    """The file paper.toml; see `Facts`."""

    title: Text = ""
    authors: Text = ""
    claimed_reading: Annotated[str, one_of(READINGS, "reading")] = "se"
    stars: Annotated[
        Mapping[str, Annotated[Fraction, PlainValidator(_level)]],
        otherwise("a table of levels is needed"),
        AfterValidator(_descending),
    ] = field(default_factory=lambda: dict(DEFAULT_STARS))
    panel: _PanelFacts = _PanelFacts()
    outcome: _Term = _Term()
    exposure: _Term = _Term()
    moments: _DescriptiveTable = _DescriptiveTable()
    groups: Annotated[TextTable, AfterValidator(_groups)] = field(default_factory=dict)
    partitions: Annotated[tuple[Partition, ...], otherwise("tables [[partitions]] are needed")] = ()
    labels: TextTable = field(default_factory=dict)


def read_facts(path: Path) -> Facts:
    """Read paper.toml, or raise `InputError` naming the file and the key."""
    file = read_table(path, _PaperFile)
    return Facts(
        title=file.title,
        authors=file.authors,
        stars=file.stars,
        claimed_reading=file.claimed_reading,
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
    )
