"""Printed cells beside the same cells computed from a panel: replication.csv."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from cbec_bayes.classical.conventions import convention
from cbec_bayes.classical.describe import QUANTITIES, descriptive
from cbec_bayes.classical.few import REPLICATIONS, FewClusters
from cbec_bayes.classical.regression import Regression
from cbec_bayes.classical.tables import (
    ColumnSpec,
    FittedColumn,
    classical_frame,
    few_cluster_columns,
    few_frame,
    fit_columns,
    own_columns,
)
from cbec_bayes.design import Design, make_design
from cbec_bayes.errors import InputError
from cbec_bayes.files import asset_dir
from cbec_bayes.panel import Panel, load_study_panel, read_frame, study_frame
from cbec_bayes.published.audit.constant import CONSTANT_TERMS
from cbec_bayes.published.audit.conventions import TIME, UNIT
from cbec_bayes.published.facts import paper_scheme, sample_of
from cbec_bayes.published.printed import Coefficient, Paper, PrintedNumber, TableColumn, load_paper
from cbec_bayes.published.readings import DfRange, coherent_readings, read_cell
from cbec_bayes.spec import Origin, PanelSpec, Study, suggest

REPLICATION_COLUMNS = ("table", "column", "term", "quantity", "printed", "replicated", "match", "origin", "note")
NOT_PRINTED = "not in the paper"
_REPRESENTATION = 1e-9  # a number on the very edge of its rounding interval may fall off it by its binary form
READING_NOTES = {
    "se": "",
    "p": "read as a p-value: the stars contradict a standard error",
    "t": "read as a t statistic: the stars contradict a standard error",
    "": "no reading agrees with the stars; shown is the standard error",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table, printed, replicated, or both.

    Attributes
    ----------
    table, column, term, quantity
        Its place.
    printed
        The number as printed; None where nothing is.
    replicated
        The same quantity computed from the panel; NaN where it cannot be.
    origin
        Of the replicated number.
    note
        What a reader must know.
    slack
        By how much the rounding of the inputs can move the replicated number.
    reading
        What a parenthesis is: ``se``, ``p`` or ``t``; blank elsewhere, and where no reading agrees with the stars.
    """

    table: str
    column: str
    term: str
    quantity: str
    printed: PrintedNumber | str | None
    replicated: float | str
    origin: Origin
    note: str = ""
    slack: float = 0.0
    reading: str = ""

    @property
    def match(self) -> str:
        """Whether the replicated number is the printed one.

        ``yes`` to its last digit, ``rounding`` where the rounding of the inputs allows it, ``no``, or blank where
        nothing is printed.
        """
        if self.printed is None:
            return ""
        if isinstance(self.printed, str) or isinstance(self.replicated, str):
            return "yes" if self.printed == self.replicated else "no"
        low, high = self.printed.interval.ends
        for slack, word in ((_REPRESENTATION * max(abs(low), abs(high)), "yes"), (self.slack, "rounding")):
            if low - slack <= self.replicated <= high + slack:
                return word
        return "no"


@dataclass(frozen=True, slots=True)
class Replication:
    """The classical tables of a study.

    Attributes
    ----------
    study, panel, paper
        What was asked, the panel, and the printed tables (None where nothing is printed).
    columns
        Every regression column, those of the paper first.
    few
        Few-cluster inference by column key; empty unless asked for.
    cells
        Every cell, in the order of the tables.
    """

    study: Study
    panel: Panel
    design: Design
    paper: Paper | None
    columns: tuple[FittedColumn, ...]
    few: Mapping[str, FewClusters]
    cells: tuple[Cell, ...]

    def frame(self) -> pd.DataFrame:
        """Return the cells as the table that replication.csv holds."""
        rows = [
            (
                c.table,
                c.column,
                c.term,
                c.quantity,
                "" if c.printed is None else str(c.printed),
                c.replicated if isinstance(c.replicated, str) else _short(c.replicated),
                c.match,
                str(c.origin),
                c.note,
            )
            for c in self.cells
        ]
        return pd.DataFrame(rows, columns=list(REPLICATION_COLUMNS))

    def classical(self) -> pd.DataFrame:
        """Return every column's coefficients; see `classical_frame`."""
        return classical_frame(self.columns, self.panel.origin)

    def few_frame(self) -> pd.DataFrame:
        """Return every column's coefficients under CRV1, CR2, CRV3 and the wild bootstrap."""
        return few_frame(self.few, [column.spec for column in self.columns], self.panel.origin)

    def _repr_html_(self) -> str:
        said = f" {match_sentence(self)}" if self.paper is not None else ""
        tables = "".join(f"<p>{escape(title)}</p>{table.to_html(index=False)}" for title, table in shown_tables(self))
        return f"<p>Origin: {self.panel.origin}.{escape(said)}</p>{tables}"

    def numbers(self) -> tuple[Cell, ...]:
        """Return the cells with a printed number, outside the constants' rows."""
        return tuple(c for c in self.cells if isinstance(c.printed, PrintedNumber) and not is_constant(c.term))

    def counts(self) -> dict[str, int]:
        """Return how many of `numbers` match, by `Cell.match`: yes, rounding, no."""
        words = [cell.match for cell in self.numbers()]
        return {word: words.count(word) for word in ("yes", "rounding", "no")}


