"""How much a finding matters: by what becomes of the slopes that are shown once it is answered."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cbec_bayes.estimands.summary import Summary
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW


class Severity(StrEnum):
    """How much a check matters to what is said of the slopes, the severest first."""

    CHANGES = "changes the answer"
    WIDENS = "widens it"
    KNOWING = "worth knowing"
    FINE = "fine"
    IDLE = "does not apply"

    @property
    def passed(self) -> bool | None:
        """Whether a check of this severity passes: None where it does not apply."""
        return None if self is Severity.IDLE else self in (Severity.KNOWING, Severity.FINE)

    @property
    def rank(self) -> int:
        """Place in the order of severities; 0 for the severest."""
        return list(Severity).index(self)


def severest(found: Iterable[Severity]) -> Severity:
    """Return the severest of several; fine where there is none."""
    return min(found, key=lambda one: one.rank, default=Severity.FINE)


WIDER = 1.5
"""Ratio of the widths of two intervals beyond which one is said to be wider."""

CLEAR = 0.1
"""Share of an interval's width by which another has to reach past zero before a settled sign is said to be lost."""

MOVED = 0.25
"""Share of an interval's width, about one standard deviation, beyond which the move of a mean is worth knowing."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope as it is shown: its mean and the ends of its interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Summary) -> Slope:
        """Return the slope that a summary is of."""
        return cls(found.mean, found.ci_low, found.ci_high)

    @classmethod
    def of_numbers(cls, numbers: Sequence[float]) -> Slope:
        """Return the slope of mean, sd, ci_low, ci_high and p_positive, as refits have them."""
        return cls(numbers[0], numbers[2], numbers[3])

    @property
    def width(self) -> float:
        """The width of the interval."""
        return self.high - self.low

    @property
    def sign(self) -> int:
        """The sign where the interval settles it, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True, slots=True)
class Change:
    """A slope as it is shown, and as it is under an alternative."""

    group: str
    own: Slope
    other: Slope

    @property
    def severity(self) -> Severity:
        """How much the alternative matters.

        - It *changes the answer* where a sign that the 95 % interval settles turns, or is no longer settled, by more
          than `CLEAR` of the interval's width; and where the mean leaves the interval.
        - It *widens* the answer where the interval is more than `WIDER` times as wide.
        - It is *worth knowing* where the interval is narrower by as much, where a sign is settled that was not, or no
          longer is by less than `CLEAR`, and where the mean moves by more than `MOVED` of the width.
        - Otherwise it is *fine*.
        """
        own, other = self.own, self.other
        if own.sign and (own.sign * other.sign < 0 or self._past_zero > CLEAR * own.width):
            return Severity.CHANGES
        if not own.low <= other.mean <= own.high:
            return Severity.CHANGES
        if other.width > WIDER * own.width:
            return Severity.WIDENS
        narrower = other.width * WIDER < own.width
        if narrower or own.sign != other.sign or abs(other.mean - own.mean) > MOVED * own.width:
            return Severity.KNOWING
        return Severity.FINE

    @property
    def _past_zero(self) -> float:
        """How far the other interval reaches past zero, against the settled sign of the own."""
        return -self.other.low if self.own.sign > 0 else self.other.high

    @property
    def size(self) -> float:
        """By how much the slope changes, to find the largest change: its move over the width, and that of the width."""
        if not (self.own.width > 0 and self.other.width > 0):
            return 0.0
        moved = abs(self.other.mean - self.own.mean) / self.own.width
        return moved + abs(math.log(self.other.width / self.own.width))


def changes(own: Mapping[str, Slope], other: Mapping[str, Slope]) -> tuple[Change, ...]:
    """Return the changes of the slopes that both have, the severest first, and of these the largest.

    Groups in general are compared where both or none of the two have something to say of a new group: otherwise the one
    has their mean, and the other the mean of the groups that are there.
    """
    general = (GROUP_NEW in own) == (GROUP_NEW in other)
    shared = [group for group in (GROUP_ALL, *own) if group in own and group in other]
    kept = dict.fromkeys(group for group in shared if general or group != GROUP_ALL)
    found = [Change(group, own[group], other[group]) for group in kept]
    return tuple(sorted(found, key=lambda one: (one.severity.rank, -one.size)))


def in_words(group: str, *, grouped: bool) -> str:
    """Name a slope in a sentence.

    Parameters
    ----------
    group
        A group, or one of the rows that are none.
    grouped
        Whether groups differ in their slopes.
    """
    if group == GROUP_ALL:
        return "the slope of groups in general" if grouped else "the slope"
    if group == GROUP_AVERAGE:
        return "the average slope over units"
    return "the slope of a new group" if group == GROUP_NEW else f"the slope of {group}"


def numbers_of(slope: Slope, other: Slope | None = None) -> str:
    """Return mean and interval of a slope, with two digits of the narrower of two intervals."""
    width = min(one.width for one in (slope, other) if one is not None)
    decimals = 1 - math.floor(math.log10(width)) if width > 0 else 3
    mean, low, high = (_rounded(value, max(0, decimals)) for value in (slope.mean, slope.low, slope.high))
    return f"{mean} ({low} to {high})"


def _rounded(value: float, decimals: int) -> str:
    said = f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
    return said.removeprefix("\N{MINUS SIGN}") if not any(c in "123456789" for c in said) else said


def instead_of(change: Change, *, grouped: bool) -> str:
    """Say of a slope what it is under an alternative, and what it is shown as."""
    other, own = numbers_of(change.other, change.own), numbers_of(change.own, change.other)
    return f"{in_words(change.group, grouped=grouped)} is {other} instead of {own}"
