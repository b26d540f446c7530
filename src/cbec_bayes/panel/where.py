"""Conditions on the columns of a table, as "year >= 2000 and sector in (3, 4)": read as data, and never run.

What a condition may have: names of columns (in backticks where they are no words), numbers, texts, comparisons (chained
ones too), ``in`` and ``not in`` lists, ``and``, ``or``, ``not``, and arithmetic of numbers. Anything else is refused.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import is_missing, is_number
from cbec_bayes.panel.names import name_of, tidy
from cbec_bayes.runtime.errors import InputError, suggest

Mask = NDArray[np.bool_]

LONGEST = 2_000
"""Signs that a condition may have: beyond, Python's own parser may run out of depth."""

_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COMPUTED: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_QUOTED = re.compile(r"`([^`]+)`")


def rows_where(frame: pd.DataFrame, condition: str) -> Mask:
    """Return which rows of a table meet a condition, shape (n,).

    Parameters
    ----------
    frame
        The table.
    condition
        See the module.

    Returns
    -------
    ndarray
        A comparison with a missing cell is false, and so is its opposite: only ``not`` turns it. A column of text is
        compared with a text as it is, and with a number as that is written (``code == 3`` is "3", and not "03"); where
        one is to be larger or smaller, cells of numbers are numbers.

    Raises
    ------
    InputError
        It cannot be read, names no column, or has what a condition may not have.
    """
    tree, names = _parsed(condition)
    with np.errstate(all="ignore"):
        return _Rows(frame, names, condition).holds(tree.body)


def columns_where(condition: str) -> tuple[str, ...]:
    """Return the columns that a condition names; what it may not have is refused by `rows_where`."""
    tree, names = _parsed(condition)
    found = (names.get(node.id, tidy(node.id)) for node in ast.walk(tree) if isinstance(node, ast.Name))
    return tuple(dict.fromkeys(found))


def _parsed(condition: str) -> tuple[ast.Expression, dict[str, str]]:
    """Return the tree of a condition, and the columns in backticks by the words that stand in for them."""
    names: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        names[f"quoted_{len(names)}_"] = tidy(match[1])
        return list(names)[-1]

    if len(condition) > LONGEST:
        raise InputError(f"--where: more than {LONGEST} signs")
    try:
        return ast.parse(_QUOTED.sub(stand_in, condition).strip(), mode="eval"), names
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InputError(
            f"--where: '{condition}' is not a condition; write one such as \"year >= 2000 and sector == 3\""
        ) from None


@dataclass(frozen=True, slots=True)
class _Rows:
    frame: pd.DataFrame
    names: Mapping[str, str]
    condition: str

    def refused(self, node: ast.AST) -> InputError:
        """Return the error that names a part which a condition may not have."""
        part = ast.unparse(node)
        for stand_in, name in self.names.items():
            part = part.replace(stand_in, f"`{name}`")
        return InputError(f"--where: '{part}' cannot stand in a condition; compare columns with numbers and texts")

    def holds(self, node: ast.expr) -> Mask:
        """Return in which rows a part that is true or false is true."""
        if isinstance(node, ast.BoolOp):
            parts = [self.holds(one) for one in node.values]  # noqa: PD011 - of a syntax tree
            both = isinstance(node.op, ast.And)
            return np.asarray(np.logical_and.reduce(parts) if both else np.logical_or.reduce(parts), dtype=bool)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.holds(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            found = [self.compared(a, op, b) for a, op, b in zip(sides, node.ops, sides[1:], strict=False)]
            return np.asarray(np.logical_and.reduce(found), dtype=bool)
        raise self.refused(node)

    def compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Mask:
        """Return in which rows one comparison holds."""
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                raise self.refused(right)
            each = [self.compared(left, ast.Eq(), one) for one in right.elts]
            among = np.logical_or.reduce(each) if each else np.zeros(len(self.frame), dtype=bool)
            return ~among & self.known(left) if isinstance(op, ast.NotIn) else among
        if type(op) not in _COMPARED:
            raise self.refused(ast.Compare(left, [op], [right]))
        one, other = self.value(left), self.value(right)
        same = isinstance(op, ast.Eq | ast.NotEq)
        if _is_text(one) or _is_text(other):
            if same or (_is_text(one) and _is_text(other) and not _both_numbers(one, other)):
                one, other = _as_texts(one), _as_texts(other)
            else:
                one, other = self.number(one, left), self.number(other, right)
        found = np.broadcast_to(np.asarray(_COMPARED[type(op)](one, other), dtype=bool), len(self.frame))
        return np.asarray(found & _is_known(one) & _is_known(other), dtype=bool)

    def known(self, node: ast.expr) -> Mask:
        """Return in which rows a part has a value."""
        return np.broadcast_to(_is_known(self.value(node)), len(self.frame))

    def value(self, node: ast.expr) -> Any:
        """Return a number, a text, or a column of either, shape (n,)."""
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool, str):
            return tidy(node.value) if isinstance(node.value, str) else node.value
        if isinstance(node, ast.Name):
            return self.column(self.names.get(node.id, tidy(node.id)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self.number(self.value(node.operand), node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
            one, other = (self.number(self.value(side), side) for side in (node.left, node.right))
            return _COMPUTED[type(node.op)](np.asarray(one, dtype=float), np.asarray(other, dtype=float))
        raise self.refused(node)

    def column(self, name: str) -> Any:
        """Return a column, as numbers where all of its cells are."""
        known = [tidy(str(one)) for one in self.frame.columns]
        if name not in known:
            raise InputError(f"--where: no such column; {suggest(name, known)}", column=name)
        series = self.frame.iloc[:, known.index(name)]
        if pd.api.types.is_numeric_dtype(series.dtype):
            return series.to_numpy(dtype=float, na_value=np.nan)
        gone = series.isna().to_numpy(dtype=bool)
        return np.array(["" if lost else name_of(cell) for cell, lost in zip(series, gone, strict=True)], dtype=object)

    def number(self, value: Any, node: ast.expr) -> Any:
        """Return numbers of a value that is text as far as each cell is one."""
        if not _is_text(value):
            return value
        cells = np.atleast_1d(np.asarray(value, dtype=object))
        wrong = next((cell for cell in cells if not is_number(cell) and not is_missing(cell)), None)
        if wrong is not None:
            raise InputError(
                f"--where: the condition {ast.unparse(node)} compares numbers with '{wrong}', which is not a number"
            )
        numbers = np.array([float(cell) if is_number(cell) else np.nan for cell in cells])
        return numbers if np.ndim(value) else numbers[0]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)


def _both_numbers(*values: Any) -> bool:
    return all(is_number(cell) or is_missing(cell) for value in values for cell in np.atleast_1d(value))


def _as_texts(value: Any) -> Any:
    if _is_text(value):
        return value
    if np.ndim(value):
        return np.array(["" if np.isnan(cell) else name_of(float(cell)) for cell in value], dtype=object)
    return name_of(value)


def _is_known(value: Any) -> Any:
    if _is_text(value):
        return np.asarray(value) != ""
    return ~np.isnan(np.asarray(value, dtype=float))