def printed_coefficients(paper: Paper) -> dict[tuple[str, str, str], str]:
    """Return every printed coefficient with its stars and parenthesis, as text, by table, column and term."""
    return {
        (column.table, column.name, term): f"{c.estimate}{c.stars}" + (f" ({c.parenthesis})" if c.parenthesis else "")
        for column in paper.columns.values()
        for term, c in column.coefficients.items()
    }


def printed_numbers(replication: Replication) -> dict[tuple[str, str, str, str], float]:
    """Return the printed cells by table, column, term and quantity (estimate, se, t or r2), as checks ask for them."""
    found = {}
    for cell in replication.numbers():
        quantity = cell.reading if cell.quantity == "parenthesis" else cell.quantity
        if isinstance(cell.printed, PrintedNumber) and quantity in ("estimate", "se", "t", "r2"):
            found[cell.table, cell.column, cell.term, quantity] = float(cell.printed.value)
    return found


def is_constant(term: str) -> bool:
    """Whether a term is the constant, under any of the names that programs give it."""
    return term.lower() in CONSTANT_TERMS


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.10g}"


def replicate(
    study: Study,
    *,
    panel: Panel | None = None,
    few: bool = False,
    replications: int = REPLICATIONS,
    seed: int = 1,
    step: Callable[[str], None] = lambda _: None,
) -> Replication:
    """Compute a study's classical tables, beside its printed cells where it has any.

    Parameters
    ----------
    study
        With a panel; its printed tables are optional.
    panel
        Another panel in the place of the study's own (a reconstruction).
    few
        Whether to run the few-cluster methods.
    replications, seed
        Of the wild bootstrap.
    step
        Called with how much is done.

    Raises
    ------
    InputError
        The study has no panel; the panel lacks a term that the printed tables have.
    """
    spec = study.panel
    if spec is None:
        raise InputError(f"the study '{study.name}' has no panel: nothing can be replicated from printed tables alone")
    convention(spec.convention)  # a mistyped one must not look like columns that cannot be fitted
    panel = load_study_panel(spec) if panel is None else panel
    design = make_design(panel)
    paper = load_paper(asset_dir("data") / "published" / study.published.tables) if study.published else None
    columns = own_columns(design) if paper is None else paper_columns(paper, design)
    fitted = fit_columns(design, columns, spec.convention, step=step)
    options: dict[str, Any] = {"replications": replications, "seed": seed, "step": step}
    methods = few_cluster_columns(design, columns, spec.convention, **options) if few else {}
    half_widths = _half_widths(spec)
    cells = (
        *_moment_cells(panel, paper, half_widths),
        *(c for column in fitted for c in _column_cells(column, panel, paper)),
    )
    return Replication(study, panel, design, paper, fitted, methods, cells)


