"""How the errors of a unit hang together over time: independent, autoregressive, or a random walk.

A correlation of errors is a class here and an entry in `CORRELATIONS`: the exact engine, the PyMC twin and simulation
take all that they know of it from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

type Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Which row of a unit comes after which, and how many periods later.

    Attributes
    ----------
    n_obs
        Number of rows, n.
    first
        Rows that no other row of their unit comes before.
    gaps
        Different numbers of periods between a row and the one before it, shape (G,).
    rows, before
        Rows that follow another one, and these, by gap.
    """

    n_obs: int
    first: Rows
    gaps: tuple[int, ...] = ()
    rows: tuple[Rows, ...] = ()
    before: tuple[Rows, ...] = ()

    def among(self, kept: NDArray[np.bool_]) -> Steps:
        """Return the steps of the rows of some units, where `kept`, shape (n,), is true."""
        at = np.cumsum(kept) - 1
        first, *others = (at[one[kept[one]]] for one in (self.first, *self.rows, *self.before))
        gaps = len(self.gaps)
        return replace(self, n_obs=int(kept.sum()), first=first, rows=tuple(others[:gaps]), before=tuple(others[gaps:]))


@dataclass(frozen=True, slots=True)
class FixedProduct:
    """A matrix K of rows by rows that depends on no parameter: a'K b is a sum of products over rows or differences.

    Attributes
    ----------
    rows
        What is summed over; a row may be there more than once.
    less
        What is taken from these first; None for nothing.
    """

    rows: Rows
    less: Rows | None = None

    def root(self, columns: Array) -> Array:
        """Return the rows or differences of columns whose cross-products are those of K, shape (m, q)."""
        return columns[self.rows] if self.less is None else columns[self.rows] - columns[self.less]

    def times(self, columns: Array) -> Array:
        """Return K times columns, shape (n, q)."""
        if self.less is None:
            return np.bincount(self.rows, minlength=len(columns))[:, None] * columns
        found, step = np.zeros_like(columns), self.root(columns)
        found[self.rows] += step
        found[self.less] -= step
        return found

    def diagonal(self, n_obs: int) -> Array:
        """Return the diagonal of K, shape (n,)."""
        every = self.rows if self.less is None else np.concatenate([self.rows, self.less])
        return np.bincount(every, minlength=n_obs).astype(float)


@dataclass(frozen=True, slots=True)
class Lags(ABC):
    """The covariance C of a unit's errors over sigma squared; C^-1 is a sum of A fixed products with weights.

    Attributes
    ----------
    steps
        Steps of the rows.
    """

    is_correlated: ClassVar[bool] = True
    """Whether C is more than the identity."""

    has_rho: ClassVar[bool] = False
    """Whether it depends on a correlation rho."""

    steps: Steps

    @classmethod
    def of(cls, design: Design) -> Self:
        """Return that of a design; see `previous_rows` for what is refused."""
        return cls(_steps(*previous_rows(design)))

    @classmethod
    def of_rows(cls, unit: Codes, when: NDArray[np.int64]) -> Self:
        """Return that of rows of these units in these periods, both of shape (n,)."""
        return cls(_steps(*_previous(unit, when)))

    @staticmethod
    @abstractmethod
    def step(gap: Any, rho: Any) -> tuple[Any, Any]:
        """Return what an error takes over from the one before, and the variance of what is new, over sigma squared.

        Parameters
        ----------
        gap
            Periods since the unit's row before; zero of its first row.
        rho
            Correlation; anything where there is none. Both may be arrays that broadcast, or PyTensor's.
        """

    @property
    @abstractmethod
    def fixed(self) -> Sequence[FixedProduct]:
        """The fixed products, A of them."""

    @abstractmethod
    def weights(self, rho: Array | None, n_points: int) -> Array:
        """Return the weight of every fixed product, shape (S, A)."""

    @abstractmethod
    def log_det(self, rho: Array | None, n_points: int) -> Array:
        """Return half the log determinant of C over all units, shape (S,)."""

    def weight_slopes(self, rho: float) -> Array:
        """Return the derivatives of the weights in rho, shape (A,)."""
        return np.zeros(self.size)

    def log_det_slope(self, rho: float) -> float:
        """Return the derivative of half the log determinant in rho."""
        return 0.0

    @property
    def size(self) -> int:
        """Number of fixed products, A."""
        return len(self.fixed)

    def terms(self, *columns: Array) -> Iterator[tuple[Rows, list[Array]]]:
        """Yield rows, and what of columns, shape (n, q), has the fixed cross-products there, one after the other."""
        for one in self.fixed:
            yield one.rows, [one.root(own) for own in columns]

    def times(self, columns: Array) -> Array:
        """Return every fixed product times columns, shape (A, n, q)."""
        return np.stack([one.times(columns) for one in self.fixed])

    def diagonals(self) -> Array:
        """Return the diagonal of every fixed product, shape (A, n)."""
        return np.stack([one.diagonal(self.steps.n_obs) for one in self.fixed])

    def among(self, kept: NDArray[np.bool_]) -> Self:
        """Return that of the rows of some units, where `kept`, shape (n,), is true."""
        return replace(self, steps=self.steps.among(kept))


