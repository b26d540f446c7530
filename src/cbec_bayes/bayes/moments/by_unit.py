"""Cross-products of a panel with unit effects eliminated: all that a Gaussian likelihood needs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.within import Array, Codes, means_by
from cbec_bayes.runtime.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """The rows that share one residual scale.

    Attributes
    ----------
    n_obs
        Number of rows.
    within
        Cross-products of the columns less their unit means, shape (p, p).
    sizes, counts
        Distinct numbers of rows of a unit, ascending, and how many units have each, shape (M,). Where rows have
        weights, which are for flat unit effects, all units are of one size, which stands for none.
    between
        Sum over the units of each size m of m times the cross-products of their unit means, shape (M, p, p). With
        weights, a unit counts by the sum of these, and its means are weighted.
    log_sizes
        Sum over units of ln n_i; with weights the sum of the logarithms of the units' weights less that of the rows'.
    """

    n_obs: int
    within: Array
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    between: Array
    log_sizes: float

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.counts.sum())


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of labelled columns, the outcome first.

    For a unit with n_i rows and a random effect of variance s_mu^2 the inverse covariance of its rows is
    (I - a_i 11'/n_i) / s^2 with a_i = n_i s_mu^2 / (s^2 + n_i s_mu^2), so cross-products under it are `within` plus
    1 - a_i times the unit's share of `between`; a flat effect has a_i = 1. Units of equal size share a_i: the cost of
    an evaluation depends on the number of sizes, not on rows or units. Moments of parts of a panel add, as long as no
    unit is in two parts.

    Attributes
    ----------
    columns
        Names of the p columns.
    strata
        By the label of the residual scale; one, named ``""``, where all rows share it.
    """

    columns: tuple[str, ...]
    strata: Mapping[str, Stratum]

    def __add__(self, other: Moments) -> Moments:
        if self.columns != other.columns:
            raise InputError("moments of different columns cannot be added")
        labels = dict.fromkeys([*self.strata, *other.strata])
        strata = {label: _add(self.strata.get(label), other.strata.get(label)) for label in labels}
        return Moments(self.columns, strata)

    def inner(self, *, demean: bool) -> Array:
        """Return the cross-products of all rows, shape (p, p), of columns less their unit means where asked."""
        found = [s.within if demean else s.within + s.between.sum(axis=0) for s in self.strata.values()]
        return np.asarray(np.sum(found, axis=0))

    def keeping(self, columns: Sequence[int]) -> Moments:
        """Return the moments of some of the columns, by position."""
        at = list(columns)
        names = tuple(self.columns[k] for k in at)
        strata = {
            label: replace(s, within=s.within[np.ix_(at, at)], between=s.between[:, at][:, :, at])
            for label, s in self.strata.items()
        }
        return Moments(names, strata)

    def transformed(self, transform: Array) -> Moments:
        """Return the moments of the columns times a matrix, shape (p, p)."""
        strata = {
            label: replace(s, within=transform.T @ s.within @ transform, between=transform.T @ s.between @ transform)
            for label, s in self.strata.items()
        }
        return Moments(self.columns, strata)


def moments_of(
    columns: Array,
    names: Sequence[str],
    unit: Codes,
    stratum: Codes | None = None,
    strata: Sequence[str] = ("",),
    *,
    weight: Array | None = None,
) -> Moments:
    """Accumulate the moments of columns.

    Parameters
    ----------
    columns
        Outcome and regressors, shape (n, p).
    names
        Their p names.
    unit
        Codes of units, shape (n,).
    stratum, strata
        Codes of the residual scale of each row, constant within units, and their labels.
    weight
        Weight of each row, shape (n,), whose root its columns are multiplied by already; None for none.
    """
    codes = np.zeros(len(unit), dtype=np.intp) if stratum is None else stratum
    found = {}
    for s, label in enumerate(strata):
        mask = codes == s
        own, units = (columns, unit) if mask.all() else (columns[mask], unit[mask])
        counts = np.bincount(units)
        if not counts.all():  # a part of a panel lacks some of its units
            units = np.unique(units, return_inverse=True)[1]
            counts = np.bincount(units)
        if weight is not None:
            found[label] = _weighted_stratum(own, units, weight[mask])
            continue
        means = means_by(units, own)
        left = own - means[units]
        found[label] = stratum_of(left.T @ left, means, counts)
    return Moments(tuple(names), found)


def stratum_of(within: Array, means: Array, counts: Codes) -> Stratum:
    """Return a stratum from cross-products within units, and the means, shape (N, p), and rows of its units."""
    sizes, which = np.unique(counts, return_inverse=True)
    between = np.empty((len(sizes), *within.shape))
    for m, size in enumerate(sizes):
        part = means if len(sizes) == 1 else means[which == m]
        between[m] = size * part.T @ part
    return Stratum(
        n_obs=int(counts.sum()),
        within=within,
        sizes=sizes,
        counts=np.bincount(which),
        between=between,
        log_sizes=float(np.log(counts).sum()),
    )


def _weighted_stratum(columns: Array, unit: Codes, weight: Array) -> Stratum:
    """Return a stratum of rows that are multiplied by the roots of their weights."""
    root = np.sqrt(weight)[:, None]
    means = means_by(unit, columns / root, weight)
    left = columns - root * means[unit]
    return weighted_stratum_of(left.T @ left, means, unit, weight)


def weighted_stratum_of(within: Array, means: Array, unit: Codes, weight: Array) -> Stratum:
    """Return a stratum of rows with weights, from cross-products within units and weighted means, shape (N, p)."""
    total = np.bincount(unit, weight)
    return Stratum(
        n_obs=len(unit),
        within=within,
        sizes=np.ones(1, dtype=np.int64),
        counts=np.array([len(total)]),
        between=((means * total[:, None]).T @ means)[None],
        log_sizes=float(np.log(total).sum() - np.log(weight).sum()),
    )


def _add(a: Stratum | None, b: Stratum | None) -> Stratum:
    if a is None or b is None:
        only = a or b
        assert only is not None
        return only
    sizes = np.union1d(a.sizes, b.sizes)
    counts = np.zeros(len(sizes), dtype=np.int64)
    between = np.zeros((len(sizes), *a.within.shape))
    for part in (a, b):
        at = np.searchsorted(sizes, part.sizes)
        counts[at] += part.counts
        between[at] += part.between
    return Stratum(
        n_obs=a.n_obs + b.n_obs,
        within=a.within + b.within,
        sizes=sizes,
        counts=counts,
        between=between,
        log_sizes=a.log_sizes + b.log_sizes,
    )
