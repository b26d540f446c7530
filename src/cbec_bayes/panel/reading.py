"""How a table is to be read, as far as it does not say so itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cbec_bayes.panel.dates import ORDERS
from cbec_bayes.panel.periods import CHOICES
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import Origin

DROP, REFUSE = "drop", "refuse"
FIRST, LAST = "first", "last"
MEAN = "mean"

_CHOICES = {
    "frequency": CHOICES,
    "group_at": (FIRST, LAST),
    "collinearity": (REFUSE, DROP),
    "decimal": (".", ","),
    "dates": ORDERS,
    "slope_on_at": (MEAN,),
    "origin": (Origin.OBSERVED, Origin.RECONSTRUCTED, Origin.SIMULATED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a user says of a table.

    Attributes
    ----------
    sheet
        Sheet of an Excel file; None for the first.
    encoding
        Encoding of a text file, as Python names it; None for UTF-8.
    decimal
        Sign before the decimals of a text file; None for what its cells show.
    missing
        Codes that stand for a missing cell, such as -9.
    where
        Condition on the columns that a row must meet, see `cbec_bayes.panel.where`.
    frequency
        How often a period comes, one of `cbec_bayes.panel.periods.CHOICES`; None for what the cells say.
    group_at
        Which group a unit has that changes it: ``first`` or ``last``; None where that is refused.
    collinearity
        What becomes of a control that the others explain: ``refuse`` or ``drop``.
    dates
        How dates such as 03/04/2014 are written, ``day-first`` or ``month-first``; None for what their days tell.
    slope_on_at
        ``mean`` where a characteristic of groups that differs between rows of a group is its mean over them; None where
        that is refused.
    origin
        Where the rows come from: ``observed``, ``reconstructed`` or ``simulated``; None for what a column ``origin`` of
        the table says, and observed where there is none.

    Raises
    ------
    InputError
        One of them is none of its choices.
    """

    sheet: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] = ()
    where: str | None = None
    frequency: str | None = None
    group_at: str | None = None
    collinearity: str = REFUSE
    dates: str | None = None
    slope_on_at: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "missing", tuple(self.missing))
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise InputError(f"--{name.replace('_', '-')}: unknown choice '{value}'; {suggest(value, known)}")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError:
                raise InputError(
                    f"--encoding: unknown encoding '{self.encoding}'; utf-8 and latin-1 are examples of known ones"
                ) from None

    def as_dict(self) -> dict[str, Any]:
        """Return what differs from a table that says all of it itself, as JSON can hold it."""
        held = {name: value for name, value in asdict(self).items() if value != getattr(READING, name)}
        return held | ({"missing": list(self.missing)} if self.missing else {})

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Reading:
        """Return what `as_dict` gave; anything else is an `InputError`."""
        texts = {name: value for name, value in held.items() if name != "missing"}
        codes = held.get("missing", [])
        if not (
            set(held) <= {field.name for field in fields(cls)}
            and all(isinstance(value, str) for value in (*texts.values(), *codes))
            and isinstance(codes, list)
        ):
            raise InputError("the settings of how a table is read are not valid")
        return cls(**texts, missing=tuple(codes))


READING = Reading()
"""That of a table of which nothing was said."""
