"""Stars as they are printed: asterisks of every kind, superscripts, letters and signs."""

from __future__ import annotations

import re

ASTERISKS = "*∗⁎＊﹡⋆★☆✱✲"
"""Signs that are printed for a star."""

_TRAIL = re.compile(
    rf"^(?P<bare>.*?[\d)\].])\s*(?P<stars>(?:[{re.escape(ASTERISKS)}](?:\s|\\|\^)*)+|[+†‡⁺]+)$", re.DOTALL
)
_LEAD = re.compile(rf"^(?P<stars>[{re.escape(ASTERISKS)}]+)\s*(?P<bare>[-+(\[]?[\d.].*)$", re.DOTALL)
_LETTER = re.compile(r"^(?P<bare>[-+−–]?\s?[\d.,]*\d)\s?(?P<stars>[abcᵃᵇᶜ])$")
_ALONE = re.compile(rf"^[{re.escape(ASTERISKS)}\s]+$")


def plain_stars(text: str) -> str:
    """Return stars as asterisks, and signs of one kind as one sign."""
    found = re.sub(rf"[{re.escape(ASTERISKS)}]", "*", re.sub(r"[\s\\^]", "", text))
    return found.translate(str.maketrans("⁺ᵃᵇᶜ", "+abc"))


def split_stars(text: str, *, letters: bool = False) -> tuple[str, str]:
    """Separate a printed number from the stars attached to it.

    Parameters
    ----------
    text
        A cell, such as ``"0.2**"``, ``"0.2∗∗"``, ``"***0.2"`` or ``"0.12+"``.
    letters
        Whether a, b and c behind a number are stars.

    Returns
    -------
    str, str
        The cell without stars (blank where it has nothing else), and the stars as asterisks, ``"+"`` or letters.
    """
    plain = text.strip()
    if _ALONE.fullmatch(plain) and plain:
        return "", plain_stars(plain)
    for form in (_TRAIL, _LEAD, *((_LETTER,) if letters else ())):
        if match := form.fullmatch(plain):
            return match["bare"].strip(), plain_stars(match["stars"])
    return plain, ""