@dataclass(frozen=True, slots=True)
class Independent(Lags):
    """Errors that nothing holds together: C is the identity."""

    is_correlated = False

    @classmethod
    def of(cls, design: Design) -> Self:
        """See `Lags`: periods may be any numbers."""
        return cls(Steps(n_obs=design.n_obs, first=np.arange(design.n_obs)))

    @classmethod
    def of_rows(cls, unit: Codes, when: NDArray[np.int64]) -> Self:
        """See `Lags`."""
        return cls(Steps(n_obs=len(unit), first=np.arange(len(unit))))

    @staticmethod
    def step(gap: Any, rho: Any) -> tuple[Any, Any]:
        """See `Lags`."""
        return 0.0, 1.0

    @property
    def fixed(self) -> Sequence[FixedProduct]:
        """See `Lags`."""
        return (FixedProduct(np.arange(self.steps.n_obs)),)

    def weights(self, rho: Array | None, n_points: int) -> Array:
        """See `Lags`."""
        return np.ones((n_points, 1))

    def log_det(self, rho: Array | None, n_points: int) -> Array:
        """See `Lags`."""
        return np.zeros(n_points)


@dataclass(frozen=True, slots=True)
class Autoregressive(Lags):
    """Stationary errors with the correlation r = rho^g over a gap of g periods, and new errors of variance sigma^2.

    sigma is that of what is new from one period to the next; the error itself has the variance sigma^2 / (1 - rho^2),
    which grows without bound where rho nears one, and C is R / (1 - rho^2), R the matrix of correlations. With
    h = 1 + rho^2 + ... + rho^(2g - 2), the variance of what is new over a gap of g periods, a'C^-1 b is the sum of
    (1 - rho^2) a_t b_t over all rows, plus, for every step from a row s to the next one t,

        r / h (a_t - a_s) (b_t - b_s) - (1 - rho^2) r / (1 + r) (a_t b_t + a_s b_s).

    Where rho nears one only the differences are left, each with the weight 1 / g, and no digits are lost.
    """

    has_rho = True

    @staticmethod
    def step(gap: Any, rho: Any) -> tuple[Any, Any]:
        """See `Lags`."""
        follows = 1 * (gap > 0)
        return follows * rho**gap, (1 - follows * rho ** (2 * gap)) / (1 - rho**2)

    @property
    def fixed(self) -> Sequence[FixedProduct]:
        """See `Lags`: all rows, and of every gap the differences and both rows."""
        found = [FixedProduct(np.arange(self.steps.n_obs))]
        for now, before in zip(self.steps.rows, self.steps.before, strict=True):
            found += [FixedProduct(now, before), FixedProduct(np.concatenate([now, before]))]
        return found

    def weights(self, rho: Array | None, n_points: int) -> Array:
        """See `Lags`."""
        assert rho is not None
        free = (1 - rho) * (1 + rho)
        found = np.empty((n_points, self.size))
        found[:, 0] = free
        for k, gap in enumerate(self.steps.gaps):
            r, (h, _) = rho**gap, _geometric(rho**2, gap)
            found[:, 1 + 2 * k] = r / h
            found[:, 2 + 2 * k] = -free * r / (1 + r)
        return found

    def weight_slopes(self, rho: float) -> Array:
        """See `Lags`."""
        free = (1 - rho) * (1 + rho)
        found = np.empty(self.size)
        found[0] = -2 * rho
        for k, gap in enumerate(self.steps.gaps):
            r, change, (h, slope) = rho**gap, gap * rho ** (gap - 1), _geometric(rho**2, gap)
            found[1 + 2 * k] = change / h - r * 2 * rho * slope / h**2
            found[2 + 2 * k] = 2 * rho * r / (1 + r) - free * change / (1 + r) ** 2
        return found

    def log_det(self, rho: Array | None, n_points: int) -> Array:
        """See `Lags`."""
        assert rho is not None
        found = np.asarray(-len(self.steps.first) / 2 * np.log((1 - rho) * (1 + rho)))
        for gap, rows in zip(self.steps.gaps, self.steps.rows, strict=True):
            found = found + len(rows) / 2 * np.log(_geometric(rho**2, gap)[0])
        return found

    def log_det_slope(self, rho: float) -> float:
        """See `Lags`."""
        found = len(self.steps.first) * rho / ((1 - rho) * (1 + rho))
        for gap, rows in zip(self.steps.gaps, self.steps.rows, strict=True):
            h, slope = _geometric(rho**2, gap)
            found += len(rows) * rho * slope / h
        return float(found)


