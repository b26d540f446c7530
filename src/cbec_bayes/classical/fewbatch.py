"""Inference from few clusters for many outcomes at once: CRV3, CR2 and the wild bootstrap, regressors being known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from cbec_bayes.classical.batch import PreparedRegression, prepare
from cbec_bayes.classical.conventions import Convention
from cbec_bayes.classical.linearised import NOTHING, SINGULAR, bias_reduced, off_units, period_columns, span, sum_by
from cbec_bayes.classical.regression import two_sided
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.labels import CI_PROB

WEBB_UP_TO = 12
"""Up to this many clusters, or while there are fewer signs than draws, weights are Webb's six points."""

TIE = 1e-9
"""Draws with the same weight for all clusters have the sample's own |t|, up to rounding: they are not beyond it."""

_CHUNK = 2**22  # numbers held per block of outcomes, times a handful of temporaries

# The ends of an interval, in standard errors: first step from the estimate, its growth, where to give up, tolerance.
_FIRST, _GROWTH, _FAR, _FINE = 0.25, 1.5, 1e6, 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class FewFit:
    """What a regression gives for S outcomes under three standard errors; NaN for terms that are not identified.

    Attributes
    ----------
    estimate, crv1_se, df
        As in `BatchFit`: shape (S, K), with the convention's factor and degrees of freedom.
    crv3_se, crv3_df
        Leave-one-cluster-out jackknife, shape (S, K), as in `FewClusters`; its degrees of freedom are N - 1.
    cr2_se, cr2_df
        Bias-reduced linearisation, shapes (S, K) and (K,): it has no small-sample factor, and Satterthwaite degrees of
        freedom that depend on the regressors alone. A cluster that has a direction of the regressors to itself adds
        nothing for it, which makes CR2 too small; NaN where nothing is left, as with two clusters.
    """

    estimate: Array
    crv1_se: Array
    df: float
    crv3_se: Array
    crv3_df: float
    cr2_se: Array
    cr2_df: Array

    @property
    def crv3_p(self) -> Array:
        """Two-sided p-values by CRV3, shape (S, K)."""
        return two_sided(self.estimate / self.crv3_se, self.crv3_df)

    @property
    def cr2_p(self) -> Array:
        """Two-sided p-values by CR2, shape (S, K)."""
        return two_sided(self.estimate / self.cr2_se, self.cr2_df)


