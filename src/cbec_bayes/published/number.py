"""Printed numbers with the precision that they were printed at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from cbec_bayes.published.intervals import Interval

LONGEST = 100
"""Characters of a printed number: what is exact about one has as many digits."""

# Digits first, so that "." alone is no number; a comma groups thousands; en dash, minus sign and hyphen all occur.
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?")

LARGEST_POWER = 100
"""Power of ten up to which, and down to which, printed numbers go: their squares are well within double precision."""


@dataclass(frozen=True, slots=True)
class PrintedNumber:
    """A number as printed: its text, its value, and the interval that rounding to its last digit allows.

    Attributes
    ----------
    text
        As printed, with trailing zeros.
    value
        The decimal it spells.
    interval
        `value` plus and minus half a unit of the last printed digit; the value alone for a count.
    """

    text: str
    value: Decimal
    interval: Interval

    @classmethod
    def parse(cls, text: str, *, exact: bool = False) -> PrintedNumber:
        """Read ``"0.10"``, ``".5"``, ``"-.775"``, ``"1,234.5"``, ``"−2"`` or ``"1e-3"``.

        Parameters
        ----------
        text
            The number as printed.
        exact
            True for a count, which was not rounded.

        Raises
        ------
        ValueError
            It is not a finite number.
        """
        plain = text.strip().replace("−", "-").replace("–", "-")
        if len(plain) > LONGEST:
            raise ValueError(f"'{plain[:20]}…' has {len(plain)} characters, more than any number that is printed")
        if not _NUMBER.fullmatch(plain) or not re.search(r"\d", plain.split("e")[0].split("E")[0]):
            raise ValueError(f"'{text}' is not a number")
        if re.match(r"[+-]?0+,", plain):  # no thousands begin with a zero
            raise ValueError(f"'{text}' has a comma before its decimals; write them behind a point")
        # Before there is a fraction: that of 0e999999999 would have as many digits, and Decimal knows no more.
        # The power of a zero is that of its last digit.
        exponent = plain.lower().partition("e")[2].lstrip("+-0")
        value = Decimal(plain.replace(",", "")) if len(exponent) < 6 else None
        if value is None or abs(value.adjusted()) > LARGEST_POWER:
            raise ValueError(f"'{text}' is beyond 1e{LARGEST_POWER} or below 1e-{LARGEST_POWER}; change the unit")
        half = Fraction(0) if exact else Fraction(Decimal(5).scaleb(_exponent(value) - 1))
        centre = Fraction(value)
        return cls(text.strip(), value, Interval(centre - half, centre + half))

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return self.text


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"'{value}' is not finite")  # noqa: TRY004 - the type tells finite from infinite here
    return exponent
