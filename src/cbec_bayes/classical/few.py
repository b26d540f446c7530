"""Inference from few clusters: the variances CR2 and CRV3 and the wild cluster bootstrap, beside CRV1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cbec_bayes.classical.clustering import clustering
from cbec_bayes.classical.conventions import Convention, convention
from cbec_bayes.classical.fewbatch import prepare_few, weights_for
from cbec_bayes.classical.regression import Regression, twfe
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import t_isf
from cbec_bayes.runtime.labels import CI_PROB

REPLICATIONS = 9_999

MOST_CLUSTERS = 1_000
"""Clusters up to which methods for few of them are run; they cost their square, and CRV1 has no need of them beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
        Draws and seed of the bootstrap.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> design = cb.make_design(cb.make_panel(frame, roles))
    >>> sorted(cb.few_clusters(design, replications=199).intervals())
    ['CR2', 'CRV1', 'CRV3']
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

    def intervals(self) -> dict[str, tuple[Array, Array]]:
        """Return the ends of the intervals under CRV1, CR2 and CRV3, by name, each of shape (K,).

        Each has the degrees of freedom of its p-values. Ends are NaN where the standard error is not defined.
        """
        fit = self.regression
        cr2, crv3 = (
            se * t_isf((1 - CI_PROB) / 2, df)
            for se, df in ((self.cr2_se, self.cr2_df), (self.crv3_se, fit.n_clusters - 1))
        )
        return {
            "CRV1": fit.interval(),
            "CR2": (fit.estimate - cr2, fit.estimate + cr2),
            "CRV3": (fit.estimate - crv3, fit.estimate + crv3),
        }

    def frame(self) -> pd.DataFrame:
        """Return one row per term and method: term, vcov, estimate, se, df, p, ci_low, ci_high (NaN if not defined)."""
        fit, n = self.regression, len(self.regression.terms)
        ends = self.intervals()
        methods = (
            ("CRV1", fit.se, fit.df, fit.p, *ends["CRV1"]),
            ("CR2", self.cr2_se, self.cr2_df, self.cr2_p, *ends["CR2"]),
            ("CRV3", self.crv3_se, fit.n_clusters - 1.0, self.crv3_p, *ends["CRV3"]),
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


def jackknife_ratios(few: Mapping[str, FewClusters], term: str) -> dict[str, float]:
    """Return the standard error of a term by CRV3 over that by CRV1, by the key of each regression that has both."""
    ratios = {}
    for key, found in few.items():
        if term in found.regression.terms:
            k = found.regression.terms.index(term)
            ratios[key] = float(found.crv3_se[k] / found.regression.se[k])
    return {key: ratio for key, ratio in ratios.items() if ratio > 0}


def few_clusters(
    design: Design,
    terms: Sequence[str] | None = None,
    *,
    ssc: str | Convention = "reghdfe",
    bootstrapped: Sequence[str] | None = None,
    replications: int = REPLICATIONS,
    seed: int = 1,
) -> FewClusters:
    """Run a regression under CRV1, CR2, CRV3 and the wild cluster bootstrap.

    Parameters
    ----------
    design, terms, ssc
        As for `twfe`.
    bootstrapped
        Terms that the bootstrap tests; default all. Its results for others are NaN.
    replications, seed
        Draws and seed of the bootstrap.

    Raises
    ------
    InputError
        As `twfe`.

    Notes
    -----
    With more than `MOST_CLUSTERS` clusters, and with clusters in which units are not nested, there is CRV1 alone, and
    NaN for the rest; where residuals are rounding there are slopes alone.

    CRV3 and the restricted wild cluster bootstrap: MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and
    bootstrap methods for cluster-robust inference", Journal of Applied Econometrics 38; Webb (2023) for six-point
    weights. These and CR2 are those of `prepare_few`, for one outcome. The tests hold CRV3 against pyfixest, p-values
    against wildboottest, draw by draw, and CR2 against clubSandwich.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> design = cb.make_design(cb.make_panel(frame, roles))
    >>> few = cb.few_clusters(design, replications=199).frame()
    >>> few.loc[few["term"] == "price", ["vcov", "se"]].round(2)
                        vcov    se
    0                   CRV1  0.09
    2                    CR2  0.09
    4                   CRV3  0.10
    6  wild bootstrap (webb)   NaN
    """
    ssc = convention(ssc) if isinstance(ssc, str) else ssc
    fit = twfe(design, terms, ssc=ssc)
    if fit.n_clusters > MOST_CLUSTERS or fit.is_exact or clustering(design).single is None:
        none = np.full(len(fit.terms), np.nan)
        weights = weights_for(fit.n_clusters, replications)
        unknown = dict.fromkeys(("cr2_se", "cr2_df", "cr2_p", "crv3_se", "crv3_p", "wild_p"), none)
        return FewClusters(
            regression=fit,
            **unknown,
            wild_interval=np.full((len(none), 2), np.nan),
            weights=weights,
            replications=replications,
            seed=seed,
        )
    prepared, y = prepare_few(design, terms, ssc=ssc), design.y[None]
    batch = prepared.fit(y)
    p, ends = np.full(len(fit.terms), np.nan), np.full((len(fit.terms), 2), np.nan)
    for k, term in enumerate(fit.terms):
        if bootstrapped is None or term in bootstrapped:
            p[k] = prepared.wild_p(y, k, 0.0, replications, seed)[0]
            ends[k] = prepared.wild_interval(y, k, replications, seed)[0]
    return FewClusters(
        regression=fit,
        cr2_se=batch.cr2_se[0],
        cr2_df=batch.cr2_df,
        cr2_p=batch.cr2_p[0],
        crv3_se=batch.crv3_se[0],
        crv3_p=batch.crv3_p[0],
        wild_p=p,
        wild_interval=ends,
        weights=weights_for(fit.n_clusters, replications),
        replications=replications,
        seed=seed,
    )
