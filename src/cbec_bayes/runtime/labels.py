"""Words and constants that every table shares: where a number comes from, the interval, the rows that are no group."""

from __future__ import annotations

from enum import StrEnum

CI_PROB = 0.95
"""The one interval default: 95 %, equal-tailed."""


GROUP_AVERAGE = "(average)"
"""Row of the average over the units of a panel, each with its own slope."""

GROUP_ALL = "(all)"
"""Row of groups in general: of the mean of all groups that there could be, or of all rows."""

GROUP_NEW = "(new)"
"""Row of a group not yet seen."""

NO_GROUPS = (GROUP_AVERAGE, GROUP_ALL, GROUP_NEW)
"""Rows that are no group; no group can have one of these names."""


class Origin(StrEnum):
    """Where a number comes from; every result that leaves the program says so."""

    PRINTED = "printed"
    OBSERVED = "observed"
    RECONSTRUCTED = "reconstructed"
    SIMULATED = "simulated"


def level(prob: float) -> str:
    """Write the probability of an interval, as 95 %."""
    return f"{100 * prob:g} %"
