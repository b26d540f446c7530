"""A study's classical tables from its panel, beside the printed ones: replication.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from cbec_bayes.classical.conventions import convention
from cbec_bayes.classical.few import REPLICATIONS, FewClusters
from cbec_bayes.classical.tables import (
    ColumnSpec,
    FittedColumn,
    classical_frame,
    few_cluster_columns,
    few_frame,
    fit_columns,
    own_columns,
)
from cbec_bayes.panel import Panel, load_study_panel, read_frame, study_frame
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.study import PanelSpec, Study
from cbec_bayes.published.audit.conventions import TIME, UNIT
from cbec_bayes.published.facts import paper_scheme
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Paper, load_paper
from cbec_bayes.replication.cells import Cell, column_cells, is_constant, moment_cells
from cbec_bayes.replication.shown import match_sentence, shown_tables
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

REPLICATION_COLUMNS = ("table", "column", "term", "quantity", "printed", "replicated", "match", "origin", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
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

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> replication = cb.replicate(cb.load_study("public"))
    >>> list(replication.frame().columns[:4])
    ['table', 'column', 'term', 'quantity']
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


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.10g}"


def replicate(
    study: Study,
    *,
    panel: Panel | None = None,
    few: bool = False,
    replications: int = REPLICATIONS,
    seed: int = 1,
    on_progress: OnProgress = ignore_progress,
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
        Draws and seed of the wild bootstrap.
    on_progress
        Called with how much is done.

    Raises
    ------
    InputError
        The study has no panel; the panel lacks a term that the printed tables have.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> replication = cb.replicate(cb.load_study("public"))
    >>> replication.panel.n_obs
    210
    """
    spec = study.panel
    if spec is None:
        raise InputError(f"the study '{study.name}' has no panel, and tables cannot be replicated without one")
    convention(spec.convention)  # a mistyped one must not look like columns that cannot be fitted
    panel = load_study_panel(spec) if panel is None else panel
    design = make_design(panel)
    paper = load_paper(asset_dir("data") / "published" / study.published.tables) if study.published else None
    columns = own_columns(design) if paper is None else paper_columns(paper, design)
    fitted = fit_columns(design, columns, spec.convention, on_progress=on_progress)
    options: dict[str, Any] = {"replications": replications, "seed": seed, "on_progress": on_progress}
    methods = few_cluster_columns(design, columns, spec.convention, **options) if few else {}
    half_widths = _half_widths(spec)
    cells = (
        *moment_cells(panel, paper, half_widths),
        *(c for column in fitted for c in column_cells(column, panel, paper)),
    )
    return Replication(study=study, panel=panel, design=design, paper=paper, columns=fitted, few=methods, cells=cells)


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
                    f"the printed column '{key}' has the row '{term}', but the panel has no such regressor; "
                    f"{suggest(term, design.terms)}"
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