@dataclass(frozen=True, slots=True)
class RandomWalk(Lags):
    """Errors that start at a unit's first row with the variance sigma^2, and move by steps of variance sigma^2 g.

    g is the gap of a step in periods. Under flat unit effects where they start says nothing, and the likelihood is that
    of first differences, each with the weight 1 / g: the limit of `Autoregressive` where rho nears one.
    """

    @staticmethod
    def step(gap: Any, rho: Any) -> tuple[Any, Any]:
        """See `Lags`."""
        follows = 1 * (gap > 0)
        return follows, gap + 1 - follows

    @property
    def fixed(self) -> Sequence[FixedProduct]:
        """See `Lags`: first rows, and the differences of every gap."""
        every = zip(self.steps.rows, self.steps.before, strict=True)
        return (FixedProduct(self.steps.first), *(FixedProduct(now, before) for now, before in every))

    def weights(self, rho: Array | None, n_points: int) -> Array:
        """See `Lags`."""
        return np.tile(1 / np.array([1, *self.steps.gaps]), (n_points, 1))

    def log_det(self, rho: Array | None, n_points: int) -> Array:
        """See `Lags`."""
        every = zip(self.steps.gaps, self.steps.rows, strict=True)
        return np.full(n_points, sum(len(rows) / 2 * np.log(gap) for gap, rows in every))


def _geometric(x: Any, n: int) -> tuple[Any, Any]:
    """Return 1 + x + ... + x^(n - 1) and its derivative in x, elementwise, with all digits where x nears one."""
    total, slope, m = 1.0 + 0 * x, 0 * x, 1
    for bit in f"{n:b}"[1:]:  # from m terms to twice as many, and one more
        slope = slope * (1 + x**m) + total * m * x ** (m - 1)
        total, m = total * (1 + x**m), 2 * m
        if bit == "1":
            slope = slope * x + total
            total, m = total * x + 1, m + 1
    return total, slope


CORRELATIONS: dict[str, type[Lags]] = {"off": Independent, "ar1": Autoregressive, "random_walk": RandomWalk}
"""Correlations of errors over time by the name that a model file has."""


def previous_rows(design: Design) -> tuple[Rows, NDArray[np.int64]]:
    """Return each row's predecessor within its unit and how long ago it was; the first has itself and a gap of zero.

    Raises
    ------
    InputError
        Periods are not whole numbers, or a unit has several rows in one, so that a correlation per period has no
        meaning.
    """
    times = np.asarray(design.times)
    if not np.all(times == np.round(times)):
        raise InputError("errors correlated over time need periods that are whole numbers")
    found = _previous(design.unit, np.round(times[design.time]).astype(np.int64))
    if np.count_nonzero(found[1] == 0) > len(design.units):
        raise InputError(
            "errors correlated over time need one row for each unit and period, but frequency weights make several"
        )
    return found


def _previous(unit: Codes, when: NDArray[np.int64]) -> tuple[Rows, NDArray[np.int64]]:
    order = np.lexsort((when, unit))
    follows = np.r_[False, np.diff(unit[order]) == 0]
    previous = np.arange(len(unit))
    previous[order[follows]] = order[np.flatnonzero(follows) - 1]
    return previous, when - when[previous]


def _steps(previous: Rows, gap: NDArray[np.int64]) -> Steps:
    gaps = np.unique(gap[gap > 0])
    rows = tuple(np.flatnonzero(gap == g) for g in gaps)
    return Steps(
        n_obs=len(gap),
        first=np.flatnonzero(gap == 0),
        gaps=tuple(int(g) for g in gaps),
        rows=rows,
        before=tuple(previous[now] for now in rows),
    )
