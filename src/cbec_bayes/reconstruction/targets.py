"""What a reconstructed panel must meet: every printed number as a target with the width that its rounding allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.classical.tables import ColumnSpec
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.published.facts import paper_scheme, sample_of
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient, Paper
from cbec_bayes.published.readings import critical_value, p_band, two_sided_p
from cbec_bayes.replication import cell_reading, has_stars
from cbec_bayes.runtime.errors import InputError

_IMPLIED_WIDTH = 0.01  # a standard error that only the stars imply is aimed at within one per cent
_INNER = 0.9  # rounding intervals are used up to this share of their half-width, so that the last digit is safe
_STARS_MARGIN = 0.01  # by which t stays clear of a level of the stars
_GRID = np.linspace(-_INNER, _INNER, 37)


@dataclass(frozen=True, slots=True)
class Target:
    """A number to be met, and how far from it one may be and still print the same digits."""

    value: float
    half_width: float


@dataclass(frozen=True, slots=True)
class MomentTargets:
    """Mean and standard deviation of one unknown column, and its exact smallest and largest value."""

    mean: Target
    sd: Target
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ColumnTargets:
    """One printed regression column.

    Attributes
    ----------
    spec
        Which regression.
    estimate, se
        A target per term, in the order of the spec's terms; None where nothing is printed.
    r2
        Overall R2, None where it is not printed.
    """

    spec: ColumnSpec
    estimate: tuple[Target | None, ...]
    se: tuple[Target | None, ...]
    r2: Target | None


@dataclass(frozen=True, slots=True)
class Targets:
    """Everything that the two unknown columns must meet."""

    outcome: MomentTargets
    exposure: MomentTargets
    columns: tuple[ColumnTargets, ...]


def targets_of(
    paper: Paper, columns: Sequence[ColumnSpec], design: Design, rng: np.random.Generator | None = None
) -> Targets:
    """Turn a paper's printed numbers into targets.

    Parameters
    ----------
    paper
        Printed tables.
    columns
        Its regression columns.
    design
        Observed controls, whose units are the clusters where the paper does not say how many there are.
    rng
        Where given, each target is drawn at random within its rounding, and a standard error that only the stars imply
        within their band, its p-value being uniform there; else targets are as central as the stars allow.

    Raises
    ------
    InputError
        The descriptive table lacks a moment of the outcome or the exposure.
    """
    facts = paper.facts
    if facts.outcome is None or facts.exposure is None:
        raise InputError("paper.toml must name the terms of the outcome and the exposure to reconstruct them")
    printed = [spec for spec in columns if spec.printed]
    units = {s.key: len((design if s.group is None else design.of_group(s.group)).units) for s in printed}
    return Targets(
        _moments(paper, facts.outcome, rng),
        _moments(paper, facts.exposure, rng),
        tuple(_column(paper, spec, units[spec.key], rng) for spec in printed),
    )


def _moments(paper: Paper, term: str, rng: np.random.Generator | None) -> MomentTargets:
    row = paper.full_sample.get(term)
    if row is None or row.mean is None or row.sd is None or row.min is None or row.max is None:
        raise InputError(f"the descriptive table must print mean, sd, minimum and maximum of '{term}'")
    return MomentTargets(_number(row.mean, rng), _number(row.sd, rng), float(row.min), float(row.max))


def _half(number: PrintedNumber) -> float:
    low, high = number.interval.ends
    return (high - low) / 2


def _number(number: PrintedNumber, rng: np.random.Generator | None) -> Target:
    """Return the printed number, or one drawn from the inner half of what was rounded to it."""
    half = _half(number)
    if rng is None:
        return Target(float(number), half)
    shift = rng.uniform(-0.5, 0.5)
    return Target(float(number) + shift * half, half * (1 - abs(shift)))


def _column(paper: Paper, spec: ColumnSpec, n_units: int, rng: np.random.Generator | None) -> ColumnTargets:
    column = paper.columns[spec.key]
    sample = sample_of(column, paper, paper_scheme(paper.facts))
    df = sample.df[0] if sample.df[0] == sample.df[1] else float(n_units - 1)
    pairs = [_cell(paper, column.coefficients[term], df, rng) for term in spec.terms]
    r2 = column.numbers.get("r2")
    return ColumnTargets(
        spec,
        tuple(pair[0] for pair in pairs),
        tuple(pair[1] for pair in pairs),
        None if r2 is None else _number(r2, rng),
    )


def _cell(paper: Paper, cell: Coefficient, df: float, rng: np.random.Generator | None) -> tuple[Target, Target | None]:
    """Return targets for a coefficient and its standard error that agree with its stars."""
    estimate = _number(cell.estimate, rng)
    if cell.parenthesis is None:
        return estimate, None
    band = p_band(cell.stars, paper.facts.stars).ends if has_stars(paper) else (0.0, 1.0)
    reading = cell_reading(cell, paper, (df, df))
    if reading == "" or (reading in ("p", "t") and cell.parenthesis.value == 0) or estimate.value == 0:
        if estimate.value == 0:
            return estimate, _number(cell.parenthesis, rng) if reading == "se" else None
        p = sum(band) / 2 if rng is None else rng.uniform(band[0] + 0.05 * np.ptp(band), band[1] - 0.05 * np.ptp(band))
        se = abs(estimate.value) / critical_value(float(p), df)
        return estimate, Target(se, _IMPLIED_WIDTH * se)
    parenthesis = _number(cell.parenthesis, rng)
    if reading == "p":
        return estimate, _from_p(estimate.value, parenthesis, df)
    if reading == "t":
        se = abs(estimate.value / parenthesis.value)
        return estimate, Target(se, se * parenthesis.half_width / abs(parenthesis.value))
    if _stars_hold(estimate.value, parenthesis.value, band, df):
        return estimate, parenthesis
    return next(_nearest(cell.estimate, cell.parenthesis, band, df), (estimate, parenthesis))


def _from_p(estimate: float, p: Target, df: float) -> Target:
    def implied(value: float) -> float:
        return abs(estimate) / critical_value(value, df)

    low, high = implied(max(p.value - p.half_width, p.value / 2)), implied(min(p.value + p.half_width, 1 - 1e-9))
    value = implied(p.value)
    return Target(value, min(high - value, value - low))


def _stars_hold(estimate: float, se: float, band: tuple[float, float], df: float) -> bool:
    if se <= 0:
        return False
    t = abs(estimate) / se
    inner = two_sided_p(t * (1 + _STARS_MARGIN), df), two_sided_p(t * (1 - _STARS_MARGIN), df)
    return band[0] <= inner[0] and inner[1] <= band[1]


def _nearest(
    estimate: PrintedNumber, parenthesis: PrintedNumber, band: tuple[float, float], df: float
) -> Iterator[tuple[Target, Target]]:
    """Yield, nearest to the printed pair first, pairs within rounding that agree with the stars."""
    halves = _half(estimate), _half(parenthesis)
    shifts = sorted(((a, b) for a in _GRID for b in _GRID), key=lambda s: s[0] ** 2 + s[1] ** 2)
    for a, b in shifts:
        b_value, s_value = float(estimate) + a * halves[0], float(parenthesis) + b * halves[1]
        if _stars_hold(b_value, s_value, band, df):
            width = _STARS_MARGIN / 4
            yield Target(b_value, width * abs(b_value)), Target(s_value, width * s_value)


def bounds(target: MomentTargets, proxy: Array) -> tuple[Array, Array]:
    """Return bounds, shape (n,), that pin the smallest and the largest cell of a proxy to the printed extremes."""
    low, high = np.full(len(proxy), target.low), np.full(len(proxy), target.high)
    smallest, largest = int(proxy.argmin()), int(proxy.argmax())
    high[smallest] = target.low
    low[largest] = target.high
    return low, high
