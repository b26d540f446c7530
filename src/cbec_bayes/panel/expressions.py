"""Pieces of a formula, as log(y), I(x**2), l(x, 1) or i(sector): read as data by a closed list, and never run.

What a piece may have: names of columns (in backticks where they are no words), numbers, arithmetic, and calls of the
functions below with nothing but these in them. Anything else is refused with the part that cannot stand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from keyword import iskeyword
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import LARGEST, Source
from cbec_bayes.panel.names import name_of, tidy
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

_QUOTED = re.compile(r"`([^`]+)`")


def _centred(values: Array) -> Array:
    known = values[np.isfinite(values)]
    return values - known.mean() if known.size else values


def _scaled(values: Array) -> Array:
    known = values[np.isfinite(values)]
    return _centred(values) / known.std(ddof=1) if known.size > 1 else values * np.nan


_FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "I": lambda values: values,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "center": _centred,
    "scale": _scaled,
}
_SHIFTS = {"l": 1, "f": -1}  # periods back
_CATEGORIES = ("C", "i")
_WHOLE_TABLE = ("center", "scale", *_SHIFTS)
_COMPUTED: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.Mod: np.mod,
}
_TAKEN = f"a formula takes {', '.join([*_FUNCTIONS, *_SHIFTS, *_CATEGORIES])} and arithmetic of columns"


@dataclass(frozen=True, slots=True)
class Category:
    """A column that is taken as categories.

    Attributes
    ----------
    name
        The column.
    by
        Numeric column that each category has a slope of, in the place of a level; None if there is none.
    ref
        Category that the others are compared with; None for the first.
    form
        ``C`` or ``i``, whose columns are named in other ways.
    """

    name: str
    by: str | None
    ref: str | None
    form: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One factor of a formula.

    Attributes
    ----------
    text
        As it is written: the name of a column, or an expression.
    is_name
        Whether it is a name as it stands.
    """

    text: str
    is_name: bool

    @property
    def quoted(self) -> str:
        """The text as it can stand within another expression."""
        is_word = self.text.isidentifier() and not iskeyword(self.text)
        return f"`{self.text}`" if self.is_name and not is_word else self.text

    @property
    def category(self) -> Category | None:
        """What it is as categories; None where it is a number."""
        if self.is_name:
            return None
        names, tree = _parsed(self.text)
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in _CATEGORIES:
            return _category(tree, names)
        return None

    def columns(self, *, lagged: bool = True) -> tuple[str, ...]:
        """Return the numeric columns that it is computed from; without those that it takes of other periods alone.

        Raises
        ------
        InputError
            It has what a formula may not have.
        """
        if self.is_name:
            return (self.text,)
        category = self.category
        if category is not None:
            return () if category.by is None else (category.by,)
        names, tree = _parsed(self.text)
        return tuple(dict.fromkeys(_names(tree, names, lagged=lagged)))

    @property
    def is_shifted(self) -> bool:
        """Whether it has a lag or a lead."""
        return not self.is_name and self.category is None and self._calls(_SHIFTS)

    @property
    def is_of_one_row(self) -> bool:
        """Whether a row alone tells its value: no lag, no mean over rows, no list of categories."""
        return self.is_name or not self._calls({*_WHOLE_TABLE, *_CATEGORIES})

    def _calls(self, functions: Collection[str]) -> bool:
        """Whether it calls one of some functions."""
        _, tree = _parsed(self.text)
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        return any(isinstance(one, ast.Name) and one.id in functions for one in called)


