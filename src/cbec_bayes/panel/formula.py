"""A regression as users of fixest and pyfixest write it: "log(y) ~ x + log(z) + i(sector) | firm + year"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cbec_bayes.panel.absorbed import absorbed_by
from cbec_bayes.panel.expressions import Piece
from cbec_bayes.panel.names import tidy
from cbec_bayes.panel.table import Roles
from cbec_bayes.panel.weights import NO_WEIGHTS, WeightsKind
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.runtime.errors import InputError, suggest

LONGEST = 2_000
"""Signs that a formula may have: beyond, parsers may run out of depth."""

MOST_PRODUCTS = 6
"""Signs ``*`` that a formula may have: each of them may double the number of terms."""

MOST_SHIFTS = 50
"""Lags, and leads, of the exposure that can be asked for."""

_OPERATORS = ("~", "+", "-", ":", "*", "|", "^")
_WRITTEN = '"log(y) ~ x + log(z) + i(sector) | firm + year"'

type Term = tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """What a formula asks of a table.

    Attributes
    ----------
    outcome
        What is explained.
    terms
        The regressors, each a product of one piece or several; the exposures first.
    unit, time
        Columns that together name a row, and have effects.
    group
        Column that sorts units into groups, if there are groups.
    told
        Sentences on what was taken that the formula does not say.
    period_effects
        Which effects of periods there are.
    slope_on
        Columns of characteristics of groups, on which the slopes of groups are regressed, beside those that a product
        with the exposure names; see `cbec_bayes.panel.interactions`.
    n_exposures
        How many of the terms are exposures.
    weights, weights_kind, clusters, absorbed
        As in `Roles`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> asked = cb.read_formula("log(y) ~ x + z | firm + year")
    >>> asked.unit, asked.time, asked.outcome.text
    ('firm', 'year', 'log(y)')
    """

    outcome: Piece
    terms: tuple[Term, ...]
    unit: str
    time: str
    group: str | None = None
    told: tuple[str, ...] = ()
    period_effects: PeriodEffects = PeriodEffects.COMMON
    slope_on: tuple[str, ...] = ()
    n_exposures: int = 1
    weights: str | None = None
    weights_kind: str = WeightsKind.ANALYTIC
    clusters: tuple[str, ...] = ()
    absorbed: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "clusters", tuple(map(tidy, self.clusters)))
        object.__setattr__(self, "weights", None if self.weights is None else tidy(self.weights))

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Outcome and all factors of regressors, each once."""
        return tuple(dict.fromkeys([self.outcome, *(piece for term in self.terms for piece in term)]))

    @property
    def numeric(self) -> tuple[str, ...]:
        """Columns of the table that are read as numbers."""
        weights = [] if self.weights is None else [self.weights]
        own = [name for piece in self.pieces for name in piece.columns()]
        return tuple(dict.fromkeys([*own, *self.slope_on, *weights]))

    @property
    def categories(self) -> tuple[str, ...]:
        """Columns of the table that are read as categories."""
        found = (piece.category for piece in self.pieces)
        return tuple(dict.fromkeys(one.name for one in found if one is not None))

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that hold names: they stay text as it is written."""
        others = (name for names in (self.clusters, *self.absorbed) for name in names if name != self.time)
        own = (self.unit, *([self.group] if self.group is not None else []), *self.categories, *others)
        return tuple(dict.fromkeys(own))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the table that are read."""
        return tuple(dict.fromkeys([*self.names, self.time, *self.numeric]))

    def of_one_row(self) -> Roles:
        """Return the columns of a formula whose values each row alone tells, by their names.

        Raises
        ------
        InputError
            A value depends on other rows.
        """
        if self.weights is not None:
            raise InputError(NO_WEIGHTS)
        if self.period_effects is not PeriodEffects.COMMON or self.absorbed:
            raise InputError("moments allow only effects of units and of periods; write | firm + year")
        for piece in self.pieces:
            if not piece.is_of_one_row:
                raise InputError(
                    f"'{piece.text}' needs other rows of the file, but it is read in batches; fit the panel itself"
                )
        exposure, *controls = (label(term) for term in self.terms)
        return Roles(
            outcome=self.outcome.text,
            exposure=exposure,
            controls=tuple(controls),
            unit=self.unit,
            time=self.time,
            group=self.group,
        )


