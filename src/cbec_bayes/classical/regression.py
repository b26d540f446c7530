"""One two-way fixed-effects regression with clustered standard errors, by pyfixest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.classical.clustering import Clustering, Roots, clustering, errors_of
from cbec_bayes.classical.conventions import Convention, convention
from cbec_bayes.classical.fits import crv1, crv1_directly
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.precision import is_rounding
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import t_isf, t_sf
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A two-way fixed-effects regression with clustered standard errors.

    Attributes
    ----------
    outcome, terms
        Names; K terms. A term that is collinear with the effects or with earlier terms has NaN throughout.
    estimate, se
        Shape (K,). Of two clusters there is no standard error: it would be zero whatever the data.
    vcov
        Clustered covariance, shape (K, K).
    df
        Degrees of freedom of t and p; infinite for the normal distribution.
    constant, constant_se
        mean(y) - sum of slope x mean(x), the constant where the effects average to zero over the sample (Stata's
        xtreg, areg and reghdfe; plm's within_intercept), and its clustered standard error.
    n_obs, n_units, n_times
        n, N and T.
    n_clusters, clusters
        How many clusters there are, of two sets the smaller number; and the columns they are of.
    r2, r2_adjusted
        1 - RSS / TSS with TSS about the mean of y, effects included; adjusted by (n - 1) / residual degrees. Where rows
        have weights all means and sums of squares are weighted.
    r2_within, r2_within_adjusted
        The same about what the effects leave of y; adjusted by (n - rank of the effects) / residual degrees.
    rss
        Sum of squared residuals.
    convention
        What the standard errors and p-values follow.
    is_exact
        Whether residuals are no more than rounding: there are then no standard errors.
    is_tangled
        Whether the slope of the first term is one only because a term that goes with it was left out.
    effects
        What is absorbed, as fixest writes it.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> design = cb.make_design(cb.make_panel(frame, roles))
    >>> found = cb.twfe(design)
    >>> found.terms, found.n_units, round(found.r2_within, 2)
    (('price', 'wage'), 12, 0.73)
    """

    outcome: str
    terms: tuple[str, ...]
    estimate: Array
    se: Array
    vcov: Array
    df: float
    constant: float
    constant_se: float
    n_obs: int
    n_units: int
    n_times: int
    n_clusters: int
    r2: float
    r2_adjusted: float
    r2_within: float
    r2_within_adjusted: float
    rss: float
    convention: Convention
    is_exact: bool = False
    is_tangled: bool = False
    effects: str = "unit+time"
    clusters: tuple[str, ...] = ("unit",)

    @property
    def t(self) -> Array:
        """Estimate over standard error, shape (K,)."""
        return self.estimate / self.se

    @property
    def p(self) -> Array:
        """Two-sided p-values, shape (K,)."""
        return two_sided(self.t, self.df)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Terms that the sample cannot tell apart from the effects or from the terms before them."""
        return tuple(term for term, value in zip(self.terms, self.estimate, strict=True) if math.isnan(value))

    def interval(self, prob: float = CI_PROB) -> tuple[Array, Array]:
        """Return the ends of the confidence interval, each of shape (K,)."""
        half = self.se * t_isf((1 - prob) / 2, self.df)
        return self.estimate - half, self.estimate + half

    def frame(self, prob: float = CI_PROB) -> pd.DataFrame:
        """Return term, estimate, se, t, p, ci_low, ci_high: a row per term, and one for the constant."""
        low, high = self.interval(prob)
        slopes = pd.DataFrame(
            {
                "term": self.terms,
                "estimate": self.estimate,
                "se": self.se,
                "t": self.t,
                "p": self.p,
                "ci_low": low,
                "ci_high": high,
            }
        )
        t = self.constant / self.constant_se
        constant = pd.DataFrame(
            {
                "term": ["(constant)"],
                "estimate": [self.constant],
                "se": [self.constant_se],
                "t": [t],
                "p": two_sided(np.array([t]), self.df),
            }
        )
        return pd.concat([slopes, constant], ignore_index=True)

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        """Coefficients as the protocol of maketables (version 0.2) asks for them."""
        low, high = self.interval()
        columns = {"b": self.estimate, "se": self.se, "t": self.t, "p": self.p, "ci95l": low, "ci95u": high}
        return pd.DataFrame(columns, index=pd.Index(self.terms, name="Coefficient"))

    @property
    def __maketables_depvar__(self) -> str:
        return self.outcome

    @property
    def __maketables_fixef_string__(self) -> str:
        return self.effects

    @property
    def __maketables_vcov_info__(self) -> dict[str, str]:
        return {"vcov_type": f"CRV1 by {' and '.join(self.clusters)} ({self.convention.name})"}

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return ["N", "r2", "r2_within"]

    def __maketables_stat__(self, key: str) -> float | None:
        found = {"N": self.n_obs, "r2": self.r2, "adj_r2": self.r2_adjusted, "r2_within": self.r2_within}
        return found.get(key)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False, float_format="{:.4g}".format, na_rep=""))


def two_sided(t: Array, df: float | Array) -> Array:
    """Return two-sided p-values of t statistics, any shape; `df` infinite means the normal distribution."""
    return np.asarray(2 * t_sf(np.abs(t), df))


def without_singletons(design: Design) -> Design:
    """Leave out units and periods seen once, and those that thereby come to be seen once, as reghdfe does."""
    while True:
        sets = (design.effects.unit, design.effects.time, *design.effects.further)
        kept: NDArray[np.bool_] = np.all([np.bincount(codes)[codes] > 1 for codes in sets], axis=0)
        if kept.all():
            return design
        if not kept.any():
            raise InputError("every unit or every period has only one row, so that no slope can be estimated")
        design = design.rows(kept)


def sample(design: Design, ssc: Convention) -> Design:
    """Return the rows that a convention uses, or raise `InputError` where they cannot carry the regression."""
    used = without_singletons(design) if ssc.drop_singletons else design
    if len(used.units) < 2:
        raise InputError(f"clustered standard errors need two units or more; there is one, {used.units[0]}")
    return used


def _of_constant(used: Design, clusters: Clustering, roots: Roots, residual: Array, means: Sequence[float]) -> Roots:
    """Return the clustered variance of the constant, without factor: of mean(y) less that of the regressors' means.

    Residuals add up to nothing in each unit, so that mean(y) adds no term where units are nested in clusters.
    """
    found = [(sign, -np.array([means]) @ root) for sign, root in roots]
    if clusters.single is not None or not np.isfinite(found[0][1]).all():
        return found
    of_mean = clusters.roots((used.root * residual / (used.root**2).sum())[None])
    return [(sign, own + mean) for (sign, own), (_, mean) in zip(found, of_mean, strict=True)]


def _is_tangled(design: Design) -> bool:
    """Return whether the other regressors explain the first one, which would then be left out if it came last."""
    last = design.keeping((*design.terms[1:], design.terms[0]))
    kept = identified(last.x, last.effects.within(last.x), rounding=last.rounding_norms)
    varies = identified(last.x[:, -1:], last.effects.within(last.x[:, -1:]))
    return len(varies) == 1 and len(last.terms) - 1 not in kept


MANY = 50
"""Regressions from which on they are run directly where a table has so many."""


def _free(used: Design, kept: Sequence[int]) -> int:
    """Return the residual degrees of freedom; none of them raises `InputError`."""
    free = used.n_obs - len(kept) - used.effects.rank
    if free < 1:
        raise InputError(
            f"{used.n_obs} rows are too few for {len(kept)} regressors and {used.effects.rank} unit and time effects"
        )
    return free


def twfe(
    design: Design, terms: Sequence[str] | None = None, *, ssc: str | Convention = "reghdfe", directly: bool = False
) -> Regression:
    """Regress the outcome on the terms with unit and time effects; standard errors clustered as the design says.

    Parameters
    ----------
    design
        Rows and regressors.
    terms
        Regressors, default all of the design's.
    ssc
        A convention or its name; see `cbec_bayes.classical.conventions`.
    directly
        Whether by linear algebra of our own, which is many times faster where regressions are small and many.

    Returns
    -------
    Regression

    Raises
    ------
    InputError
        An unknown term; one unit only; no regressor is identified; no residual degrees of freedom.

    Notes
    -----
    pyfixest gives slopes, residuals and the CRV1 variance, and so does the direct way, which is held equal to it; the
    small-sample factor is always the convention's own.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> design = cb.make_design(cb.make_panel(frame, roles))
    >>> cb.twfe(design, ssc="reghdfe").frame()[["term", "estimate", "se"]].round(2)
             term  estimate    se
    0       price      0.77  0.09
    1        wage      0.34  0.07
    2  (constant)      0.55  0.02
    """
    ssc = convention(ssc) if isinstance(ssc, str) else ssc
    used = sample(design if terms is None else design.keeping(terms), ssc)
    kept = identified(used.x, used.effects.within(used.x), rounding=used.rounding_norms)
    if not kept:
        raise InputError(
            "unit and period effects explain every regressor, so that no slope can be estimated: "
            f"{', '.join(used.terms)}"
        )
    free = _free(used, kept)
    clusters = clustering(used)
    # pyfixest takes three sets of effects and more out in an order that depends on how Python hashes their names.
    slopes, roots, residual = (crv1_directly if directly or used.absorbed else crv1)(used, kept)
    n_terms = len(used.terms)
    estimate, se, vcov = (np.full(shape, np.nan) for shape in (n_terms, n_terms, (n_terms, n_terms)))
    at, rank = list(kept), used.effects.rank
    estimate[at] = slopes
    rounding = np.zeros(len(at)) if used.rounding_norms is None else used.rounding_norms[at]
    within = used.effects.within(used.y)
    exact = is_rounding(residual / used.root, used.y, slopes, rounding)
    if exact:  # what is left has the size of rounding, and so would standard errors
        roots = [(1.0, np.full((len(kept), 1), np.nan))]
        if is_rounding(within / used.root, used.y, slopes[:0], rounding[:0]):  # and so would slopes
            estimate[at] = slopes = np.zeros_like(slopes)
    elif len(used.units) == 2:  # two units' scores add up to nothing each: what is left is rounding, no variance
        roots = [(1.0, np.full((len(kept), 1), np.nan))]
    factor = ssc.factor(used.n_obs, len(kept), clusters.n_clusters, rank, nested=clusters.nested)
    vcov[np.ix_(at, at)] = factor * sum(sign * root @ root.T for sign, root in roots)
    se[at] = np.sqrt(factor) * errors_of(roots)
    rss = float(residual @ residual)
    mean, *means = np.average(np.column_stack([used.y, used.x[:, at]]), axis=0, weights=used.weight)
    tss = float((used.scaled(used.y - mean) ** 2).sum())
    tss_within = float(within @ within)
    # Shares of what does not vary are not defined.
    share = rss / tss if tss > 0 else math.nan
    share_within = rss / tss_within if tss_within > 0 and slopes.any() else math.nan
    return Regression(
        outcome=used.outcome,
        terms=used.terms,
        estimate=estimate,
        se=se,
        vcov=vcov,
        df=ssc.degrees(used.n_obs, len(kept), clusters.n_clusters, rank),
        constant=float(mean - means @ estimate[at]),
        constant_se=float(np.sqrt(factor) * errors_of(_of_constant(used, clusters, roots, residual, means))[0]),
        n_obs=used.n_obs,
        n_units=len(used.units),
        n_times=len(used.times),
        n_clusters=clusters.n_clusters,
        clusters=clusters.names,
        r2=1 - share,
        r2_adjusted=1 - share * (used.n_obs - 1) / free,
        r2_within=1 - share_within,
        r2_within_adjusted=1 - share_within * (used.n_obs - rank) / free,
        rss=rss,
        convention=ssc,
        is_exact=exact,
        is_tangled=len(kept) < len(used.terms) and _is_tangled(used),
        effects=used.effect_names,
    )
