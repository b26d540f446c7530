"""Inference from few clusters: the variances CR2 and CRV3 and the wild cluster bootstrap, beside CRV1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cbec_bayes.classical.conventions import Convention, convention
from cbec_bayes.classical.fewbatch import TIE, prepare_few, weights_for
from cbec_bayes.classical.fits import NO_FACTORS, pyfixest, quiet
from cbec_bayes.classical.regression import Regression, sample, twfe, two_sided
from cbec_bayes.design import Design, identified
from cbec_bayes.spec import CI_PROB
from cbec_bayes.within import Array, means_by

REPLICATIONS = 9_999

MOST_CLUSTERS = 1_000
"""Clusters up to which methods for few of them are run; they cost their square, and CRV1 has no need of them beyond."""


@dataclass(frozen=True, slots=True)
class FewClusters:
    """One regression under four ways to measure its uncertainty.

    Attributes
    ----------
    regression
        Slopes with CRV1, under its convention.
    cr2_se, cr2_df, cr2_p
        Standard errors by bias-reduced linearisation, their Satterthwaite degrees of freedom, and p-values from t with
        those; shape (K,); see `FewFit`.
    crv3_se, crv3_p
        Standard errors from the leave-one-cluster-out jackknife, (N - 1) / N times the sum of squares about the
        full-sample estimate, with p-values from t with N - 1 degrees of freedom; shape (K,). NaN where leaving out a
        cluster leaves a slope unidentified.
    wild_p, wild_interval
        p-values of the wild cluster restricted bootstrap-t, shape (K,), and the interval that inverts them, by the same
        draws, shape (K, 2); an end is infinite where the p-value never falls below 5 %.
    weights
        Distribution of its weights: ``"webb"`` or ``"rademacher"``.
    replications, seed
        Of the bootstrap.
    """

    regression: Regression
    cr2_se: Array
    cr2_df: Array
    cr2_p: Array
    crv3_se: Array
    crv3_p: Array
    wild_p: Array
    wild_interval: Array
    weights: str
    replications: int
    seed: int

    def frame(self) -> pd.DataFrame:
        """Return one row per term and method: term, vcov, estimate, se, df, p, ci_low, ci_high (NaN if not defined)."""
        fit, n = self.regression, len(self.regression.terms)
        low, high = fit.interval()
        cr2, crv3 = (
            se * stats.t.isf((1 - CI_PROB) / 2, df)
            for se, df in ((self.cr2_se, self.cr2_df), (self.crv3_se, fit.n_units - 1))
        )
        methods = (
            ("CRV1", fit.se, fit.df, fit.p, low, high),
            ("CR2", self.cr2_se, self.cr2_df, self.cr2_p, fit.estimate - cr2, fit.estimate + cr2),
            ("CRV3", self.crv3_se, fit.n_units - 1.0, self.crv3_p, fit.estimate - crv3, fit.estimate + crv3),
            (f"wild bootstrap ({self.weights})", np.full(n, np.nan), np.nan, self.wild_p, *self.wild_interval.T),
        )
        columns = ("vcov", "se", "df", "p", "ci_low", "ci_high")
        frames = [
            pd.DataFrame({"term": fit.terms, "estimate": fit.estimate, **dict(zip(columns, method, strict=True))})
            for method in methods
        ]
        return pd.concat(frames, ignore_index=True)[["term", "vcov", "estimate", "se", "df", "p", "ci_low", "ci_high"]]

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False, float_format="{:.4g}".format, na_rep=""))


def few_clusters(
    design: Design,
    terms: Sequence[str] | None = None,
    *,
    how: str | Convention = "reghdfe",
    bootstrapped: Sequence[str] | None = None,
    replications: int = REPLICATIONS,
    seed: int = 1,
) -> FewClusters:
    """Run a regression under CRV1, CR2, CRV3 and the wild cluster bootstrap.

    Parameters
    ----------
    design, terms, how
        As for `twfe`.
    bootstrapped
        Terms that the bootstrap tests, half a second each; default all. Its results for others are NaN.
    replications, seed
        Of the bootstrap.

    Raises
    ------
    InputError
        As `twfe`.

    Notes
    -----
    With more than `MOST_CLUSTERS` clusters there is CRV1 alone, and NaN for the rest.

    CRV3 and the restricted wild cluster bootstrap: MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and
    bootstrap methods for cluster-robust inference", Journal of Applied Econometrics 38; Webb (2023) for six-point
    weights. pyfixest and wildboottest compute them on rows with unit means taken out and period dummies as
    regressors: the units are the clusters, so leaving one out, or changing the sign of its residuals, leaves the other
    units' means alone, and no dummy per unit is needed. CR2 and the interval of the bootstrap, which neither package
    has, are our own; see `prepare_few`. The interval costs hundredths of a second.
    """
    how = convention(how) if isinstance(how, str) else how
    fit = twfe(design, terms, how=how)
    if fit.n_units > MOST_CLUSTERS:
        none = np.full(len(fit.terms), np.nan)
        weights = weights_for(fit.n_units, replications)
        return FewClusters(fit, *(none,) * 6, np.full((len(none), 2), np.nan), weights, replications, seed)
    used = sample(design if terms is None else design.keeping(terms), how)
    kept = list(identified(used.x, used.effects.within(used.x)))
    frame, slopes, effects, unit = _unit_demeaned(used, kept)
    n_terms = len(used.terms)
    se, wild = np.full(n_terms, np.nan), np.full(n_terms, np.nan)
    prepared, y = prepare_few(design, terms, how=how), design.y[None]
    batch = prepared.fit(y)
    if not np.isnan(prepared.jackknife).any():
        se[kept] = _crv3(frame, slopes, effects, fit.n_units) * unit
    weights = weights_for(fit.n_units, replications)
    model = _feols(frame, slopes, effects, "CRV1")
    tested = [k for k in kept if bootstrapped is None or used.terms[k] in bootstrapped]
    for k in tested:
        name = slopes[kept.index(k)]
        with quiet(), _no_variance():
            test, drawn = model.wildboottest(
                param=name,
                reps=replications,
                seed=seed,
                weights_type=weights,
                bootstrap_type="11",
                impose_null=True,
                return_bootstrapped_t_stats=True,
            )
        size = abs(float(test["t value"]))
        wild[k] = float((np.abs(drawn) > size * (1 + TIE)).mean()) if np.isfinite(size) else np.nan
    p = two_sided(fit.estimate / se, fit.n_units - 1.0)
    ends = np.full((n_terms, 2), np.nan)
    for k in range(n_terms) if bootstrapped is None else tested:
        ends[k] = prepared.wild_interval(y, k, replications, seed)
    return FewClusters(
        fit, batch.cr2_se[0], batch.cr2_df, batch.cr2_p[0], se, p, wild, ends, weights, replications, seed
    )


def _unit_demeaned(design: Design, kept: Sequence[int]) -> tuple[pd.DataFrame, list[str], list[str], Array]:
    """Return y, slopes and period dummies less their unit means, over their spread.

    With the names of slopes and dummies, and what a slope in the frame's units is multiplied by, shape (k,).
    """
    dummies = (design.time[:, None] == np.arange(1, len(design.times))).astype(float)
    columns = np.column_stack([design.y, design.x[:, list(kept)], dummies])
    columns = columns - means_by(design.unit, columns)[design.unit]
    slopes = [f"x{k}" for k in kept]
    names = ["y", *slopes, *(f"t{t}" for t in range(1, len(design.times)))]
    spread = np.sqrt((columns**2).mean(axis=0))
    frame = pd.DataFrame(columns / np.where(spread > 0, spread, 1.0), columns=names)
    # An unconnected panel has a period effect too many; its columns are found collinear, and left out, here.
    independent = identified(columns[:, 1:], columns[:, 1:], about_mean=False)
    effects = [names[1 + k] for k in independent if names[1 + k].startswith("t")]
    frame["unit"] = design.unit
    return frame, slopes, effects, spread[0] / spread[1 : 1 + len(slopes)]


def _feols(frame: pd.DataFrame, slopes: Sequence[str], effects: Sequence[str], vcov: str) -> Any:
    pf = pyfixest()
    with quiet(), _no_variance():
        return pf.feols(
            f"y ~ {' + '.join([*slopes, *effects])} - 1",
            data=frame,
            vcov={vcov: "unit"},
            ssc=NO_FACTORS,
            collin_tol=1e-14,
        )


def _no_variance() -> np.errstate:
    """Say nothing of roots that may not exist: with two clusters the variance is nothing but rounding."""
    return np.errstate(invalid="ignore", divide="ignore")


def _crv3(frame: pd.DataFrame, slopes: Sequence[str], effects: Sequence[str], n_units: int) -> Array:
    """Return jackknife standard errors of the slopes, which every leave-one-out sample must identify."""
    fit = _feols(frame, slopes, effects, "CRV3")
    variance = np.diag(np.asarray(fit._vcov))[: len(slopes)] * (n_units - 1) / n_units
    return np.asarray(np.sqrt(variance))
