"""The calls to pyfixest and wildboottest, with every option explicit and names that no formula can trip over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd

from cbec_bayes.classical.conventions import Convention
from cbec_bayes.design import Design

_TOLERANCE = 1e-13  # of pyfixest's demeaning; its default, 1e-6, would show in the sixth digit of unbalanced panels
_MAX_ITERATIONS = 1_000_000


def pyfixest_fit(design: Design, kept: Sequence[int], how: Convention | None, vcov: str = "CRV1") -> Any:
    """Fit y on the kept columns of x with unit and time effects by pyfixest.

    Parameters
    ----------
    design
        Rows; units are the clusters.
    kept
        Positions of the identified regressors.
    how
        Whose small-sample factors are used; None for none at all.
    vcov
        ``"CRV1"`` or ``"CRV3"``.

    Returns
    -------
    pyfixest.estimation.models.feols_.Feols
        With coefficients in the order of `kept`.
    """
    import pyfixest as pf
    from pyfixest.demeaners import MapDemeaner

    names = [f"x{k}" for k in kept]
    frame = pd.DataFrame(design.x[:, list(kept)], columns=names)
    frame["y"], frame["unit"], frame["time"] = design.y, design.unit, design.time
    with quiet():
        return pf.feols(
            f"y ~ {' + '.join(names)} | unit + time",
            data=frame,
            vcov={vcov: "unit"},
            ssc=pf.ssc(
                k_adj=how is not None and how.k_adj is not None,
                k_fixef="none" if how is None else how.k_fixef,
                G_adj=how is not None and how.g_adj,
                G_df="min",
            ),
            fixef_rm="none",
            collin_tol=1e-14,  # collinear regressors were left out before, by a tolerance of our own
            demeaner=MapDemeaner(fixef_tol=_TOLERANCE, fixef_maxiter=_MAX_ITERATIONS),
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what other packages say to their own developers; everything else is heard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
