"""One cell of a printed table: a number with its stars, numbers in brackets, an interval, words, or nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cbec_bayes.published.number import MINUS_SIGNS, THIN_SPACES, plain_number
from cbec_bayes.published.stars import ASTERISKS, split_stars

BLANK = frozenset({"n/a", "na", "n.a.", "nan", "/"})
"""Texts of cells in which nothing is printed."""

BRACKETS = {"(": ")", "[": "]", "{": "}", "（": "）", "<": ">"}
_ROUND = {"（": "("}
_SIGN = rf"[-+{MINUS_SIGNS}]"
_NUMBER = rf"{_SIGN}?\s?(?:\d[\d.,{THIN_SPACES}]*|[.,]\d+)(?:\s?[eE×x]\s?(?:10)?\^?{_SIGN}?\d+)?"
_WHOLE = re.compile(_NUMBER)
_INTERVAL = re.compile(
    rf"(?P<low>{_NUMBER})\s*(?:,\s|;|\bto\b|–|—|\s-\s|,(?=\s*{_SIGN}?\s?\d+[.]))\s*(?P<high>{_NUMBER})"
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_POWER = re.compile(r"\s?[×x]\s?10\^?([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+|[-−]?\d+)")


@dataclass(frozen=True, slots=True)
class Bracketed:
    """Numbers in brackets: the kind of bracket, such as ``"("``, and one number or the two ends of an interval."""

    kind: str
    numbers: tuple[str, ...]
    stars: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell says.

    Attributes
    ----------
    text
        The cell as it is printed.
    number, stars
        The number outside brackets and its stars; blank where there is none.
    bracketed
        Numbers in brackets, in order.
    """

    text: str
    number: str = ""
    stars: str = ""
    bracketed: tuple[Bracketed, ...] = field(default=())

    @property
    def is_blank(self) -> bool:
        """Whether nothing is printed."""
        return is_blank(self.text)

    @property
    def is_numeric(self) -> bool:
        """Whether the cell holds numbers alone."""
        return bool(self.number or self.bracketed)


def is_blank(text: str) -> bool:
    """Whether a text says that nothing is printed: dashes, points, or n/a."""
    return text.strip().lower() in BLANK or not text.strip(" -—–−.…_")


def read_cell_text(text: str) -> Cell:
    """Read a cell such as ``"0.609**"``, ``"(0.016)"``, ``"0.20* (0.10) [0.00, 0.40]"`` or ``"Yes"``."""
    printed = re.sub(r"[ \t\r\n]+", " ", text).strip(" ")
    rest = _with_powers(printed)
    if is_blank(printed):
        return Cell(printed)
    number, stars = "", ""
    bracketed: list[Bracketed] = []
    while rest:
        if rest[0] in BRACKETS:
            end = rest.find(BRACKETS[rest[0]])
            inner = _numbers(rest[1:end]) if end > 0 else ()
            if not inner:
                return Cell(printed)
            rest_after, behind = rest[end + 1 :].strip(), ""
            match = re.match(rf"[{re.escape(ASTERISKS)}+†]+", rest_after)
            if match:
                behind, rest_after = split_stars(f"0{match[0]}")[1], rest_after[match.end() :].strip()
            inside = split_stars(rest[1:end])[1] if len(inner) == 1 else ""
            bracketed.append(Bracketed(_ROUND.get(rest[0], rest[0]), inner, behind or inside))
            rest = rest_after
            continue
        if number:
            return Cell(printed)
        cut = min((at for at in (rest.find(one) for one in BRACKETS) if at > 0), default=len(rest))
        bare, stars = split_stars(rest[:cut].strip(), letters=True)
        if not _WHOLE.fullmatch(bare):
            return Cell(printed)
        number, rest = plain_number(bare), rest[cut:].strip()
    return Cell(printed, number, stars, tuple(bracketed))


def _numbers(inner: str) -> tuple[str, ...]:
    """Return the number in brackets, or the ends of an interval; nothing where there are words."""
    bare = split_stars(inner.strip())[0]
    if match := _INTERVAL.fullmatch(bare):
        return plain_number(match["low"].rstrip(",")), plain_number(match["high"])
    return (plain_number(bare),) if _WHOLE.fullmatch(bare) else ()


def interval_ends(text: str) -> tuple[str, str] | None:
    """Return the ends of an interval that stands without brackets, such as ``"0.1 to 0.4"``; None for anything else."""
    match = _INTERVAL.fullmatch(" ".join(text.split()))
    return (plain_number(match["low"]), plain_number(match["high"])) if match else None


def _with_powers(text: str) -> str:
    """Write 5.87×10⁻⁶ as 5.87e-6."""
    return _POWER.sub(lambda match: "e" + match[1].translate(_SUPERSCRIPTS).replace("−", "-"), text)