def _parsed(text: str) -> tuple[dict[str, str], ast.expr]:
    """Return the columns in backticks by the words that stand in for them, and the tree of an expression."""
    names: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        names[f"quoted_{len(names)}_"] = tidy(match[1])
        return list(names)[-1]

    try:
        return names, ast.parse(_QUOTED.sub(stand_in, text).strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InputError(f"the formula's '{text}' cannot be read; {_TAKEN}") from None


def _refused(node: ast.AST, names: Mapping[str, str]) -> InputError:
    part = ast.unparse(node)
    for stand_in, name in names.items():
        part = part.replace(stand_in, f"`{name}`")
    return InputError(f"'{part}' cannot stand in a formula; {_TAKEN}")


def _category(node: ast.Call, names: Mapping[str, str]) -> Category:
    form = node.func.id if isinstance(node.func, ast.Name) else ""
    columns = [names.get(one.id, tidy(one.id)) for one in node.args if isinstance(one, ast.Name)]
    most = 2 if form == "i" else 1
    ref = None
    for keyword in node.keywords:
        if keyword.arg != "ref" or form != "i":
            raise _refused(node, names)
        ref = _level(keyword.value)
        if ref is None:
            raise _refused(keyword.value, names)
    if not columns or len(columns) != len(node.args) or len(columns) > most:
        raise _refused(node, names)
    return Category(columns[0], columns[1] if len(columns) > 1 else None, ref, form)


def _level(node: ast.expr) -> str | None:
    """Return the name of a category that is written as a text or a number."""
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    if isinstance(inner, ast.Constant) and type(inner.value) in (int, float, str):
        return ("-" if negative else "") + name_of(inner.value)
    return None


def _shift(node: ast.Call, names: Mapping[str, str]) -> int:
    """Return how many periods back a lag or a lead takes its argument from."""
    sign = _SHIFTS[node.func.id] if isinstance(node.func, ast.Name) else 0
    if node.keywords or not 1 <= len(node.args) <= 2:
        raise _refused(node, names)
    steps = node.args[1] if len(node.args) == 2 else ast.Constant(1)
    if isinstance(steps, ast.Constant) and type(steps.value) is int and steps.value >= 0:
        return sign * steps.value
    raise _refused(node, names)


def _names(node: ast.expr, names: Mapping[str, str], *, lagged: bool) -> Iterator[str]:
    """Yield the columns of an expression, and refuse what may not stand in it."""
    match node:
        case ast.Name():
            yield names.get(node.id, tidy(node.id))
        case ast.Constant() if type(node.value) in (int, float):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            yield from _names(node.operand, names, lagged=lagged)
        case ast.BinOp() if type(node.op) in _COMPUTED:
            yield from _names(node.left, names, lagged=lagged)
            yield from _names(node.right, names, lagged=lagged)
        case ast.Call(func=ast.Name(id=called)) if called in _FUNCTIONS:
            if node.keywords or len(node.args) != 1:
                raise _refused(node, names)
            yield from _names(node.args[0], names, lagged=lagged)
        case ast.Call(func=ast.Name(id=called)) if called in _SHIFTS:
            steps = _shift(node, names)
            inner = list(_names(node.args[0], names, lagged=lagged))
            yield from inner if lagged or not steps else ()
        case _:
            raise _refused(node, names)


@dataclass(frozen=True, slots=True)
class Values:
    """Pieces of a formula as columns of a table.

    Attributes
    ----------
    source
        The table.
    unit, times
        Codes of units, and elapsed periods, shape (n,).
    whole
        The same of a table that these rows are some of, from which lags and leads are taken; None for these rows.
    """

    source: Source
    unit: Codes
    times: Array
    whole: Values | None = None
    _known: dict[str, Array] = field(default_factory=dict)

    def numbers(self, piece: Piece) -> Array:
        """Return a piece as numbers, shape (n,), with NaN where it has no value.

        Raises
        ------
        InputError
            A cell is no number, or too large; a value is.
        """
        if piece.is_name:
            return self.column(piece.text)
        names, tree = _parsed(piece.text)
        with np.errstate(all="ignore"):
            found = np.broadcast_to(np.asarray(self._value(tree, names), dtype=float), len(self.unit)).copy()
        found[~np.isfinite(found)] = np.nan
        large = np.flatnonzero(np.abs(found) > LARGEST)
        if large.size:
            message = f"the value is beyond {LARGEST:g}, where computations lose precision"
            raise self.source.wrong(int(large[0]), piece.text, message)
        return found

    def column(self, name: str) -> Array:
        """Return a column of the table as numbers."""
        if name not in self._known:
            self.source.require([name])
            try:
                self._known[name] = self.source.measured(name)
            except InputError as error:
                if "is not a number" in error.message:
                    advice = f"{error.message}; in a formula i({Piece(name, is_name=True).quoted}) takes categories"
                    raise InputError(advice, file=error.file, row=error.row, column=error.column) from None
                raise
        return self._known[name]

    def labels(self, name: str) -> NDArray[np.object_]:
        """Return a column of the table as names of categories, blank where there is none."""
        self.source.require([name])
        return np.array(self.source.labels(name, required=False), dtype=object)

    def _value(self, node: ast.expr, names: Mapping[str, str]) -> Any:
        """Return the value of an expression that `Piece.columns` lets through."""
        value = partial(self._value, names=names)
        match node:
            case ast.Name():
                return self.column(names.get(node.id, tidy(node.id)))
            case ast.Constant():
                return node.value
            case ast.UnaryOp():
                inner = value(node.operand)
                return -inner if isinstance(node.op, ast.USub) else inner
            case ast.BinOp():
                # Whole numbers would be computed without a bound on their digits.
                sides = (np.asarray(value(side), dtype=float) for side in (node.left, node.right))
                return _COMPUTED[type(node.op)](*sides)
            case ast.Call(func=ast.Name(id=called)):
                if called in _SHIFTS:
                    return self._shifted(node.args[0], _shift(node, names), names)
                return _FUNCTIONS[called](np.broadcast_to(np.asarray(value(node.args[0]), dtype=float), len(self.unit)))
        raise _refused(node, names)

    def _shifted(self, node: ast.expr, steps: int, names: Mapping[str, str]) -> Array:
        """Return the values of the same units so many periods before, NaN where that period is not there."""
        of = self if self.whole is None else self.whole
        values = np.broadcast_to(np.asarray(of._value(node, names), dtype=float), len(of.unit))
        rows = pd.MultiIndex.from_arrays([of.unit, of.times])
        at = rows.get_indexer(pd.MultiIndex.from_arrays([self.unit, self.times - steps]))
        return np.where(at >= 0, values[at], np.nan)
