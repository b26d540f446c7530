"""Versions of everything that results depend on, derived from what the packages declare that they need."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata

OWN = "cbec_bayes"
"""The package's own name."""

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


@cache
def packages() -> tuple[str, ...]:
    """Return the packages that shape a number or a page, in the order of their names.

    They are those that this package declares, and of those that these bring in turn all that build on NumPy: PyTensor
    and Numba come with PyMC, the statistics of ArviZ with ArviZ, formulas with pyfixest. Nothing has to be added here
    by hand when a dependency is.
    """
    needs = _needs()
    own = needs.pop(OWN)
    return tuple(sorted(name for name in needs if name in own or "numpy" in _reached(name, needs)))


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of all `packages`."""
    return dict(_versions())


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Return what `versions` does; reading the files that packages declare themselves in takes a tenth of a second."""
    return (("python", platform.python_version()), *((name, metadata.version(name)) for name in (OWN, *packages())))


def _needs() -> dict[str, set[str]]:
    """Return every distribution that is needed, and what each needs with the extras that are asked of it."""
    found: dict[str, set[str]] = {}
    lines: dict[str, list[str]] = {}
    left: list[tuple[str, frozenset[str]]] = [(OWN, frozenset())]
    done = set(left)
    while left:
        name, extras = left.pop()
        if name not in lines:
            try:
                lines[name] = metadata.requires(name) or []
            except metadata.PackageNotFoundError:  # it is needed on other systems alone
                continue
        needed = set(_required(lines[name], extras))
        found.setdefault(name, set()).update(other for other, _ in needed)
        left.extend(needed - done)
        done |= needed
    return {name: needed & found.keys() for name, needed in found.items()}


def _required(lines: Iterable[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the names, as they are normalised, and the extras of requirements that hold with the extras asked for."""
    for line in lines:
        found = _REQUIREMENT.match(line)
        optional = set(_EXTRA.findall(line))
        if found is not None and (not optional or optional & extras):
            asked = frozenset(extra.strip() for extra in (found[2] or "").split(",") if extra.strip())
            yield re.sub(r"[-_.]+", "-", found[1]).lower(), asked


def _reached(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    """Return everything that a distribution needs, directly or not."""
    found: set[str] = set()
    left = [name]
    while left:
        new = needs[left.pop()] - found
        found |= new
        left.extend(new)
    return found
