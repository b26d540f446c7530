"""What the page of a panel may be asked for: names for its readers, and further formats of its figures and tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cbec_bayes.reporting.drawing import IMAGES
from cbec_bayes.reporting.exports import LIBRARIES, require_formats
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import fault_of_name

_LOGARITHM = re.compile(r"log\((\w+)\)")
_NAME = re.compile(r"[^\W\d]\w*")
_QUOTED = re.compile(r"'([^'\n]+)'")
"""How sentences of checks and notes write a column or a term, so that its words can stand there without a guess."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """What a page is asked for.

    Attributes
    ----------
    labels
        Name of a column to the words that readers know it by.
    images
        Formats of `IMAGES` in which figures are written beside SVG.
    exports
        Formats of `LIBRARIES` in which all tables are written as one file.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()

    def label(self, column: str) -> str:
        """Return the words for a column or a term of a formula; what has no words keeps its name.

        Where ``pcap`` is "public capital", ``log(pcap)`` is "the log of public capital". In any other term each column
        that has words is replaced by them.
        """
        if column in self.labels or not self.labels:
            return self.labels.get(column, column)
        logarithm = _LOGARITHM.fullmatch(column)
        if logarithm and logarithm[1] in self.labels:
            return f"the log of {self.labels[logarithm[1]]}"
        return _NAME.sub(lambda found: self.labels.get(found[0], found[0]), column)

    def relabelled(self, text: str) -> str:
        """Return a sentence with words in the place of each column or term that stands in quotation marks there."""
        if not self.labels:
            return text
        return _QUOTED.sub(lambda found: said if (said := self.label(found[1])) != found[1] else found[0], text)

    def content(self) -> dict[str, Any]:
        """Return what the files of a page depend on beside its fit; nothing where nothing was asked for."""
        held = {"labels": dict(self.labels), "images": list(self.images), "exports": list(self.exports)}
        return {name: value for name, value in held.items() if value}

    def require_columns(self, columns: Sequence[str]) -> None:
        """Raise `InputError` where a label is of a column that is not among those of the fit."""
        for name in self.labels:
            if name not in columns:
                raise InputError(f"--label: the fit has no column '{name}'; {suggest(name, columns)}")


DEFAULT = PageOptions()
"""A page as it is made where nothing was asked for."""


def page_options(labels: Sequence[str] = (), figures: str = "", tables: str = "") -> PageOptions:
    """Read the options of a page as they are typed.

    Parameters
    ----------
    labels
        Each as ``COLUMN=TEXT``.
    figures, tables
        Formats, separated by commas.

    Raises
    ------
    InputError
        A label is none, or given twice; a format is not known, or its library is not installed.
    """
    named: dict[str, str] = {}
    for one in labels:
        column, equals, text = (part.strip() for part in one.partition("="))
        if not (column and equals and text):
            raise InputError(f"--label: '{one}' is not of the form COLUMN=TEXT")
        if column in named:
            raise InputError(f"--label: '{column}' has two labels; give one")
        if fault := fault_of_name(text):
            raise InputError(f"--label {column}: {fault}")
        named[column] = text
    exports = _formats("--tables", tables, tuple(LIBRARIES))
    require_formats(exports)
    return PageOptions(named, image_formats(figures), exports)


def image_formats(figures: str) -> tuple[str, ...]:
    """Read formats of figures as they are typed, separated by commas; an unknown one raises `InputError`."""
    return tuple(one for one in _formats("--figures", figures, ("svg", *IMAGES)) if one != "svg")


def _formats(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    given = [one.strip().lower() for one in text.split(",") if one.strip()]
    for one in given:
        if one not in known:
            raise InputError(f"{option}: unknown format '{one}'; {suggest(one, known)}")
    return tuple(dict.fromkeys(given))
