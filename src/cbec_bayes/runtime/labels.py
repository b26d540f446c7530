"""Words that every table shares, and which names may be given: where a number comes from, rows that are no group.

Text that names something in results (a unit, a group, a column) enters through `fault_of_name` or `fault_of_group`, all
other text that a file holds through `fault_of_text`. What is shown on a terminal goes through
`cbec_bayes.commands.terminal`.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

CI_PROB = 0.95
"""The one interval default: 95 %, equal-tailed."""

LARGEST_SEED = 2**53 - 1
"""Largest seed: every format that results are kept in holds it exactly, and so those that are counted on from it."""

GROUP_AVERAGE = "(average)"
"""Row of the average over the units of a panel, each with its own slope."""

GROUP_ALL = "(all)"
"""Row of groups in general: of the mean of all groups that there could be, or of all rows."""

GROUP_NEW = "(new)"
"""Row of a group not yet seen."""

GROUP_TAU = "(tau)"
"""Row of the scale between groups, in the table of printed slopes under other priors."""

NO_GROUPS = (GROUP_AVERAGE, GROUP_ALL, GROUP_NEW, GROUP_TAU)
"""Rows that are no group; no group can have one of these names."""

CONTROL_SIGNS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Signs that a terminal would act upon, or that turn text around: control codes, line ends, directions, half a sign."""

# Persian, Hindi and emoji join and part letters with these two, which are as invisible as those that are refused.
_JOINERS = "\u200c\u200d"


class Origin(StrEnum):
    """Where a number comes from; every result that leaves the program says so."""

    PRINTED = "printed"
    OBSERVED = "observed"
    INDEX = "observed (index)"
    RECONSTRUCTED = "reconstructed"
    SIMULATED = "simulated"


FROM_OBSERVED = (Origin.OBSERVED, Origin.INDEX, Origin.PRINTED, Origin.RECONSTRUCTED, Origin.SIMULATED)
"""Origins from the most to the least observed; what is made of several columns has the last that one of them has."""


def level(prob: float) -> str:
    """Write the probability of an interval, as 95 %."""
    return f"{100 * prob:g} %"


def fault_of_text(text: str) -> str:
    """Say why a text cannot be taken, or return a blank: it has a sign that a terminal would act upon.

    Line ends and tabs are part of longer texts.
    """
    found = CONTROL_SIGNS.search(text.replace("\n", "").replace("\t", ""))
    return f"the text has the control sign U+{ord(found[0]):04X}; take it out" if found else ""


def fault_of_name(name: str) -> str:
    """Say why a text cannot name a unit, a group or a column, or return a blank.

    A name has no sign that cannot be seen: no control signs, no line ends, no marks of direction or width. Two names
    that look alike would otherwise be two.
    """
    if name.isprintable():
        return ""
    hidden = next((sign for sign in name if sign not in _JOINERS and _is_hidden(sign)), None)
    return "" if hidden is None else f"the name has the invisible sign U+{ord(hidden):04X}; take it out"


def fault_of_group(name: str) -> str:
    """Say why a text cannot name a group, or return a blank: `fault_of_name`, or results use it for something else."""
    if name in NO_GROUPS:
        return f"'{name}' cannot name a group; results use it for something else"
    return fault_of_name(name)


def _is_hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")