def label(term: Term) -> str:
    """Return a term as it is written: x, log(x), x:z."""
    return ":".join(piece.text for piece in term)


def read_formula(
    text: str,
    *,
    exposure: str | Sequence[str] | None = None,
    unit: str | None = None,
    time: str | None = None,
    group: str | None = None,
    lags: int = 0,
    leads: int = 0,
    slope_on: Sequence[str] = (),
) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text
        Outcome ~ regressors | effects.
    exposure
        Which regressor is the exposure, or which ones are, if the slopes of several are to be pooled; None for the
        first.
    unit, time
        Which of the effects is which; where neither is given, the first effect is that of units. Where there is one
        effect alone, it is that of units, and `time` is needed.
    group
        Column of groups; effects of periods within them stand as ``group^year``.
    lags, leads
        How many of the exposure stand beside it.
    slope_on
        Columns of characteristics of groups, on which the slopes of groups are regressed.

    Raises
    ------
    InputError
        It cannot be read, or has what a formula may not have.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> asked = cb.read_formula("sales ~ price + l(wage, 1) | firm + year", group="sector")
    >>> cb.make_panel(frame, asked).n_obs
    84
    """
    main, effects = _parts(text)
    outcome, terms = _terms(main)
    unit, time, group = (None if name is None else tidy(name) for name in (unit, time, group))
    absorbed = absorbed_by(effects, unit, time, group)
    asked = [] if exposure is None else [exposure] if isinstance(exposure, str) else list(exposure)
    exposures = [_named(name, terms) for name in asked] or terms[:1]
    for place, term in enumerate(exposures):
        if any(piece.category is not None for piece in term):
            raise InputError(
                f"an exposure must be a number, and {label(term)} has categories; --exposure names another"
            )
        if term in exposures[:place]:
            raise InputError(f"--exposure names {label(term)} twice")
    found = Formula(
        outcome=outcome,
        terms=(*exposures, *(term for term in terms if term not in exposures)),
        n_exposures=len(exposures),
        unit=absorbed.unit,
        time=absorbed.time,
        group=group,
        told=absorbed.told,
        period_effects=absorbed.periods,
        slope_on=tuple(map(tidy, slope_on)),
        absorbed=absorbed.further,
    )
    return with_shifts(found, lags=lags, leads=leads)


def with_shifts(formula: Formula, *, lags: int, leads: int) -> Formula:
    """Return a formula with lags and leads of its exposure beside it; those that it has already stay where they are."""
    for option, count in (("--lags", lags), ("--leads", leads)):
        if not 0 <= count <= MOST_SHIFTS:
            raise InputError(f"{option}: between 0 and {MOST_SHIFTS} can be asked for, not {count}")
    if not lags and not leads:
        return formula
    first, exposures, others = (
        formula.terms[0],
        formula.terms[: formula.n_exposures],
        formula.terms[formula.n_exposures :],
    )
    if len(first) > 1:
        raise InputError(f"--lags and --leads need an exposure that is one column, and it is {label(first)}")
    shifts = [("f", k) for k in range(1, leads + 1)] + [("l", k) for k in range(1, lags + 1)]
    wanted = [(Piece(f"{name}({first[0].quoted}, {k})", is_name=False),) for name, k in shifts]
    return replace(formula, terms=tuple(dict.fromkeys((*exposures, *wanted, *others))))


def _named(exposure: str, terms: Sequence[Term]) -> Term:
    """Return the term that is named, however many blanks stand in it."""
    known = {_close(label(term)): term for term in terms}
    if _close(exposure) not in known:
        raise InputError(f"--exposure: the formula has no '{exposure}'; {suggest(exposure, [label(t) for t in terms])}")
    return known[_close(exposure)]


def _close(text: str) -> str:
    return "".join(tidy(text).replace("`", "").split())


def _tokens(text: str) -> list[Any]:
    """Return the tokens of a formula, all of them of a kind that a formula may have."""
    from formulaic.errors import FormulaSyntaxError
    from formulaic.parser.algos.tokenize import tokenize

    if len(text) > LONGEST:
        raise InputError(f"the formula has more than {LONGEST} signs")
    try:
        found = list(tokenize(text))
    except (FormulaSyntaxError, SyntaxError) as error:
        raise _unreadable(text, error) from None
    for token in found:
        kind, sign = token.kind.value, str(token.token)
        if kind == "operator" and sign not in _OPERATORS:
            raise InputError(
                f"the sign '{sign}' cannot stand between the terms of a formula; write I(x / z) to compute"
            )
        if kind == "value" and sign not in ("0", "1"):
            raise InputError(f"the sign '{sign}' cannot stand alone in a formula; write I(2 * x) to compute")
        if kind == "context" and sign not in "()":
            raise InputError(f"the sign '{sign}' cannot be used in a formula")
    if sum(str(token.token) == "*" and token.kind.value == "operator" for token in found) > MOST_PRODUCTS:
        raise InputError(f"the formula has more than {MOST_PRODUCTS} signs *; write each product as x:z")
    return found


def _unreadable(text: str, error: Exception) -> InputError:
    reason = str(error).strip().split("\n")[0].rstrip(".")
    shown = text if len(text) <= 80 else f"{text[:79]}…"
    return InputError(f"the formula '{shown}' cannot be read ({reason}); write it as {_WRITTEN}")


def _parts(text: str) -> tuple[str, list[Any]]:
    """Return what stands before the effects, and the tokens of these."""
    tokens = _tokens(text)

    def at(sign: str) -> list[int]:
        return [k for k, token in enumerate(tokens) if token.kind.value == "operator" and str(token.token) == sign]

    bars, tildes = at("|"), at("~")
    if len(tildes) != 1 or tildes[0] == 0:
        several = len(bars) > 1 or len(tildes) > 1
        what = "instrumental variables are not supported" if several else "an outcome and a ~ are needed"
        raise InputError(f"the formula '{text}' cannot be read: {what}; write it as {_WRITTEN}")
    if len(bars) > 1:
        raise InputError("the formula has two parts after |: instrumental variables are not supported")
    if any(at_power < (bars[0] if bars else len(tokens)) for at_power in at("^")):
        raise InputError(
            "the sign '^' cannot stand between the terms of a formula; write I(x**2) for a power and * for a product"
        )
    if not bars:
        return text, []
    if bars[0] < tildes[0]:
        raise InputError(f"the formula '{text}' cannot be read; write it as {_WRITTEN}")
    return text[: tokens[bars[0]].source_start], tokens[bars[0] + 1 :]


def _terms(text: str) -> tuple[Piece, list[Term]]:
    """Return the outcome and the regressors of what stands before the effects, as formulaic reads them."""
    from formulaic import Formula as Parsed
    from formulaic.parser import DefaultFormulaParser

    try:
        parsed = Parsed(text, _parser=DefaultFormulaParser(), _ordering="none")
        left, right = list(parsed.lhs), list(parsed.rhs)
    except Exception as error:  # a formula can be wrong in every way there is
        raise _unreadable(text.strip(), error) from None
    terms = [term for term in map(_pieces, right) if term]
    outcomes = [term for term in map(_pieces, left) if term]
    if len(outcomes) != 1 or len(outcomes[0]) != 1:
        raise InputError("the formula has several outcomes; one is needed before ~")
    if not terms:
        raise InputError("the formula has no regressor after ~; the first is the exposure")
    outcome = outcomes[0][0]
    if outcome.category is not None:
        raise InputError(f"the outcome must be a number, and {outcome.text} has categories")
    for piece in (outcome, *(piece for term in terms for piece in term)):
        _ = piece.columns()
    for term in terms:
        for piece in term if len(term) > 1 else ():
            if piece.category is not None and (piece.category.by or piece.category.ref):
                raise InputError(f"'{piece.text}' cannot be part of a product; write C({piece.category.name})")
    return outcome, list(dict.fromkeys(terms))


def _pieces(term: Any) -> Term:
    """Return the factors of a term of formulaic; none of an intercept, which effects have in them."""
    found = [
        Piece(tidy(str(one.expr)), is_name=one.eval_method.value == "lookup")
        for one in term.factors
        if one.eval_method.value != "literal"
    ]
    return tuple(found)
