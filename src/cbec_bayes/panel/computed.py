"""The measured columns of a panel: those of a table as they are, or as a formula computes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import Source, is_number
from cbec_bayes.panel.expressions import Category, Piece, Values
from cbec_bayes.panel.formula import Formula, Term, label
from cbec_bayes.panel.interactions import interacted
from cbec_bayes.panel.periods import Periods
from cbec_bayes.panel.table import Roles
from cbec_bayes.panel.within import Array, PeriodEffects
from cbec_bayes.runtime.errors import InputError, suggest

Mask = NDArray[np.bool_]

MOST_LEVELS = 500
"""Categories that a column may have: each becomes a regressor."""

MOST_NAMED = 20
"""Values that are named one by one where a piece does not exist."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows that lack a value, and why.

    Attributes
    ----------
    column
        What has no value.
    rows
        Shape (n,).
    reason
        A sentence without its full stop.
    """

    column: str
    rows: Mask
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """The measured columns of a table.

    Attributes
    ----------
    roles
        What they are called, and which part each plays.
    columns
        By name, shape (n,); NaN where there is no value.
    lost
        Why; nothing of columns that are as they were read.
    categories
        Columns that stand for a category, which nobody asked for one by one.
    period_effects
        Which effects of periods are asked for.
    characteristics
        Characteristics of groups, on which the slopes of groups are regressed, by name, shape (n,).
    told
        Sentences on what was taken for what.
    """

    roles: Roles
    columns: Mapping[str, Array]
    lost: tuple[Lost, ...] = ()
    categories: frozenset[str] = frozenset()
    period_effects: PeriodEffects = PeriodEffects.COMMON
    characteristics: Mapping[str, Array] = field(default_factory=dict)
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table.

    Attributes
    ----------
    source
        The table.
    units, periods
        Units and periods of its rows.
    """

    source: Source
    units: Sequence[str]
    periods: Periods


def computed_of(
    rows: Rows, asked: Roles | Formula, groups: Sequence[str] | None = None, *, whole: Rows | None = None
) -> Computed:
    """Return the measured columns that are asked of a table.

    Parameters
    ----------
    rows
        The table.
    asked
        Columns by name, or a formula of them.
    groups
        Groups of its rows; None where there are no groups.
    whole
        The table that these rows are some of, from which lags and leads are taken; None for these rows.

    Raises
    ------
    InputError
        A column is not there; a cell is no number; a piece of the formula has no value in any row.
    """
    source = rows.source
    if isinstance(asked, Roles):
        columns = {name: source.measured(name) for name in asked.measured}
        return Computed(
            roles=asked, columns=columns, characteristics={name: source.measured(name) for name in asked.slope_on}
        )
    values = _values(rows, whole)
    products = interacted(asked, values, groups)
    asked = products.formula
    lost = tuple(one for piece in asked.pieces for one in _lost(values, piece))
    gone = np.logical_or.reduce([one.rows for one in lost]) if lost else np.zeros(len(rows.units), dtype=bool)
    if gone.all():
        first = next(one for one in lost if one.rows.any())
        raise InputError(
            f"the formula has no value in any row; the reason in the first row is that {first.reason}", file=source.file
        )
    regressors, categories = _regressors(values, asked.terms, ~gone)
    names = list(regressors)
    roles = Roles(
        outcome=asked.outcome.text,
        exposure=names[0],
        further=tuple(names[1 : asked.n_exposures]),
        controls=tuple(names[asked.n_exposures :]),
        unit=asked.unit,
        time=asked.time,
        group=asked.group,
        slope_on=tuple(products.characteristics),
        weights=asked.weights,
        weights_kind=asked.weights_kind,
        clusters=asked.clusters,
        absorbed=asked.absorbed,
    )
    columns = {roles.outcome: values.numbers(asked.outcome), **regressors}
    return Computed(
        roles=roles,
        columns=columns,
        lost=lost,
        categories=categories,
        period_effects=asked.period_effects,
        characteristics=products.characteristics,
        told=products.told,
    )


def _values(rows: Rows, whole: Rows | None) -> Values:
    """Return the rows of a table, with those that they are some of where lags are to be taken from these."""
    every = rows if whole is None else whole
    codes, labels = pd.factorize(np.array(every.units, dtype=object))
    if whole is None:
        return Values(rows.source, codes, rows.periods.times)
    own = pd.Index(labels).get_indexer(np.array(rows.units, dtype=object))
    return Values(rows.source, own, rows.periods.times, Values(whole.source, codes, whole.periods.times))


def row_values(source: Source, asked: Roles | Formula) -> Array:
    """Return outcome and regressors of a table of which each row alone tells the values, shape (n, 1 + K).

    Parameters
    ----------
    source
        Any rows of a table.
    asked
        Columns by name, or a formula of which `Formula.of_one_row` gives the columns.

    Returns
    -------
    ndarray
        NaN where there is no value.
    """
    if isinstance(asked, Roles):
        return np.column_stack([source.measured(name) for name in asked.measured])
    n = len(source.rows)
    values = Values(source, np.zeros(n, dtype=np.intp), np.zeros(n))
    terms = [[values.numbers(piece) for piece in term] for term in ((asked.outcome,), *asked.terms)]
    return np.column_stack([np.prod(term, axis=0) for term in terms])