def observed_rows(study: Study, paper: Paper) -> dict[str, pd.DataFrame]:
    """Return, by the key of a paper's column, its rows with the controls of the study that were observed.

    Columns are unit, time and the controls; empty where the study has no panel. The audit compares constants with them.
    """
    spec = study.panel
    if spec is None:
        return {}
    controls = [term for term in spec.controls if spec.origins.get(term, Origin.OBSERVED) is Origin.OBSERVED]
    if not controls:
        return {}
    there = [name for name in spec.files if (asset_dir("data") / name).is_file()]
    names = tuple(name for name in there if set(controls) & set(read_frame(asset_dir("data") / name).columns))
    frame = study_frame(spec, names)
    rows = frame[controls].dropna().assign(**{UNIT: frame[spec.unit], TIME: frame[spec.time]})
    group_of = paper_scheme(paper.facts)
    found = {}
    for key in paper.columns:
        group = paper.facts.groups.get(key)
        if group is None:
            found[key] = rows
        elif group_of is not None:
            found[key] = rows[rows[UNIT].isin(group_of.members(group))]
    return found


def _half_widths(spec: PanelSpec) -> dict[str, pd.Series]:
    """Return the half-widths of rounding of the columns that were published coarsely, by column."""
    if not spec.rounding:
        return {}
    frame = study_frame(spec, tuple(name for name in spec.files if (asset_dir("data") / name).is_file()))
    for column in spec.rounding.values():
        if column not in frame.columns:
            raise InputError("no such column in the study's files (panel.rounding)", column=column)
    return {term: frame[column].astype(float) for term, column in spec.rounding.items()}


def paper_columns(paper: Paper, design: Design) -> tuple[ColumnSpec, ...]:
    """Return the columns of a paper's regression tables, then one for each group that the paper leaves out.

    Raises
    ------
    InputError
        A printed term is not a regressor of the panel, or a printed group is not one of its groups.
    """
    columns = []
    for key, column in paper.columns.items():
        terms = tuple(term for term in column.coefficients if not is_constant(term))
        for term in terms:
            if term not in design.terms:
                raise InputError(
                    f"the printed column '{key}' has '{term}', the panel has not; {suggest(term, design.terms)}"
                )
        group = paper.facts.groups.get(key)
        if group is not None and not design.groups:
            raise InputError(f"the printed column '{key}' is the group '{group}', but the study's panel has no groups")
        if group is not None and group not in design.groups:
            raise InputError(f"the printed column '{key}' is '{group}'; {suggest(group, design.groups)}")
        columns.append(ColumnSpec(column.table, column.name, terms, group, printed=True))
    by_group = [column for column in columns if column.group is not None]
    shown = {column.group for column in by_group}
    for group in design.groups if by_group else ():
        if group not in shown:
            columns.append(ColumnSpec(by_group[0].table, group, by_group[0].terms, group, printed=False))
    return tuple(columns)


def _moment_cells(panel: Panel, paper: Paper | None, half_widths: Mapping[str, pd.Series]) -> Iterator[Cell]:
    printed = paper.full_sample if paper is not None else {}
    rows = {row["term"]: row for row in descriptive(panel).to_dict("records")}
    table = next(iter(printed.values())).table if printed else "2"
    for term in (term for term in dict.fromkeys([*printed, *rows]) if term in rows):
        for quantity in QUANTITIES:
            number = getattr(printed[term], quantity) if term in printed else None
            slack = _rounding_slack(half_widths.get(term), quantity)
            note = f"rounding of the published inputs can move this by {slack:.2g}" if slack else ""
            value, origin = float(rows[term][quantity]), panel.origins[term]
            yield Cell(table, "", term, quantity, number, value, origin, note, slack)


def _rounding_slack(half_widths: pd.Series | None, quantity: str) -> float:
    """Bound how far rounding moves a moment: the mean by its mean, the sd, a seminorm, by its root sum of squares."""
    if half_widths is None or quantity == "n_obs":
        return 0.0
    if quantity == "mean":
        return float(half_widths.mean())
    if quantity == "sd":
        return float(((half_widths**2).sum() / (len(half_widths) - 1)) ** 0.5)
    return float(half_widths.max())


