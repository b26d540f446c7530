"""Inference from few clusters: the jackknife variance CRV3 and the wild cluster bootstrap, beside CRV1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cbec_bayes.classical.conventions import Convention, convention
from cbec_bayes.classical.fits import quiet
from cbec_bayes.classical.regression import Regression, sample, twfe, two_sided
from cbec_bayes.design import Design, identified
from cbec_bayes.spec import CI_PROB
from cbec_bayes.within import Array

REPLICATIONS = 9_999
WEBB_UP_TO = 12
"""Up to this many clusters the bootstrap draws from Webb's six points: 2 ** 12 signs are too few."""

_SINGULAR = 1e-11


@dataclass(frozen=True, slots=True)
class FewClusters:
    """One regression under three ways to measure its uncertainty.

    Attributes
    ----------
    regression
        Slopes with CRV1, under its convention.
    crv3_se, crv3_p
        Standard errors from the leave-one-cluster-out jackknife, (N - 1) / N times the sum of squares about the
        full-sample estimate, with p-values from t with N - 1 degrees of freedom; shape (K,). NaN where leaving out a
        cluster leaves a slope unidentified.
    wild_p
        p-values of the wild cluster restricted bootstrap-t, shape (K,).
    weights
        Distribution of its weights: ``"webb"`` or ``"rademacher"``.
    replications, seed
        Of the bootstrap.
    """

    regression: Regression
    crv3_se: Array
    crv3_p: Array
    wild_p: Array
    weights: str
    replications: int
    seed: int

    def frame(self) -> pd.DataFrame:
        """Return one row per term and method: term, vcov, estimate, se, df, p, ci_low, ci_high (NaN if not defined)."""
        fit, n = self.regression, len(self.regression.terms)
        low, high = fit.interval()
        half = self.crv3_se * stats.t.isf((1 - CI_PROB) / 2, fit.n_units - 1)
        nothing = np.full(n, np.nan)
        methods = (
            ("CRV1", fit.se, fit.df, fit.p, low, high),
            ("CRV3", self.crv3_se, fit.n_units - 1.0, self.crv3_p, fit.estimate - half, fit.estimate + half),
            (f"wild bootstrap ({self.weights})", nothing, np.nan, self.wild_p, nothing, nothing),
        )
        columns = ("vcov", "se", "df", "p", "ci_low", "ci_high")
        frames = [
            pd.DataFrame({"term": fit.terms, "estimate": fit.estimate, **dict(zip(columns, method, strict=True))})
            for method in methods
        ]
        return pd.concat(frames, ignore_index=True)[["term", "vcov", "estimate", "se", "df", "p", "ci_low", "ci_high"]]


def few_clusters(
    design: Design,
    terms: Sequence[str] | None = None,
    *,
    how: str | Convention = "reghdfe",
    replications: int = REPLICATIONS,
    seed: int = 1,
) -> FewClusters:
    """Run a regression under CRV1, CRV3 and the wild cluster bootstrap.

    Parameters
    ----------
    design, terms, how
        As for `twfe`.
    replications, seed
        Of the bootstrap.

    Raises
    ------
    InputError
        As `twfe`.

    Notes
    -----
    CRV3 and the restricted wild cluster bootstrap: MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and
    bootstrap methods for cluster-robust inference", Journal of Applied Econometrics 38; Webb (2023) for six-point
    weights. pyfixest and wildboottest compute them on rows with unit means taken out and period dummies as
    regressors: the units are the clusters, so leaving one out, or changing the sign of its residuals, leaves the other
    units' means alone, and no dummy per unit is needed.
    """
    how = convention(how) if isinstance(how, str) else how
    fit = twfe(design, terms, how=how)
    used = sample(design if terms is None else design.keeping(terms), how)
    kept = list(identified(used.x, used.effects.within(used.x)))
    frame, slopes, effects = _unit_demeaned(used, kept)
    crv3 = _crv3(frame, slopes, effects)
    n_terms = len(used.terms)
    se, wild = np.full(n_terms, np.nan), np.full(n_terms, np.nan)
    se[kept] = crv3
    weights = "webb" if fit.n_units <= WEBB_UP_TO else "rademacher"
    model = _feols(frame, slopes, effects, "CRV1")
    for k, name in zip(kept, slopes, strict=True):
        with quiet():
            test = model.wildboottest(
                param=name, reps=replications, seed=seed, weights_type=weights, bootstrap_type="11", impose_null=True
            )
        wild[k] = float(test["Pr(>|t|)"])
    p = two_sided(fit.estimate / se, fit.n_units - 1.0)
    return FewClusters(fit, se, p, wild, weights, replications, seed)


def _unit_demeaned(design: Design, kept: Sequence[int]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return y, slopes and period dummies less their unit means, and the names of slopes and dummies."""
    dummies = (design.time[:, None] == np.arange(1, len(design.times))).astype(float)
    columns = np.column_stack([design.y, design.x[:, list(kept)], dummies])
    sums = np.zeros((len(design.units), columns.shape[1]))
    np.add.at(sums, design.unit, columns)
    columns = columns - (sums / np.bincount(design.unit)[:, None])[design.unit]
    slopes = [f"x{k}" for k in kept]
    names = ["y", *slopes, *(f"t{t}" for t in range(1, len(design.times)))]
    frame = pd.DataFrame(columns, columns=names)
    # An unconnected panel has a period effect too many; its columns are found collinear, and left out, here.
    independent = identified(np.ones((len(columns), 1)) + columns[:, 1:], columns[:, 1:])
    effects = [names[1 + k] for k in independent if names[1 + k].startswith("t")]
    frame["unit"] = design.unit
    return frame, slopes, effects


def _feols(frame: pd.DataFrame, slopes: Sequence[str], effects: Sequence[str], vcov: str) -> Any:
    import pyfixest as pf

    with quiet():
        return pf.feols(
            f"y ~ {' + '.join([*slopes, *effects])} - 1",
            data=frame,
            vcov={vcov: "unit"},
            ssc=pf.ssc(k_adj=False, k_fixef="none", G_adj=False, G_df="min"),
            collin_tol=1e-14,
        )


def _crv3(frame: pd.DataFrame, slopes: Sequence[str], effects: Sequence[str]) -> Array:
    """Return jackknife standard errors of the slopes, NaN where a leave-one-out sample cannot identify them."""
    everything = [*slopes, *effects]
    scaled = frame[everything] / np.sqrt((frame[everything] ** 2).sum())
    whole = scaled.to_numpy().T @ scaled.to_numpy()
    parts = scaled.groupby(frame["unit"])
    n_units = len(parts)
    for _, part in parts:
        left = np.linalg.eigvalsh(whole - part.to_numpy().T @ part.to_numpy())
        if left[0] < _SINGULAR * left[-1]:
            return np.full(len(slopes), np.nan)
    fit = _feols(frame, slopes, effects, "CRV3")
    variance = np.diag(np.asarray(fit._vcov))[: len(slopes)] * (n_units - 1) / n_units
    return np.asarray(np.sqrt(variance))
