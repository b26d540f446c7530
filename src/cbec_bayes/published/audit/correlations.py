"""Can a printed table of correlations be one: is it positive semidefinite within rounding?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cbec_bayes.published.audit.finding import Context, Finding
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.readings import Verdict


def check_correlations(context: Context) -> Iterator[Finding]:
    """Per table of correlations: each within -1 to 1, and all of them together those of some data.

    Rounding moves the smallest eigenvalue of the printed matrix by no more than the largest eigenvalue of the matrix
    of half units. Where it is below zero by more than that, no data have these correlations.
    """
    for table, pairs in context.paper.correlations.items():
        for (one, other), number in pairs.items():
            if not number.interval.intersects(Interval(-1, 1)):
                detail = f"A correlation of {number} is outside -1 to 1."
                yield _finding(table, one, Verdict.FAIL, number.interval, detail, column=other)
        names = _complete(pairs)
        if len(names) > 2:
            yield _definite(table, names, pairs)


type Pairs = dict[tuple[str, str], PrintedNumber]


def _at(pairs: Pairs, one: str, other: str) -> PrintedNumber | None:
    return pairs.get((one, other)) or pairs.get((other, one))


def _complete(pairs: Pairs) -> list[str]:
    """Return variables of which every two have a correlation, leaving out those with the most blanks first."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    while names:
        blanks = {one: sum(_at(pairs, one, other) is None for other in names if other != one) for one in names}
        worst = max(names, key=lambda name: blanks[name])
        if blanks[worst] == 0:
            break
        names.remove(worst)
    return names


def _definite(table: str, names: list[str], pairs: Pairs) -> Finding:
    size = len(names)
    centre, half = np.eye(size), np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            number = _at(pairs, names[i], names[j])
            assert number is not None
            centre[i, j] = centre[j, i] = float(number)
            half[i, j] = half[j, i] = float(number.interval.high) - float(number)
    smallest, rounding = float(np.linalg.eigvalsh(centre)[0]), float(np.linalg.eigvalsh(half)[-1])
    found = Interval(smallest - rounding, smallest + rounding)
    words = f"The smallest eigenvalue of the {size} × {size} correlations is {smallest:.3g}"
    if smallest + rounding < -1e-12:
        detail = f"{words}, and rounding moves it by at most {rounding:.2g}: no data have these correlations."
        return _finding(table, "", Verdict.FAIL, found, detail)
    if smallest < 0:
        return _finding(table, "", Verdict.UNDETERMINED, found, f"{words}, which rounding may explain.")
    return _finding(table, "", Verdict.PASS, found, f"{words}: they are possible.")


def _finding(table: str, term: str, verdict: Verdict, interval: Interval, detail: str, *, column: str = "") -> Finding:
    return Finding(
        table=table,
        column=column,
        term=term,
        check="correlations",
        verdict=verdict,
        interval=interval,
        quantity="correlation" if column else "smallest eigenvalue",
        detail=detail,
    )
