"""What is read of a printed table, and what a user says of tables that do not say it themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cbec_bayes.published.reading.notes import Said
from cbec_bayes.runtime.errors import InputError, suggest

INSIDE = ("se", "t", "p", "ci")
"""What may stand in brackets."""
BELOW = ("se", "t", "p")
"""What may stand below an estimate without brackets."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user says of tables that do not say it themselves.

    Attributes
    ----------
    inside
        Kind of bracket (``"("``, ``"["``) to what stands in it: ``se``, ``t``, ``p`` or ``ci``.
    below
        What stands below a coefficient without brackets; blank where nothing is said.
    terms
        Label to term.
    """

    inside: Mapping[str, str] = field(default_factory=dict)
    below: str = ""
    terms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TidyRow:
    """One printed number or text, as the long CSV has it."""

    table: str
    column: str
    term: str
    label: str
    quantity: str
    printed: str
    stars: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTable:
    """A printed table that was read.

    Attributes
    ----------
    table
        Its number.
    title, notes
        The words around it.
    rows
        Its numbers and texts.
    said
        What the words say of it.
    reading
        What stands in parentheses: ``se``, ``t`` or ``p``; blank where nothing says.
    told
        Sentences on what was not read.
    """

    table: str
    title: str
    notes: tuple[str, ...]
    rows: tuple[TidyRow, ...]
    said: Said
    reading: str
    told: tuple[str, ...] = ()


def asked_of(*, parentheses: str = "", brackets: str = "", below: str = "") -> Asked:
    """Return what a user says by options; blank where nothing is said.

    Raises
    ------
    InputError
        An option says something unknown.
    """
    for option, value, known in (
        ("--parentheses", parentheses, INSIDE),
        ("--brackets", brackets, INSIDE),
        ("--below", below, BELOW),
    ):
        if value and value not in known:
            raise InputError(f"{option} must be one of {', '.join(known)}; {suggest(value, known)}")
    inside = {kind: value for kind, value in (("(", parentheses), ("[", brackets)) if value}
    return Asked(inside=inside, below=below)
