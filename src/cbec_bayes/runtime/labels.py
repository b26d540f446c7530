"""Words and constants that every table shares: where a number comes from, the interval, the rows that are no group."""

from __future__ import annotations

from enum import StrEnum

CI_PROB = 0.95
"""The one interval default: 95 %, equal-tailed."""


GROUP_ALL = "(all)"


GROUP_NEW = "(new)"


class Origin(StrEnum):
    """Where a number comes from; every result that leaves the program says so."""

    PRINTED = "printed"
    OBSERVED = "observed"
    RECONSTRUCTED = "reconstructed"
    SIMULATED = "simulated"
