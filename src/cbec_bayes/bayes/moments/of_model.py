"""From moments of a panel to those of a model's columns, without a row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.moments.by_unit import Moments, Stratum
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.design import identified_by_moments
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError


class Coefficients(Protocol):
    """Coefficients whose columns are wanted."""

    @property
    def name(self) -> str:
        """Of the variable."""
        ...

    @property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """Of each of its dimensions."""
        ...


def model_moments(
    found: PanelMoments, model: PanelModel, blocks: Sequence[Coefficients], names: Sequence[str]
) -> tuple[Moments, Array]:
    """Return the moments of the outcome and of every column of a model.

    Parameters
    ----------
    found
        Of the panel.
    model
        Gaussian, with independent residuals and without slopes of units.
    blocks, names
        Its blocks in order; the names of the outcome and of all their columns.

    Returns
    -------
    moments, shift
        Where the model has an intercept the columns of common coefficients are less a constant, `shift`, one per name,
        which the intercept makes up for: a large mean would cost digits.

    Raises
    ------
    InputError
        The model needs more of the panel than its moments.

    Notes
    -----
    Within a group every column is a sum of regressors and period indicators, so that its cross-products are sums of
    theirs. Means over units (Mundlak terms) have none within units, and between units those of what they are means of.
    """
    if model.residual == "ar1" or model.unit_slope != "off" or not model.is_gaussian:
        raise InputError(f"the model '{model.name}' needs rows: moments have none of units by themselves, or in order")
    if found.between is None and model.unit_effect != "fixed":
        raise InputError(f"the model '{model.name}' needs cross-products between units, which were left out")
    by_group = model.residual == "by_group" and len(found.groups) > 1
    labels = found.groups if by_group else ("",)
    p = len(names)
    shift = np.zeros(p)
    sums: list[tuple[Array, Array]] = [
        (np.zeros((p, p)), np.zeros((len(found.sizes), p, p))) for _ in range(len(labels))
    ]
    for r in range(len(found.within)):
        at, inside, across, own_shift = _sums(found, model, blocks, r)
        shift[at] = own_shift
        within, between = sums[r if by_group else 0]
        own = np.ix_(at, at)
        within[own] += inside.T @ found.within[r] @ inside
        if found.between is not None:
            for m in np.flatnonzero(found.counts[r]):
                between[m][own] += across.T @ found.between[r, m] @ across
    strata = {}
    for s, label in enumerate(labels):
        counts = found.counts[s] if by_group else found.counts.sum(axis=0)
        kept = counts > 0
        within, between = sums[s]
        strata[label] = Stratum(
            n_obs=int(counts @ found.sizes),
            within=(within + within.T) / 2,
            sizes=found.sizes[kept],
            counts=counts[kept],
            between=between[kept],
            log_sizes=float(counts @ np.log(found.sizes)),
        )
    return Moments(tuple(names), strata), shift


def _sums(
    found: PanelMoments, model: PanelModel, blocks: Sequence[Coefficients], r: int
) -> tuple[NDArray[np.intp], Array, Array, Array]:
    """Return which columns are not zero in a group, what they are sums of within and between units, and shifts."""
    q, n_times = found.n_columns, len(found.times)
    at: list[int] = []
    inside: list[Array] = []
    across: list[Array] = []
    shifts: list[float] = []
    movable = model.unit_effect != "fixed"
    weights = found.period_counts.sum(axis=0) / found.n_obs

    def add(position: int, base: Array, *, constant: bool = False, common: bool = False) -> None:
        """Add a column that is a sum of regressors and period indicators, or its unit means."""
        whole = base.copy()
        whole[q:] += float(base[:q] @ found.centre)  # columns are stored about a centre
        level = float(base[:q] @ found.centre + base[q:] @ weights) if common and movable else 0.0
        whole[q:] -= level
        shifts.append(level)
        at.append(position)
        inside.append(np.zeros_like(base) if constant else base)
        across.append(whole)

    def unit(k: int) -> Array:
        base = np.zeros(q + n_times)
        base[k] = 1.0
        return base

    periods = np.r_[np.zeros(q), np.ones(n_times)]
    add(0, unit(0))
    start = 1
    for block in blocks:
        name, _, control = block.name.partition("[")
        own = list(product(*block.labels))
        for k, label in enumerate(own):
            position = start + k
            match name:
                case "slope":
                    add(position, unit(1), common=True)
                case "group_slope" | "group_total_slope":
                    if label[0] == found.groups[r]:
                        add(position, unit(1))
                case "control_slope":
                    add(position, unit(1 + found.terms.index(label[0])), common=True)
                case "group_control_slope":
                    if label[0] == found.groups[r]:
                        add(position, unit(1 + found.terms.index(control.removesuffix("]"))))
                case "group_total_control_slope":
                    if label[1] == found.groups[r]:
                        add(position, unit(1 + found.terms.index(label[0])))
                case "intercept":
                    add(position, periods)
                case "time_effect":
                    add(position, unit(q + k))
                case "group_time_effect":
                    if label[0] == found.groups[r]:
                        add(position, unit(q + k % n_times))
                case "mundlak_unit":
                    term, group = _mundlak(found, label[0])
                    if group is None or group == r:
                        add(position, unit(1 + term), constant=True, common=group is None)
                case "mundlak_time":
                    add(position, np.r_[np.zeros(q), _period_means(found, *_mundlak(found, label[0]))], common=True)
                case _:
                    raise InputError(f"the model '{model.name}' needs rows for its {name}")
        start += len(own)
    return np.array(at, dtype=np.intp), np.column_stack(inside), np.column_stack(across), np.array(shifts)


def _mundlak(found: PanelMoments, label: str) -> tuple[int, int | None]:
    """Return the regressor that a Mundlak term is the mean of, and its group: ``x[east]`` is x in the east."""
    if label in found.terms:
        return found.terms.index(label), None
    term, _, group = label.removesuffix("]").rpartition("[")
    return found.terms.index(term), found.groups.index(group)


def _period_means(found: PanelMoments, term: int, group: int | None) -> Array:
    """Return the mean over the rows of each period of a regressor, or of one that is zero outside a group."""
    groups = slice(None) if group is None else slice(group, group + 1)
    counts = found.period_counts[groups].sum(axis=0)
    sums = found.period_sums[groups, :, 1 + term].sum(axis=0) + counts * found.centre[1 + term]
    return np.asarray(sums / found.period_counts.sum(axis=0))


def scale_of(squares: Array, counted: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Return what `identified_by_moments` measures gathered columns by: their own squares within units.

    These are exact to their last digits, however large means and differences between units are. A column that does not
    vary within units has exactly zero, and is left out like a count.
    """
    nothing = squares <= 0
    return np.where(nothing, 1.0, squares), counted | nothing


def two_way_slopes(found: PanelMoments, group: str | None = None) -> Array | None:
    """Return the slopes of the two-way regression on all rows, or on a group's, shape (K,).

    None where some are not identified.
    """
    q = found.n_columns
    within = found.within.sum(axis=0) if group is None else found.within[found.groups.index(group)]
    # Period indicators come first: what they and the unit means leave of a regressor is what it is identified by.
    order = np.r_[np.arange(q, len(within)), np.arange(1, q)]
    squares, counted = scale_of(np.diag(within)[order], order >= q)
    kept = identified_by_moments(within[np.ix_(order, order)], squares, counted)
    if kept is None or sum(k >= len(order) - (q - 1) for k in kept) < q - 1:
        return None
    at = order[list(kept)]
    found_slopes = np.linalg.solve(within[np.ix_(at, at)], within[at, 0])
    return np.asarray(found_slopes[-(q - 1) :])
