"""Printed numbers with the precision that they were printed at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from cbec_bayes.published.intervals import Interval

LONGEST = 100
"""Characters of a printed number: what is exact about one has as many digits."""

MINUS_SIGNS = "−‐‑‒–—﹣－"
"""Signs that are printed for a minus: minus sign, hyphens, dashes of every width."""

THIN_SPACES = "\u00a0\u2007\u2008\u2009\u200a\u202f"
"""Spaces that group thousands, or stand between a sign and its digits."""

# Digits first, so that "." alone is no number; a comma groups thousands.
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_WITH_SIGNS = re.compile(r"[+-]?[\d.,]*\d[\d.,]*([eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([,.]\d{3})+", re.ASCII)
_PLAIN = str.maketrans(dict.fromkeys(MINUS_SIGNS, "-"))

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
    def parse(cls, text: str, *, exact: bool = False, decimal: str = ".") -> PrintedNumber:
        """Read ``"0.10"``, ``".5"``, ``"-.775"``, ``"1,234.5"``, ``"− 2"`` or ``"1e-3"``.

        Parameters
        ----------
        text
            The number as printed.
        exact
            True for a count, which was not rounded.
        decimal
            The sign before decimals, a point or a comma; the other one groups thousands.

        Raises
        ------
        ValueError
            It is not a finite number.
        """
        plain = plain_number(text)
        if len(plain) > LONGEST:
            raise ValueError(f"'{plain[:20]}…' has {len(plain)} characters, more than any number that is printed")
        if decimal == ",":
            plain = plain.translate(_SWAPPED)
        if not _NUMBER.fullmatch(plain) or not re.search(r"\d", plain.split("e")[0].split("E")[0]):
            raise ValueError(f"'{text}' is not a number")
        if re.match(r"[+-]?0+,", plain):  # no thousands begin with a zero
            other = _NAMES[_OTHER[decimal]]
            raise ValueError(f"'{text}' has a {_NAMES[decimal]} before its decimals; write them behind a {other}")
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


_OTHER = {".": ",", ",": "."}
_NAMES = {".": "comma", ",": "point"}
"""By the sign before decimals, the sign that groups thousands, and its name."""
_SWAPPED = str.maketrans(_OTHER)


def plain_number(text: str) -> str:
    """Return a printed number with a hyphen for its minus, and without the spaces after its sign and between groups."""
    plain = text.strip().translate(_PLAIN)
    plain = re.sub(r"^([+-])\s+(?=[\d.,])", r"\1", plain)
    return re.sub(rf"(?<=\d)[{THIN_SPACES}](?=\d{{3}}(?!\d))", "", plain)


@dataclass(frozen=True, slots=True)
class DecimalSign:
    """The sign before the decimals of a column of numbers.

    Attributes
    ----------
    sign
        A point or a comma.
    thousands
        A number whose only comma was taken to group thousands, although it could stand before decimals; blank where
        the column leaves no doubt.
    """

    sign: str
    thousands: str = ""

    @property
    def note(self) -> str:
        """A sentence for the reader, blank where there was no doubt."""
        if not self.thousands:
            return ""
        return f"The comma of '{self.thousands}' is read as one of thousands; nothing in the column says otherwise."


def decimal_sign(texts: Iterable[str]) -> DecimalSign:
    """Find the sign before decimals that all numbers of a column allow.

    A comma before other than three digits, or behind a leading zero, stands before decimals; where all numbers could be
    read both ways, a comma groups thousands.

    Raises
    ------
    ValueError
        Some numbers have a decimal comma and others a decimal point.
    """
    points, commas, doubtful, grouped = "", "", "", ""
    for text in texts:
        plain = plain_number(text)
        signs = set(re.findall("[.,]", plain))
        if not signs or not _WITH_SIGNS.fullmatch(plain):
            continue
        last = plain[max(plain.rfind("."), plain.rfind(","))]
        if _GROUPED.fullmatch(plain) and len(signs) == 1:  # 1,234 and 1.234 may both be a thousand
            several = plain.count(last) > 1
            if several and last == ",":
                points = points or text
            elif several:
                commas = commas or text
            elif last == ",":
                doubtful = doubtful or text
            else:
                grouped = grouped or text
        elif last == ".":
            points = points or text
        else:
            commas = commas or text
    if commas and (points or grouped):
        raise ValueError(
            f"'{points or grouped}' has a point and '{commas}' a decimal comma; write both in the same way"
        )
    return DecimalSign(",") if commas else DecimalSign(".", "" if points or grouped else doubtful.strip())


def derived(value: float) -> PrintedNumber:
    """Return a number that was computed, with all its digits."""
    return PrintedNumber.parse(repr(value))


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"'{value}' is not finite")  # noqa: TRY004 - the type tells finite from infinite here
    return exponent
