"""What a user states beside a file of estimates: columns that slopes are regressed on, and how errors hang together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.estimate_file import rows_of_estimates
from cbec_bayes.published.estimates import PrintedEstimates
from cbec_bayes.published.number import PrintedNumber, decimal_sign
from cbec_bayes.published.terms import StatedTerms
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import Row

Array = NDArray[np.float64]

_PLAIN = re.compile(r"-?\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,2})?")
"""Numbers as programs write them, of which a matrix may have thousands."""

_BLANK = ("na", "nan", "n/a", ".", "-")

_SYMMETRIC = 1e-9
"""Share of the two standard errors' product by which a covariance may differ from that across the diagonal."""

_DIFFERENT = 0.01
"""Share by which standard errors of a covariance may differ from those of the file before a note says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTerms:
    """Options of `published` that change its model or add to its tables.

    Attributes
    ----------
    slope_on
        Columns that slopes are regressed on: numbers, or labels as indicators.
    covariance
        File with the covariance of the errors, a square matrix with the labels as header and first column.
    cluster, correlation
        Column that says which errors hang together, and their correlation.
    leave_one_out
        Whether leave_one_out.csv is made however many estimates there are.
    """

    slope_on: tuple[str, ...] = ()
    covariance: Path | None = None
    cluster: str | None = None
    correlation: float | None = None
    leave_one_out: bool = False

    @property
    def states_terms(self) -> bool:
        """Whether the model has more than a common slope and independent errors."""
        return bool(self.slope_on) or self.covariance is not None or self.cluster is not None

    def files(self) -> list[Path]:
        """Return the files that are read beside the estimates."""
        return [] if self.covariance is None else [self.covariance]


NOTHING = AskedTerms()


def columns_asked(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Return columns that are named one by one or separated by commas."""
    return tuple(name.strip() for text in texts or () for name in text.split(",") if name.strip())


def with_terms(printed: PrintedEstimates, file: Path, asked: AskedTerms, *, is_file: bool) -> PrintedEstimates:
    """Return estimates with the moderators and the covariance that are asked for.

    Parameters
    ----------
    printed
        The estimates of a file.
    file
        That file.
    asked
        What is asked for.
    is_file
        Whether it is a file of estimates; a row of printed tables has no further columns.

    Raises
    ------
    InputError
        Options contradict each other, or a column or the matrix cannot be used.
    """
    _require_options(asked)
    if not asked.states_terms:
        return printed
    rows: list[Row] = []
    if asked.slope_on or asked.cluster is not None:
        if not is_file:
            raise InputError(
                "--slope-on and --cluster need a file of estimates, because printed tables have no such columns"
            )
        rows = rows_of_estimates(file)
    names, measured = _moderators(rows, asked.slope_on, file, printed)
    covariance, notes = None, printed.notes
    if asked.covariance is not None:
        covariance = read_covariance(asked.covariance, printed)
        notes = (*notes, *_difference(printed, covariance))
    clusters = None
    if asked.cluster is not None:
        column = _header(rows, asked.cluster, file)
        # A row without a cluster is one of its own.
        clusters = tuple(_cell(row, column) or f"row {row.number}" for row in rows)
    terms = StatedTerms(
        names=names,
        measured=measured,
        covariance=covariance,
        clusters=clusters,
        correlation=asked.correlation or 0.0,
    )
    return replace(printed, terms=terms, notes=notes)


def _require_options(asked: AskedTerms) -> None:
    if asked.covariance is not None and asked.cluster is not None:
        raise InputError("--covariance and --cluster both state how errors are correlated; give only one of them")
    if (asked.cluster is None) != (asked.correlation is None):
        raise InputError("--cluster and --correlation are used together; give both or neither")
    if asked.correlation is not None and not abs(asked.correlation) <= 1:
        raise InputError(f"--correlation must lie between -1 and 1, not {asked.correlation:g}")


def _header(rows: Sequence[Row], name: str, file: Path) -> str:
    """Return a column as the file writes it, or raise `InputError` with a suggestion."""
    columns = list(rows[0].cells)
    if name not in columns:
        raise InputError(f"there is no column '{name}'; {suggest(name, columns)}", file=file)
    return name


def _cell(row: Row, column: str) -> str:
    return row[column].strip()


