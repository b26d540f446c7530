"""Products of the exposure with something else in a formula: a regression of group slopes, or one regressor more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cbec_bayes.panel.characteristics import varies
from cbec_bayes.panel.expressions import Piece, Values
from cbec_bayes.panel.formula import Formula, Term, label
from cbec_bayes.panel.within import Array, Codes


@dataclass(frozen=True, slots=True)
class Interacted:
    """A formula without the products that say what slopes of groups are regressed on.

    Attributes
    ----------
    formula
        What is left.
    characteristics
        Characteristics of the groups, in each row, by name, shape (n,).
    told
        Sentences on what was taken for what.
    """

    formula: Formula
    characteristics: Mapping[str, Array]
    told: tuple[str, ...]


def interacted(asked: Formula, values: Values, groups: Sequence[str] | None) -> Interacted:
    """Return what the products of the exposure in a formula mean.

    Parameters
    ----------
    asked
        The formula.
    values
        Values of the table's columns.
    groups
        Group of each row, blank where it is not known; None where there are none.

    Notes
    -----
    A number that is the same in all rows of each group, as in ``x*income`` or ``x:income``, is a characteristic of
    groups, and the slopes of groups are regressed on it. Any other number makes a regressor of the product, as in
    fixest. The number itself is left out where effects of units have it.
    """
    found = {name: values.source.measured(name) for name in asked.slope_on}
    first, *others = asked.terms
    terms, told = [first], []
    codes = None if groups is None else np.unique(np.array(groups, dtype=object), return_inverse=True)[1]
    known = np.ones(len(values.unit), dtype=bool) if groups is None else np.array([name != "" for name in groups])
    absorbed: set[Term] = set()
    for term in others:
        other = _beside(first, term)
        if other is None:
            terms.append(term)
            continue
        numbers = values.numbers(other)
        of_groups = codes is not None and _is_constant(numbers[known], codes[known])
        if of_groups:
            found[other.text] = numbers
            told.append(f"'{label(term)}': the slopes of groups of '{label(first)}' are regressed on '{other.text}'")
        else:
            terms.append(term)
            told.append(
                f"'{label(term)}' is a regressor like any other: the slope of '{label(first)}' is that where "
                f"'{other.text}' is 0"
            )
        if (other,) in asked.terms[asked.n_exposures :] and (of_groups or _is_constant(numbers, values.unit)):
            absorbed.add((other,))
            told.append(f"'{other.text}' does not change within a unit, so that effects of units have it: left out")
    terms = [term for term in terms if term not in absorbed]
    return Interacted(replace(asked, terms=tuple(terms)), found, tuple(told))


def _beside(exposure: Term, term: Term) -> Piece | None:
    """Return the number that a term multiplies the exposure by; None where it is no such product."""
    if len(exposure) != 1 or len(term) != 2 or exposure[0] not in term:
        return None
    other = term[1] if term[0] == exposure[0] else term[0]
    return None if other.category is not None or other == exposure[0] else other


def _is_constant(values: Array, code: Codes) -> bool:
    """Whether numbers are the same in all rows of each code, as far as they are known."""
    there = np.isfinite(values)
    order = np.argsort(code[there], kind="stable")
    sizes = np.bincount(code[there])
    return not any(varies(part) for part in np.split(values[there][order], np.cumsum(sizes)[:-1]) if part.size)