def _lost(values: Values, piece: Piece) -> Iterator[Lost]:
    """Yield which rows a piece leaves out, and why: a cell that is missing first, then what cannot be computed."""
    category = piece.category
    known = np.ones(len(values.unit), dtype=bool)
    if category is not None:
        blank = values.labels(category.name) == ""
        yield Lost(category.name, np.asarray(blank, dtype=bool), f"'{category.name}' is missing")
    for name in piece.columns(lagged=False) if category is None else piece.columns():
        missing = np.isnan(values.column(name))
        known &= ~missing
        yield Lost(name, missing, f"'{name}' is missing")
    if category is not None or piece.is_name:
        return
    undefined = known & np.isnan(values.numbers(piece))
    if set(piece.columns()) != set(piece.columns(lagged=False)):
        yield Lost(piece.text, undefined, f"'{piece.text}' is of a period that is not there, or has no value then")
        return
    of = piece.columns()
    found = np.unique(values.column(of[0])[undefined]) if len(of) == 1 else np.zeros(0)
    if not 0 < len(found) <= MOST_NAMED:
        yield Lost(piece.text, undefined, f"'{piece.text}' does not exist for {' and '.join(of)} of the row")
        return
    for value in found:
        rows = undefined & (values.column(of[0]) == value)
        yield Lost(piece.text, rows, f"'{piece.text}' does not exist where '{of[0]}' is {value:g}")


def _regressors(values: Values, terms: tuple[Term, ...], kept: Mask) -> tuple[dict[str, Array], frozenset[str]]:
    """Return the columns of all terms by name, those of the exposure first, and which stand for categories.

    Products and codings are those of formulaic, which pyfixest has them from: beside an intercept the first category
    has no column of its own, but where a product needs it.
    """
    from formulaic.formula import SimpleFormula
    from formulaic.parser.types import Factor
    from formulaic.parser.types import Term as Parsed

    data: dict[str, object] = {}
    parsed = [Parsed([Factor("1", eval_method="literal")])]
    made: set[str] = set()
    for term in terms:
        category = term[0].category if len(term) == 1 else None
        if category is not None and (category.form == "i" or category.by is not None):
            own = _by_level(values, category, kept)
            data |= own
            made |= own.keys()
            parsed += [Parsed([Factor(name, eval_method="lookup")]) for name in own]
            continue
        for piece in term:
            data[piece.text] = values.numbers(piece)[kept] if piece.category is None else _levels(values, piece, kept)
        parsed.append(Parsed([Factor(piece.text, eval_method="lookup") for piece in term]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of formulaic to its own developers
        matrix = SimpleFormula(parsed, _ordering="none").get_model_matrix(
            pd.DataFrame(data), na_action="ignore", output="numpy", ensure_full_rank=True
        )
    names = list(matrix.model_spec.column_names)
    many = [label(term) for term in terms if any(piece.category is not None for piece in term)]
    made |= {name for name in names if many and name not in made and name not in set(map(label, terms))}
    found = {}
    for name, column in zip(names[1:], np.asarray(matrix, dtype=float).T[1:], strict=True):
        found[name] = np.full(len(kept), np.nan)
        found[name][kept] = column
    return found, frozenset(made & found.keys())


def _sorted_levels(values: Values, name: str, kept: Mask) -> list[str]:
    """Return the categories of the rows that are kept: numbers by size, texts by their signs."""
    found = sorted(set(values.labels(name)[kept]))
    if all(is_number(one) for one in found):
        found.sort(key=float)
    if len(found) > MOST_LEVELS:
        raise InputError(f"{len(found)} categories are more than {MOST_LEVELS}: absorb it as an effect", column=name)
    return found


def _levels(values: Values, piece: Piece, kept: Mask) -> pd.Categorical:
    name = piece.category.name if piece.category is not None else piece.text
    return pd.Categorical(values.labels(name)[kept], categories=_sorted_levels(values, name, kept))


def _by_level(values: Values, category: Category, kept: Mask) -> dict[str, Array]:
    """Return a column for each category but the one that others are compared with, as fixest names them."""
    levels = _sorted_levels(values, category.name, kept)
    if category.ref is not None and category.ref not in levels:
        raise InputError(
            f"ref names no category of the column: '{category.ref}'; {suggest(category.ref, levels)}",
            column=category.name,
        )
    left_out = category.ref if category.ref is not None or category.by is not None else levels[0]
    labels = values.labels(category.name)[kept]
    factor = np.ones(int(kept.sum())) if category.by is None else values.column(category.by)[kept]
    behind = "" if category.by is None else f":{category.by}"
    return {f"{category.name}::{one}{behind}": (labels == one) * factor for one in levels if one != left_out}
