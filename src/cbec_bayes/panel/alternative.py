"""Periods as studies name them, and other panels that answer the question of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainValidator

from cbec_bayes.runtime.toml import SomePaths, Table, Text, Texts, wrong

type Period = float | str
"""A period as a study names it."""


def _period(value: object) -> Period:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise wrong("a finite number is needed, or a period as text, such as 2014Q1")


PeriodName = Annotated[Period, PlainValidator(_period)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative(Table):
    """Another panel that answers the question of a study: what it says in place of the study's own.

    Attributes
    ----------
    name
        As tables have it.
    label
        What differs from the study's own panel, in a few words.
    files, outcome, exposure, controls, formula, first, last
        As in `PanelSpec`; None for those of the study.
    """

    name: Text
    label: Text
    files: SomePaths | None = None
    outcome: Text | None = None
    exposure: Text | None = None
    controls: Texts | None = None
    formula: Text | None = None
    first: PeriodName | None = None
    last: PeriodName | None = None
