"""What a model of estimates has beside a common slope: moderators, and a covariance of errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.runtime.errors import InputError

Array = NDArray[np.float64]

_SMALLEST = 1e-10
"""Least eigenvalue of a correlation matrix of errors that still counts as positive."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Moderators and the covariance of errors, as the model has them.

    Attributes
    ----------
    names
        The M moderators, on which the slopes of groups are regressed.
    moderators
        Their values, shape (R, M), less their means over the groups that have an estimate: the common slope is that of
        an average group.
    covariance
        Covariance of the errors of the n groups that have an estimate, in their order, shape (n, n); None where errors
        are independent.
    """

    names: tuple[str, ...]
    moderators: Array
    covariance: Array | None = None

    def without_moderators(self) -> Terms:
        """Return the same covariance alone."""
        return replace(self, names=(), moderators=self.moderators[:, :0])


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedTerms:
    """Moderators and the covariance of errors, as a user states them, for R groups.

    Attributes
    ----------
    names, measured
        The M moderators and their values in their own units, shape (R, M).
    covariance
        Covariance of the errors, shape (R, R), of which only rows of groups with an estimate count; None where it is
        not stated.
    clusters
        Which cluster each group's estimate belongs to, R labels; None where there are none.
    correlation
        Correlation of errors within a cluster.
    """

    names: tuple[str, ...] = ()
    measured: Array
    covariance: Array | None = None
    clusters: tuple[str, ...] | None = None
    correlation: float = 0.0

    @property
    def correlated(self) -> bool:
        """Whether errors may hang together."""
        return self.covariance is not None or self.clusters is not None

    def standard_errors(self) -> Array | None:
        """Return the standard errors that a stated covariance has, shape (R,); None where none is stated."""
        return None if self.covariance is None else np.sqrt(np.diagonal(self.covariance))

    def resolved(self, printed: NDArray[np.bool_], errors: Array) -> Terms:
        """Return the terms as the model has them.

        Parameters
        ----------
        printed
            Which groups have an estimate, shape (R,).
        errors
            Their standard errors, shape (R,).

        Raises
        ------
        InputError
            Moderators cannot be told apart, or the covariance is not positive definite.
        """
        centred = self.measured - self.measured[printed].mean(axis=0)
        require_told(centred[printed], self.names)
        covariance = None
        if self.covariance is not None:
            covariance = self.covariance[np.ix_(printed, printed)]
        elif self.clusters is not None:
            clusters = np.array(self.clusters)[printed]
            within = np.where(clusters[:, None] == clusters, self.correlation, 0.0)
            np.fill_diagonal(within, 1.0)
            covariance = within * np.outer(errors[printed], errors[printed])
        if covariance is not None:
            require_positive(covariance)
        return Terms(self.names, centred, covariance)


def require_positive(covariance: Array) -> None:
    """Raise `InputError` where a matrix is no covariance of errors that all have something of their own."""
    sds = np.sqrt(np.diagonal(covariance))
    if not np.linalg.eigvalsh(covariance / np.outer(sds, sds))[0] > _SMALLEST:
        raise InputError("the covariance of the errors is not positive definite")


def require_told(centred: Array, names: tuple[str, ...]) -> None:
    """Raise `InputError` where slopes of n groups cannot be regressed on moderators, of shape (n, M)."""
    n, m = centred.shape
    if m == 0:
        return
    if n < m + 2:
        listed = " and ".join(f"'{name}'" for name in names)
        raise InputError(f"{n} estimates cannot be regressed on {listed}: {m + 2} are needed")
    for place, name in enumerate(names):
        own, others = centred[:, place], centred[:, :place]
        size = np.linalg.norm(own)
        if not size > 1e-12 * n:
            raise InputError(
                f"'{name}' is the same in all rows that have an estimate, so that no slope can be regressed on it"
            )
        left = own - others @ np.linalg.lstsq(others, own)[0] if place else own
        if np.linalg.norm(left) <= 1e-9 * size:
            raise InputError(f"'{name}' is a combination of {' and '.join(names[:place])}")
