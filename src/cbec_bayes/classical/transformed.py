"""Two-way regressions on rows that were transformed before: unit means or trends taken out, or first differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cbec_bayes.classical.clustering import clustering
from cbec_bayes.classical.linearised import dummies
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

type Transformation = Literal["levels", "trends", "differences"]
"""What is taken out of every unit: its mean, its mean and linear trend, or the row before."""

_SPENT = 1e-12  # eigenvalues of I - H_gg below it are directions that a cluster has to itself, as in clubSandwich


@dataclass(frozen=True, slots=True)
class TransformedSlopes:
    """Slopes of a regression, with clustered standard errors by bias-reduced linearisation (CR2).

    Attributes
    ----------
    terms
        K regressors.
    estimate, cr2_se
        NaN for a term that is collinear with effects or terms before it, shape (K,); errors also where units are not
        nested in the clusters.
    """

    terms: tuple[str, ...]
    estimate: Array
    cr2_se: Array


def regress(design: Design, transformation: Transformation) -> TransformedSlopes:
    """Regress the outcome on the design's regressors, with period effects, after a transformation within units.

    Parameters
    ----------
    design
        Rows and regressors.
    transformation
        Under ``levels`` the regression is that with two-way fixed effects, under ``trends`` it has a linear trend for
        each unit beside them, and under ``differences`` each row is less the unit's row before, over the square root of
        the periods between them.

    Raises
    ------
    InputError
        There is one unit only, or no regressor is identified; a difference of rows that have weights has none itself.

    Notes
    -----
    What is taken out of single units changes neither slopes nor CR2, for units are the clusters (Pustejovsky and Tipton
    2018). A difference over a gap of g periods weighs 1 / g, as in the likelihood of a random walk.
    """
    if len(design.units) < 2:
        raise InputError(f"clustered standard errors need two units or more; there is one, {design.units[0]}")
    if transformation == "differences":
        _require_differences(design)
    n_terms = len(design.terms)
    periods = dummies(design.effects)
    n_periods = periods.shape[1]
    rows = np.column_stack([design.y, periods, design.x])  # raw: what is left of them has weights
    rows_used, left = (
        _differences(design, rows)
        if transformation == "differences"
        else _less_trends(design, rows, order=1 if transformation == "trends" else 0)
    )
    x = left[:, 1:]
    kept = identified(rows[:, 1:] if len(rows) == len(left) else _of_size(rows[:, 1:], len(left)), x, about_mean=False)
    at = [k - n_periods for k in kept if k >= n_periods]
    if not at:
        raise InputError(
            "the effects and trends explain every regressor, so that no slope can be estimated: "
            f"{', '.join(design.terms)}"
        )
    codes = clustering(design).single
    at_rows = np.zeros(len(left), dtype=np.intp) if codes is None else codes[rows_used]
    slopes, errors = clustered(x[:, list(kept)], left[:, 0], at_rows)
    errors = np.full_like(errors, np.nan) if codes is None else errors
    estimate, cr2_se = np.full((2, n_terms), np.nan)
    estimate[at], cr2_se[at] = slopes[len(kept) - len(at) :], errors[len(kept) - len(at) :]
    return TransformedSlopes(design.terms, estimate, cr2_se)


def interacted(design: Design) -> Design:
    """Return the design with a slope of the exposure for each group in place of a common one; groups come first."""
    if design.group is None:
        raise InputError("slopes by group need groups; name their column with --group")
    own = (design.group[:, None] == np.arange(len(design.groups))) * design.x[:, :1]
    terms = tuple(f"{design.terms[0]}[{group}]" for group in design.groups)
    return replace(
        design.with_regressors((*terms, *design.terms[1:]), np.column_stack([own, design.x[:, 1:]])), group=design.group
    )


def clustered(x: Array, y: Array, cluster: Codes) -> tuple[Array, Array]:
    """Return least-squares slopes and their CR2 standard errors, each of shape (k,).

    Parameters
    ----------
    x, y
        Rows of identified columns, shape (n, k), and of the outcome, (n,).
    cluster
        Codes, shape (n,).

    Notes
    -----
    Bell and McCaffrey (2002): residuals of a cluster g are multiplied by the symmetric root of (I - H_gg)^-1, so that
    the variance is unbiased where errors are independent and equally large.
    """
    size = np.linalg.norm(x, axis=0)
    q, triangle = np.linalg.qr(x / size)
    back = np.linalg.solve(triangle, np.eye(len(size))) / size[:, None]
    residual = y - q @ (q.T @ y)
    variance = np.zeros((len(size), len(size)))
    for code in np.unique(cluster):
        own = q[cluster == code]
        values, vectors = np.linalg.eigh(np.eye(len(own)) - own @ own.T)
        there = values > _SPENT
        root = vectors[:, there] / np.sqrt(values[there])
        score = own.T @ (root @ (vectors[:, there].T @ residual[cluster == code]))
        variance += np.outer(score, score)
    return back @ (q.T @ y), np.sqrt(np.diag(back @ variance @ back.T))


def _less_trends(design: Design, rows: Array, order: int) -> tuple[Codes, Array]:
    """Return which rows there are, and what unit means, or means and trends, leave of them times roots of weights."""
    when, root, left = design.elapsed, design.root, design.scaled(rows).copy()
    for u in range(len(design.units)):
        at = np.flatnonzero(design.unit == u)
        single = order == 0 or not np.ptp(when[at])
        basis = np.ones((len(at), 1)) if single else np.vander(when[at] - when[at].mean(), 2)
        q = np.linalg.qr(root[at, None] * basis)[0]
        for _ in range(2):  # the second pass takes out the rounding of the first
            left[at] -= q @ (q.T @ left[at])
    return np.arange(design.n_obs), left


def _differences(design: Design, rows: Array) -> tuple[Codes, Array]:
    """Return which rows have one before, and their differences from it, over the square root of the gap."""
    when = np.asarray(design.times, dtype=float)[design.time]
    order = np.lexsort((when, design.unit))
    follows = np.flatnonzero(np.diff(design.unit[order]) == 0)
    now, before = order[follows + 1], order[follows]
    return now, (rows[now] - rows[before]) / np.sqrt(when[now] - when[before])[:, None]


def has_weights(design: Design) -> bool:
    """Return whether rows have weights, or copies in one period, which frequency weights make."""
    return design.weight is not None or _has_copies(design)


def _has_copies(design: Design) -> bool:
    return len(np.unique(np.column_stack([design.unit, design.time]), axis=0)) < design.n_obs


def _require_differences(design: Design) -> None:
    """Raise where rows of a unit have weights of their own, or copies in one period."""
    if design.weight is not None:
        raise InputError(
            "the regression of first differences is left out, because the difference of two weighted rows has no weight"
        )
    if _has_copies(design):
        raise InputError(
            "the regression of first differences is left out, because frequency weights make several rows "
            "for one unit and period"
        )


def _of_size(rows: Array, n: int) -> Array:
    """Return n rows with the norms of the columns, which what is left of them is measured against."""
    return np.broadcast_to(np.linalg.norm(rows, axis=0) / np.sqrt(n), (n, rows.shape[1]))
