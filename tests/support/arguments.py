"""Arguments of the program, as tests put them together."""

from __future__ import annotations

from collections.abc import Iterable


def once(arguments: Iterable[object]) -> list[str]:
    """Return arguments in which a later option takes the place of an earlier one of its name.

    The program refuses an option that is given twice; a test changes one of several that it shares with others.
    """
    found: list[list[str]] = []
    for argument in map(str, arguments):
        if argument.startswith("--") or not found:
            found.append([argument])
        elif found[-1][0].startswith("--") and len(found[-1]) == 1:
            found[-1].append(argument)
        else:
            found.append([argument])
    last = {one[0]: k for k, one in enumerate(found) if one[0].startswith("--")}
    return [part for k, one in enumerate(found) if last.get(one[0], k) == k for part in one]
