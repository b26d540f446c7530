"""Which rows have errors that may hang together, and what that makes of a clustered variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.panel.design import Design
from cbec_bayes.panel.levels import is_nested
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

type Roots = Sequence[tuple[float, Array]]
"""A variance in signed parts: the sum of sign x root root', each root of shape (k, clusters)."""

NOT_NESTED = "left out: clusters are of {names}, and it needs one set of clusters in which units are nested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """The clusters of a regression's rows.

    Attributes
    ----------
    names
        Columns that the clusters are of.
    parts
        Sign and codes of each set of clusters, (n,): of two sets these, and less their intersections (Cameron, Gelbach
        and Miller 2011).
    n_clusters
        How many there are; of two sets the smaller number, which reghdfe and fixest take for factor and degrees.
    nested
        Effects that are nested in a set of clusters, and how many sets of effects these are.
    single
        Codes of the clusters where there is one set, in which units are nested; None elsewhere. All that is done to
        whole clusters is exact then: leaving one out, or turning its signs, leaves the other units' means alone.
    """

    names: tuple[str, ...]
    parts: tuple[tuple[float, Codes], ...]
    n_clusters: int
    nested: tuple[int, int]
    single: Codes | None

    def require_single(self) -> Codes:
        """Return the codes of clusters in which units are nested, or raise `InputError`."""
        if self.single is None:
            raise InputError(NOT_NESTED.format(names=" and ".join(self.names)))
        return self.single

    def roots(self, solved: Array) -> Roots:
        """Return the clustered variance of slopes, without factor, from what each row adds to them, shape (k, n)."""
        found = []
        for sign, codes in self.parts:
            n = int(codes.max()) + 1
            found.append((sign, np.stack([np.bincount(codes, own, n) for own in solved])))
        return found


def clustering(design: Design) -> Clustering:
    """Return the clusters of a design's rows: its units, unless it says which others.

    Raises
    ------
    InputError
        A set has one cluster alone.
    """
    unit, time = design.effects.unit, design.effects.time
    sets = [(one.name, one.codes) for one in design.clusters] or [("unit", design.unit)]
    sizes = [int(codes.max(initial=-1)) + 1 for _, codes in sets]
    if min(sizes) < 2:
        only = sets[sizes.index(min(sizes))][0]
        raise InputError(f"clustered standard errors need two clusters or more; there is one of {only}")
    parts = [(1.0, codes) for _, codes in sets]
    if len(sets) > 1:
        both = np.unique(sets[0][1] * (max(sizes) + 1) + sets[1][1], return_inverse=True)[1]
        parts.append((-1.0, both.astype(np.intp)))
    time_codes = [time] if design.effects.n_times > 1 else []
    effects = [(codes, int(codes.max()) + 1) for codes in (unit, *time_codes, *design.effects.further)]
    nested = [size for codes, size in effects if any(is_nested(codes, outer) for _, outer in sets)]
    return Clustering(
        names=tuple(name for name, _ in sets),
        parts=tuple(parts),
        n_clusters=min(sizes),
        nested=(sum(nested), len(nested)),
        single=sets[0][1] if len(sets) == 1 and is_nested(unit, sets[0][1]) else None,
    )


def errors_of(roots: Roots) -> Array:
    """Return the standard errors of slopes from their variance, shape (k,); NaN where one is negative."""
    if len(roots) == 1:
        return np.asarray(np.linalg.norm(roots[0][1], axis=1))
    variance = np.asarray(sum(sign * (root**2).sum(axis=1) for sign, root in roots))
    return np.sqrt(np.where(variance > 0, variance, np.nan))