def _column_cells(column: FittedColumn, panel: Panel, paper: Paper | None) -> Iterator[Cell]:
    spec, fit, origin = column.spec, column.fit, panel.origin
    place = (spec.table, spec.name)
    printed = paper.columns[spec.key] if paper is not None and spec.printed else None
    if fit is None:
        yield from _unfitted(column, printed, origin)
        return
    note = "" if printed is not None or paper is None else NOT_PRINTED
    sample = sample_of(printed, paper, paper_scheme(paper.facts)) if printed is not None and paper is not None else None
    constant = "constant"
    if printed is not None:
        constant = next((term for term in printed.coefficients if is_constant(term)), constant)
    for term in (*spec.terms, constant):
        cell = printed.coefficients.get(term) if printed is not None else None
        if printed is not None and cell is None:
            continue
        value, se, p = _estimate(fit, term)
        yield Cell(*place, term, "estimate", cell.estimate if cell else None, value, origin, note)
        starred = cell is not None and (cell.stars or cell.parenthesis is not None)
        if paper is not None and cell is not None and starred and has_stars(paper):
            yield Cell(*place, term, "stars", cell.stars, stars_of(p, paper), origin)
        if paper is None or cell is None or cell.parenthesis is None or sample is None:
            yield Cell(*place, term, "parenthesis", None, se, origin, note)
            continue
        reading = cell_reading(cell, paper, sample.df)
        inside = p if reading == "p" else value / se if reading == "t" else se
        yield Cell(
            *place, term, "parenthesis", cell.parenthesis, inside, origin, READING_NOTES[reading], reading=reading
        )
    numbers = {"n_obs": float(fit.n_obs), "r2": fit.r2, "r2_within": fit.r2_within, "r2_adjusted": fit.r2_adjusted}
    shown = set(numbers) if paper is None else {"n_obs", "r2"} if printed is None else set(printed.numbers)
    for quantity, number in numbers.items():
        there = printed.numbers.get(quantity) if printed is not None else None
        if quantity in shown:
            yield Cell(*place, "", quantity, there, number, origin, note)


def _unfitted(column: FittedColumn, printed: TableColumn | None, origin: Origin) -> Iterator[Cell]:
    """Keep every printed number of a column that its rows cannot carry, with the reason."""
    place = (column.spec.table, column.spec.name)
    if printed is None:
        yield Cell(*place, "", "n_obs", None, math.nan, origin, column.reason)
        return
    for term, cell in printed.coefficients.items():
        yield Cell(*place, term, "estimate", cell.estimate, math.nan, origin, column.reason)
        if cell.parenthesis is not None:
            yield Cell(*place, term, "parenthesis", cell.parenthesis, math.nan, origin, column.reason)
    for quantity, number in printed.numbers.items():
        yield Cell(*place, "", quantity, number, math.nan, origin, column.reason)


def _estimate(fit: Regression, term: str) -> tuple[float, float, float]:
    frame = fit.frame()
    row = frame.iloc[fit.terms.index(term) if term in fit.terms else -1]
    return float(row["estimate"]), float(row["se"]), float(row["p"])


def cell_reading(cell: Coefficient, paper: Paper, df: DfRange) -> str:
    """Return what a cell's parentheses are in the audit's coherent reading: ``se``, ``p``, ``t``, or blank for none.

    The reading that the paper claims comes first, then the others. Where the paper prints no stars at all there is
    nothing to contradict its claim.
    """
    claimed = paper.facts.claimed_reading
    if not has_stars(paper):
        return claimed
    found = coherent_readings(read_cell(cell, paper.facts.stars, df))
    zero = cell.parenthesis is not None and cell.parenthesis.value == 0
    possible = [reading for reading in found if not (zero and reading == "se")]
    return claimed if claimed in possible else next(iter(possible), "")


def has_stars(paper: Paper) -> bool:
    """Whether any coefficient of a paper carries stars."""
    return any(cell.stars for column in paper.columns.values() for cell in column.coefficients.values())


def stars_of(p: float, paper: Paper) -> str:
    """Return the stars that a p-value earns under a paper's levels."""
    earned = [symbol for symbol, level in paper.facts.stars.items() if p < float(level)]
    return earned[-1] if earned else ""


def match_sentence(replication: Replication) -> str:
    """Say how many printed numbers the panel meets, and which it does not."""
    counts = replication.counts()
    n = sum(counts.values())
    missed = [cell for cell in replication.numbers() if cell.match == "no"]
    places = [
        " ".join(part for part in (cell.table, cell.column, cell.term, cell.quantity, f"({cell.printed})") if part)
        for cell in missed
    ]
    sentence = f"{counts['yes']} of {n} printed numbers outside the constants' rows are met to the last digit"
    if counts["rounding"]:
        sentence += f", {counts['rounding']} more within the rounding of published inputs"
    return f"{sentence}." + (f" Not met: {'; '.join(places)}." if places else "")