def _moderators(
    rows: Sequence[Row], columns: Sequence[str], file: Path, printed: PrintedEstimates
) -> tuple[tuple[str, ...], Array]:
    """Return the names and values of moderators: a column of numbers each, or one for each label but the first."""
    names: list[str] = []
    found: list[Array] = []
    for column in columns:
        texts = [_cell(row, _header(rows, column, file)) for row in rows]
        for row, text in zip(rows, texts, strict=True):
            if not text or text.lower() in _BLANK:
                message = "blank; every row needs what its slope is regressed on"
                raise InputError(message, file=file, row=row.number, column=column)
        numbers = _numbers(texts, rows, column, file)
        if numbers is not None:
            names.append(column)
            found.append(numbers)
            continue
        labels = sorted(set(texts))
        if len(labels) == len(texts):
            raise InputError(
                "every row has a different label, so that no slope can be regressed on it", file=file, column=column
            )
        names += [f"{column}={label}" for label in labels[1:]]
        found += [np.array([text == label for text in texts], dtype=float) for label in labels[1:]]
    if len(set(names)) < len(names):
        raise InputError("--slope-on names a column twice")
    if not found:
        return (), np.empty((len(printed.rows), 0))
    return tuple(names), np.column_stack(found)


def _numbers(texts: Sequence[str], rows: Sequence[Row], column: str, file: Path) -> Array | None:
    """Return texts as numbers; None where most are labels, and a complaint where only some are."""
    try:
        sign = decimal_sign(texts).sign
    except ValueError as error:
        raise InputError(str(error), file=file, column=column) from None
    found, faults = np.full(len(texts), np.nan), []
    for place, (text, row) in enumerate(zip(texts, rows, strict=True)):
        try:
            found[place] = float(PrintedNumber.parse(text, decimal=sign))
        except ValueError as error:
            faults.append((row.number, str(error)))
    if not faults:
        return found
    if len(faults) < len(texts) / 2:
        raise InputError(faults[0][1], file=file, row=faults[0][0], column=column)
    return None


def read_covariance(path: Path, printed: PrintedEstimates) -> Array:
    """Read the covariance of the errors, in the order of the estimates, shape (R, R).

    Groups without an estimate need not be there, and count for nothing.

    Raises
    ------
    InputError
        The labels are not those of the estimates, or the matrix is no covariance.
    """
    rows = rows_of_estimates(path)
    first, *header = rows[0].cells
    labels = [row[first] for row in rows]
    wanted = [row.label for row in printed.rows if row.estimate is not None]
    for place, (of_row, of_column) in enumerate(zip(labels, header, strict=False)):
        if of_row != of_column:
            raise InputError(
                (
                    f"row {place + 1} is of '{of_row}' and column {place + 1} of '{of_column}'; rows and columns "
                    "must have the same order"
                ),
                file=path,
            )
    if len(labels) != len(header) or len(set(labels)) < len(labels):
        raise InputError(
            f"{len(labels)} rows and {len(header)} columns of labels; the matrix must be square, with each label once",
            file=path,
        )
    lacking = [label for label in wanted if label not in labels]
    if lacking:
        raise InputError(f"'{lacking[0]}' of the estimates has no row; labels must match", file=path)
    matrix = np.array([[_entry(row, column, path) for column in header] for row in rows])
    variances = np.diagonal(matrix)
    if not (variances > 0).all():
        raise InputError(f"the variance of '{labels[int(variances.argmin())]}' is not positive", file=path)
    size = np.sqrt(np.outer(variances, variances))
    away = np.abs(matrix - matrix.T) / size
    if away.max() > _SYMMETRIC:
        i, j = np.unravel_index(int(away.argmax()), away.shape)
        raise InputError(
            f"the covariance of '{labels[i]}' and '{labels[j]}' differs from its counterpart across the diagonal",
            file=path,
        )
    place_of = {label: place for place, label in enumerate(labels)}
    found = np.diag(np.ones(len(printed.rows)))
    there = [place for place, row in enumerate(printed.rows) if row.estimate is not None]
    chosen = [place_of[printed.rows[place].label] for place in there]
    found[np.ix_(there, there)] = ((matrix + matrix.T) / 2)[np.ix_(chosen, chosen)]
    return found


def _entry(row: Row, column: str, path: Path) -> float:
    try:
        return float(row[column]) if _PLAIN.fullmatch(row[column]) else float(PrintedNumber.parse(row[column]))
    except ValueError as error:
        raise InputError(str(error), file=path, row=row.number, column=column) from None


def _difference(printed: PrintedEstimates, covariance: Array) -> tuple[str, ...]:
    """Say where the diagonal of a covariance is not the square of the standard error in the file."""
    for row, variance in zip(printed.rows, np.diagonal(covariance), strict=True):
        if row.estimate is None or row.parenthesis is None or row.stars:
            continue
        se = float(row.parenthesis)
        if abs(np.sqrt(variance) / se - 1) > _DIFFERENT:
            return (
                f"The standard error of '{row.label}' is {se:.4g} in the file and {np.sqrt(variance):.4g} in the "
                "covariance, which counts.",
            )
    return ()