@dataclass(frozen=True, slots=True)
class PreparedFew:
    """A regression with few clusters whose regressors are known and whose outcome is yet to come.

    Attributes
    ----------
    regression
        Its rows, kept terms and slopes; m rows, k identified of K terms, N clusters, in which units are nested.
    basis
        Orthonormal columns of the regressors and period effects less unit means, shape (m, r): H = basis basis'.
    jackknife
        What residuals are multiplied by and added up within a unit to move the slopes as its leaving does, shape
        (k, m); NaN where leaving out a unit leaves a slope unidentified.
    reduced
        The same for the bias-reduced scores of CR2, shape (k, m).
    cr2_df
        Satterthwaite degrees of freedom, shape (k,).
    """

    regression: PreparedRegression
    basis: Array
    jackknife: Array
    reduced: Array
    cr2_df: Array

    def fit(self, outcomes: Array) -> FewFit:
        """Run the regression for many outcomes under CRV1, CRV3 and CR2.

        Parameters
        ----------
        outcomes
            Shape (S, n): S outcomes on all n rows of the panel that the design was made from.

        Returns
        -------
        FewFit
        """
        base, n_clusters = self.regression.fit(outcomes), self.regression.clusters.n_clusters
        at = list(self.regression.kept)
        crv3, cr2 = np.full((2, *base.estimate.shape), np.nan)
        df = np.full(len(self.regression.terms), np.nan)
        df[at] = self.cr2_df
        for block, residual, _ in self._blocks(outcomes, len(self.regression.rows)):
            for into, weights in ((crv3, self.jackknife), (cr2, self.reduced)):
                sums = self._sums(weights, residual)
                into[block, at] = np.sqrt(np.einsum("kgs,kgs->sk", sums, sums))
        crv3 *= np.sqrt((n_clusters - 1) / n_clusters)
        return FewFit(
            estimate=base.estimate,
            crv1_se=base.se,
            df=base.df,
            crv3_se=crv3,
            crv3_df=n_clusters - 1.0,
            cr2_se=cr2,
            cr2_df=df,
        )

    def wild_p(self, outcomes: Array, k: int, value: float | Array, replications: int, seed: int) -> Array:
        """Test a slope by the wild cluster restricted bootstrap-t.

        Parameters
        ----------
        outcomes
            As for `fit`.
        k
            Position of the term.
        value
            The slope under the hypothesis, one for all outcomes or one for each, shape (S,).
        replications, seed
            Number and seed of the draws of weights, which all outcomes share.

        Returns
        -------
        ndarray
            p-values, shape (S,): the share of draws with |t| beyond the sample's. NaN where the term is not identified
            or its clustered variance is nothing but rounding, as with two clusters.

        Raises
        ------
        IndexError
            There is no such term.

        Notes
        -----
        WCR of MacKinnon, Nielsen and Webb (2023), "Fast and reliable jackknife and bootstrap methods for
        cluster-robust inference", Journal of Applied Econometrics 38: restricted residuals, studentised by CRV1, whose
        factor cancels ("11" in wildboottest). Weights as in `few_clusters`; the same seed gives the same draws.
        """
        values = np.broadcast_to(np.asarray(value, dtype=float), len(outcomes))
        p = np.full(len(outcomes), np.nan)
        with threadpool_limits(limits=1):  # the matrices are small: threads would cost more than they bring
            for block, estimate, curves in self._curves(outcomes, k, replications, seed):
                p[block] = np.where(curves.scale > 0, curves.p(estimate - values[block]), np.nan)
        return p

    def wild_interval(self, outcomes: Array, k: int, replications: int, seed: int, prob: float = CI_PROB) -> Array:
        """Return the confidence interval that inverts `wild_p`.

        Parameters
        ----------
        outcomes, k, replications, seed
            As for `wild_p`.
        prob
            Confidence level.

        Returns
        -------
        ndarray
            Lower and upper ends, shape (S, 2): where, going away from the estimate, the p-value first falls below
            1 - `prob`, to a ten-thousandth of the clustered standard error. It is looked for a quarter of that away,
            and ever half as far again; infinite where it has not fallen a million standard errors out. NaN as for
            `wild_p`.

        Raises
        ------
        IndexError
            There is no such term.
        """
        ends = np.full((len(outcomes), 2), np.nan)
        with threadpool_limits(limits=1):
            for block, estimate, curves in self._curves(outcomes, k, replications, seed):
                ends[block] = estimate[:, None] + np.column_stack([-curves.reach(1, prob), curves.reach(-1, prob)])
        return ends

    def _blocks(self, outcomes: Array, size: int) -> Iterator[tuple[slice, Array, Array]]:
        """Yield outcomes by blocks, one weighing `size` numbers: which, their residuals (m, s), their slopes (k, s)."""
        of = self.regression
        step = max(1, _CHUNK // size)
        for start in range(0, len(outcomes), step):
            block = slice(start, start + step)
            left = of.effects.within(np.ascontiguousarray(outcomes[block][:, of.rows].T))
            slopes = of.solve @ left
            yield block, left - of.within @ slopes, slopes

    def _sums(self, weights: Array, values: Array) -> Array:
        """Return the sums within clusters of weights (k, m) times columns (m, s), shape (k, N, s)."""
        codes = self.regression.clusters.require_single()
        return np.stack([sum_by(codes, row[:, None] * values) for row in weights])

    def _curves(
        self, outcomes: Array, k: int, replications: int, seed: int
    ) -> Iterator[tuple[slice, Array, _BootstrapCurves]]:
        """Yield blocks of outcomes with a slope's estimates, shape (s,), and its bootstrap; none if not identified."""
        of = self.regression
        term = range(len(of.terms))[k]
        if term not in of.kept:
            return
        at, n_clusters, codes = of.kept.index(term), of.clusters.n_clusters, of.clusters.require_single()
        v = draw_weights(n_clusters, replications, seed)
        a = of.solve[at]
        # The restricted residual is that of the full regression plus d a / a'a, d = estimate less hypothesised value.
        # With c_g the score of cluster g and F, K_d the sums of basis times a and times that residual, draw v has
        # the numerator c_d'v and the cluster scores (diag(c_d) - F K_d') v. All three are linear in d.
        f = sum_by(codes, a[:, None] * self.basis)
        share = sum_by(codes, a[:, None] ** 2)[:, 0] / (a @ a)
        slope = (np.diag(share) - f @ f.T / (a @ a)) @ v
        # Draws without a slope, those with the same weight for all clusters, must tie however far the hypothesis is.
        slope[:, (slope**2).sum(axis=0) <= NOTHING * (v**2).sum(axis=0)] = 0.0
        for block, residual, slopes in self._blocks(outcomes, max(len(a), n_clusters * replications)):
            score = self._sums(a[None], residual)[0]
            scale = np.sqrt(np.einsum("gs,gs->s", score, score))
            of_rounding = scale**2 <= NOTHING * (a @ a) * np.einsum("ms,ms->s", residual, residual)
            scale[of_rounding] = np.nan
            score = score / scale
            start = -np.einsum("gr,rhs->sgh", f, self._sums(self.basis.T, residual / scale))
            start[:, range(n_clusters), range(n_clusters)] += score.T
            moved = start @ v
            yield (
                block,
                slopes[at],
                _BootstrapCurves(
                    scale=scale,
                    n0=score.T @ v,
                    n1=share @ v,
                    q0=np.einsum("sgb,sgb->sb", moved, moved),
                    q1=np.einsum("sgb,gb->sb", moved, slope),
                    q2=np.einsum("gb,gb->b", slope, slope),
                ),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _BootstrapCurves:
    """Every draw's t as a function of d, the estimate less the hypothesised value, in units of `scale`.

    Numerator n0 + d n1, squared denominator q0 + 2 d q1 + d^2 q2, with n0, q0, q1 of shape (s, B) and n1, q2 of (B,);
    `scale`, shape (s,), is the clustered standard error without factor, NaN where it is nothing but rounding.
    """

    scale: Array
    n0: Array
    n1: Array
    q0: Array
    q1: Array
    q2: Array

    def p(self, distance: Array) -> Array:
        """Return the share of draws beyond the sample's t at distances from the estimate, shape (s,)."""
        d = (distance / self.scale)[:, None]
        numerator = self.n0 + d * self.n1
        squared = np.maximum(self.q0 + d * (2 * self.q1 + d * self.q2), 0.0)
        return np.asarray((numerator**2 > (d * (1 + TIE)) ** 2 * squared).mean(axis=1))

    def reach(self, sign: int, prob: float) -> Array:
        """Return how far from the estimate, to one side, p falls below 1 - `prob`, shape (s,)."""
        level = (1 - prob) * (1 - TIE)  # 1 - 0.95 is more than 0.05, and p may be just that
        inner, outer = np.zeros_like(self.scale), _FIRST * self.scale
        while True:
            inside = self.p(sign * outer) >= level
            further = inside & (outer < _FAR * self.scale)
            if not further.any():
                break
            inner, outer = np.where(further, outer, inner), np.where(further, _GROWTH * outer, outer)
        # An outcome that is done stays as it is, so that its end does not depend on what it was computed with.
        while (wide := ~inside & (outer - inner > _FINE * self.scale)).any():
            middle = (inner + outer) / 2
            beyond = self.p(sign * middle) < level
            inner, outer = np.where(wide & ~beyond, middle, inner), np.where(wide & beyond, middle, outer)
        return np.where(inside, np.inf, (inner + outer) / 2)


def prepare_few(
    design: Design, terms: Sequence[str] | None = None, *, group: str | None = None, ssc: str | Convention = "reghdfe"
) -> PreparedFew:
    """Prepare inference from few clusters for outcomes yet to come, on all rows of a design or those of one group.

    Parameters
    ----------
    design, terms, group, ssc
        As for `cbec_bayes.classical.batch.prepare`; the convention gives rows, and the factor of CRV1.

    Raises
    ------
    InputError
        As `cbec_bayes.classical.regression.twfe`.

    Notes
    -----
    CR2: Bell and McCaffrey (2002), "Bias reduction in standard errors for linear regression with multi-stage samples",
    Survey Methodology 28; Pustejovsky and Tipton (2018), "Small-sample methods for cluster-robust variance estimation
    and hypothesis testing in fixed effects models", Journal of Business & Economic Statistics 36. The working model is
    the identity on rows times the roots of their weights, that is to say errors of variance sigma^2 / w, and
    (I - H_gg)^(-1/2) the symmetric pseudo-inverse. Unit means are taken out and period dummies stay among the
    regressors: units are nested in the clusters, and effects nested in these change nothing (their section 3), while H
    must have the period effects. CRV3: MacKinnon, Nielsen and Webb (2023); see `few_clusters`.
    """
    regression = prepare(design, terms, group=group, ssc=ssc)
    x, codes = regression.within, regression.clusters.require_single()
    raw = (design if terms is None else design.keeping(terms)).x[regression.rows][:, list(regression.kept)]
    periods = period_columns(regression.effects)
    basis = span(x, periods)
    reduced, df = bias_reduced(regression.solve, basis, codes)
    size = np.linalg.norm(off_units(regression.effects, raw - raw.mean(axis=0)), axis=0)
    return PreparedFew(regression, basis, _jackknife(x, periods, codes, size), reduced, df)


def weights_for(n_clusters: int, replications: int) -> str:
    """Return the distribution of the wild bootstrap's weights: ``"webb"`` or ``"rademacher"``."""
    return "webb" if n_clusters <= WEBB_UP_TO or 2**n_clusters <= replications else "rademacher"


def draw_weights(n_clusters: int, replications: int, seed: int) -> Array:
    """Return weights of the wild bootstrap, shape (N, B): the numbers that wildboottest draws from the same seed."""
    half = np.sqrt([0.5, 1.0, 1.5]) if weights_for(n_clusters, replications) == "webb" else np.ones(1)
    points = np.concatenate([-half[::-1], half])
    return np.random.default_rng(seed).choice(points, size=n_clusters * replications).reshape(n_clusters, replications)


def _jackknife(x: Array, periods: Array, unit: Codes, size: Array) -> Array:
    """Return (Z'Z - Z_g'Z_g)^+ Z_g' of every unit g, rows of the slopes, shape (k, m); Z is x beside the periods.

    Times the full regression's residuals it is what leaving a unit out takes from the slopes. `size`, shape (k,), is
    the norm of the regressors less unit means, against which a slope is identified or not.
    """
    moves = np.full(x.T.shape, np.nan)
    whole = periods.T @ periods
    for g in range(int(unit.max()) + 1):
        own = unit == g
        mine = periods[own]
        # x is orthogonal to the periods over all units, so what the others have of them is minus the unit's own.
        effects = np.linalg.pinv(whole - mine.T @ mine, rcond=SINGULAR, hermitian=True) @ (mine.T @ x[own])
        alone = (x + periods @ effects) / size
        _, singular, v = np.linalg.svd(alone[~own], full_matrices=False)
        if len(singular) < len(size) or singular[-1] ** 2 < SINGULAR:
            return np.full_like(moves, np.nan)
        moves[:, own] = ((v.T / singular**2) @ v @ alone[own].T) / size[:, None]
    return moves
