"""Numbers of one regression: by pyfixest, options explicit and names that no formula trips over, or directly."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg

from cbec_bayes.classical.clustering import Roots, clustering
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array

_TOLERANCE = 1e-13  # of pyfixest's demeaning; its default, 1e-6, would show in the sixth digit of unbalanced panels
_MAX_ITERATIONS = 1_000_000
NO_FACTORS: dict[str, str | bool] = {"k_adj": False, "k_fixef": "none", "G_adj": False, "G_df": "min"}
"""pyfixest's small-sample correction, switched off: `pyfixest.ssc` with these arguments."""


def pyfixest() -> Any:
    """Import pyfixest, and take back what it does to the root logger as it is imported: others' lines would show."""
    if "pyfixest" in sys.modules:
        return sys.modules["pyfixest"]
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    module = import_module("pyfixest")
    _ = module.feols  # what configures the logger is imported when it is first asked for
    root.handlers[:] = handlers
    root.setLevel(level)
    return module


def crv1(design: Design, kept: Sequence[int]) -> tuple[Array, Roots, Array]:
    """Fit y on the kept columns of x with unit and time effects by pyfixest, with clustered errors.

    Parameters
    ----------
    design
        Rows, and their clusters.
    kept
        Positions of the identified regressors, k of them.

    Returns
    -------
    estimate, roots, residuals
        Shapes (k,) and (n,), and the CRV1 variance. This is a root times its transpose, so that the variance of any sum
        of slopes is a square, or of two sets of clusters a sum of such products with signs; it carries no small-sample
        factor: conventions differ in nothing else, and pyfixest counts the effects of a panel that falls into
        unconnected pieces as if it did not. Where rows have weights each residual is multiplied by the square root of
        its row's.

    Notes
    -----
    pyfixest stops demeaning at an absolute tolerance and solves normal equations, which have half the digits of the
    columns. So columns are passed less their means, over their spread, and turned by the R of their own QR, which
    leaves regressors that are orthogonal to rounding.
    """
    pf = pyfixest()
    from pyfixest.demeaners import MapDemeaner

    columns = np.column_stack([design.y, design.x[:, list(kept)]])
    columns = columns - np.average(columns, axis=0, weights=design.weight)
    within = design.effects.within(columns)
    scale = np.sqrt((within**2).mean(axis=0))
    scale[0] = scale[0] or 1.0  # an outcome that the effects explain wholly
    columns = columns / scale
    turn = np.linalg.qr(within[:, 1:] / scale[1:], mode="r") / np.sqrt(len(within))
    columns[:, 1:] = linalg.solve_triangular(turn, columns[:, 1:].T, trans="T").T
    names = [f"x{k}" for k in kept]
    frame = pd.DataFrame(columns, columns=["y", *names])
    frame["unit"], frame["time"] = design.effects.unit, design.effects.time
    further = [f"effect{k}" for k in range(len(design.effects.further))]
    frame[further] = np.column_stack([frame[[]], *design.effects.further])
    weighted = {} if design.weight is None else {"weights": "weight", "weights_type": "aweights"}
    if weighted:
        frame["weight"] = design.weight
    # With two clusters the variance is nothing but rounding, and may be none at all.
    with quiet(), np.errstate(divide="ignore", invalid="ignore"):
        fit = pf.feols(
            f"y ~ {' + '.join(names)} | {' + '.join(['unit', 'time', *further])}",
            data=frame,
            vcov={"CRV1": "unit"},
            ssc=NO_FACTORS,
            fixef_rm="none",
            **weighted,
            collin_tol=1e-14,  # collinear regressors were left out before, by a tolerance of our own
            demeaner=MapDemeaner(fixef_tol=_TOLERANCE, fixef_maxiter=_MAX_ITERATIONS),
        )
        estimate = fit.coef().to_numpy()
    unit = scale[0] / scale[1:]
    residuals = np.asarray(fit._u_hat, dtype=float).ravel() * scale[0]
    values, vectors = np.linalg.eigh(np.asarray(fit._vcov, dtype=float))
    root = linalg.solve_triangular(turn, vectors * np.sqrt(np.maximum(values, 0.0)))
    slopes = linalg.solve_triangular(turn, estimate) * unit
    if design.clusters:
        return slopes, _roots(design, design.effects.within(design.x[:, list(kept)]), residuals), residuals
    return slopes, [(1.0, root * unit[:, None])], residuals


def crv1_directly(design: Design, kept: Sequence[int]) -> tuple[Array, Roots, Array]:
    """Do what `crv1` does by linear algebra of our own: the same numbers, without a formula parsed each time.

    Where a panel has a thousand groups, each with its regression, that is what takes the time.
    """
    columns = design.effects.within(np.column_stack([design.y, design.x[:, list(kept)]]))
    q, r = np.linalg.qr(columns[:, 1:])
    estimate = np.linalg.solve(r, q.T @ columns[:, 0])
    residuals = columns[:, 0] - columns[:, 1:] @ estimate
    return estimate, _roots(design, columns[:, 1:], residuals), residuals


def _roots(design: Design, within: Array, residuals: Array) -> Roots:
    """Return the clustered variance from regressors less effects, shape (n, k), and residuals."""
    q, r = np.linalg.qr(within)
    return clustering(design).roots(np.linalg.solve(r, (q * residuals[:, None]).T))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what other packages say to their own developers; everything else is heard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