def shown_tables(replication: Replication) -> list[tuple[str, pd.DataFrame]]:
    """Return the tables for a reader, as text: a title and a table for each table of the study.

    A cell has the replicated number, then what was printed in brackets with = where it is met, ~ where the rounding of
    the inputs allows it, and ≠ where it is not. A parenthesis is the standard error, or what it says it is.
    """
    label = label_of(replication)
    heads = {
        (column.spec.table, column.spec.name): f"{column.spec.name} ({NOT_PRINTED})"
        for column in replication.columns
        if replication.paper is not None and not column.spec.printed
    }
    stars = {(c.table, c.column, c.term): c for c in replication.cells if c.quantity == "stars"}
    tables: list[tuple[str, pd.DataFrame]] = []
    shown = [cell for cell in replication.cells if cell.quantity != "stars"]
    for table, moments in dict.fromkeys((cell.table, not cell.column) for cell in shown):
        own = [cell for cell in shown if (cell.table, not cell.column) == (table, moments)]
        longest = max((cell.column for cell in own), key=[cell.column for cell in own].count)
        rows: dict[str, dict[str, str]] = {
            _row_name(label(cell.term), cell.quantity): {} for cell in own if not moments and cell.column == longest
        }
        for cell in own:
            row = label(cell.term) if moments else _row_name(label(cell.term), cell.quantity)
            column = cell.quantity if moments else heads.get((table, cell.column), cell.column)
            beside = stars.get((cell.table, cell.column, cell.term)) if cell.quantity == "estimate" else None
            rows.setdefault(row, {})[column] = shown_cell(cell, beside)
        frame = pd.DataFrame.from_dict(rows, orient="index").fillna("").rename_axis("").reset_index()
        order = list(dict.fromkeys(heads.get((table, cell.column), cell.column) for cell in own))
        title = f"Table {table}" if replication.paper is not None else OWN_TITLES.get(table, f"Table {table}")
        tables.append((title, frame.rename(columns=MOMENT_HEADS) if moments else frame[["", *order]]))
    return tables


OWN_TITLES = {"2": "Descriptive statistics", "3": "Regressions on all rows", "4": "Regressions by group"}
MOMENT_HEADS = {
    "n_obs": "Observations",
    "mean": "Mean",
    "sd": "Standard deviation",
    "min": "Minimum",
    "max": "Maximum",
}
MARKS = {"yes": "=", "rounding": "~", "no": "≠"}


def shown_cell(cell: Cell, stars: Cell | None = None) -> str:
    """Write a cell for a reader: replicated [mark printed]; an estimate with the stars of both."""
    text = cell.replicated if isinstance(cell.replicated, str) else _plain(cell)
    printed, match = cell.printed, cell.match
    if cell.quantity == "parenthesis":
        text = f"({cell.reading} = {text})" if cell.reading in ("p", "t") else f"({text})"
    if printed is None:
        return text
    if stars is not None:
        match = "no" if stars.match == "no" else match
        return f"{text}{stars.replicated} [{MARKS[match]} {printed}{stars.printed}]"
    return f"{text} [{MARKS[match]} {printed}]"


def _row_name(label: str, quantity: str) -> str:
    names = {"estimate": label, "parenthesis": f"{label} (se)", "n_obs": "Observations", "r2": "R2"}
    return names.get(quantity, {"r2_within": "R2 within", "r2_adjusted": "R2 adjusted"}.get(quantity, quantity))


def _plain(cell: Cell) -> str:
    """Write a number with the decimals of the printed one, else with four significant digits."""
    assert not isinstance(cell.replicated, str)
    if math.isnan(cell.replicated):
        return "–"
    if isinstance(cell.printed, PrintedNumber):
        exponent = cell.printed.value.as_tuple().exponent
        return f"{cell.replicated:.{max(0, -int(exponent))}f}"
    return f"{cell.replicated:.0f}" if cell.quantity == "n_obs" else f"{cell.replicated:.4g}"


def label_of(replication: Replication) -> Callable[[str], str]:
    """Return the function from a term to its display name."""
    spec = replication.study.panel
    names = dict(replication.paper.facts.labels) if replication.paper else {}
    names |= dict(spec.labels) if spec is not None else {}
    return lambda term: names.get(term, "Constant" if is_constant(term) else term)
