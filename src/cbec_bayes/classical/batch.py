"""Many outcomes at once: every cell of a regression column for thousands of replicated y in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from cbec_bayes.classical.clustering import Clustering, clustering
from cbec_bayes.classical.conventions import Convention, convention
from cbec_bayes.classical.regression import sample, two_sided
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes, TwoWay, sums_by
from cbec_bayes.runtime.errors import InputError

_CHUNK = 2**22  # numbers held per block of outcomes, times a handful of temporaries


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFit:
    """What a regression gives for S outcomes; NaN for terms that are not identified.

    Attributes
    ----------
    estimate, se, t
        Shape (S, K).
    constant, constant_se
        As in `Regression`, shape (S,).
    r2, r2_within
        As in `Regression`, shape (S,).
    df
        Degrees of freedom of t.
    """

    estimate: Array
    se: Array
    constant: Array
    constant_se: Array
    r2: Array
    r2_within: Array
    df: float

    @property
    def t(self) -> Array:
        """Estimate over standard error, shape (S, K)."""
        with np.errstate(divide="ignore", invalid="ignore"):  # nor has its slope of zero an error
            return np.asarray(self.estimate / self.se)

    @property
    def p(self) -> Array:
        """Two-sided p-values, shape (S, K)."""
        return two_sided(self.t, self.df)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRegression:
    """A regression whose regressors are known and whose outcome is yet to come.

    Slopes, residuals and each cluster's scores are linear in y; what does not depend on y is computed once.

    Attributes
    ----------
    terms
        The K terms.
    rows
        Which rows of the panel it uses, positions, shape (m,).
    kept
        Positions of the identified terms, k of them.
    effects
        Projection off the effects of these rows.
    within
        Regressors less effects, shape (m, k).
    solve
        (X'X)^-1 X' of `within`, shape (k, m).
    means
        Means of the identified regressors, weighted where rows have weights, shape (k,).
    factor, df
        Small-sample factor and degrees of freedom of the convention.
    clusters
        Clusters of the rows.
    """

    terms: tuple[str, ...]
    rows: np.ndarray[tuple[int], np.dtype[np.intp]]
    kept: tuple[int, ...]
    effects: TwoWay
    within: Array
    solve: Array
    means: Array
    factor: float
    df: float
    clusters: Clustering

    def fit(self, outcomes: Array) -> BatchFit:
        """Run the regression for many outcomes.

        Parameters
        ----------
        outcomes
            Shape (S, n): S outcomes on all n rows of the panel that the design was made from.

        Returns
        -------
        BatchFit
        """
        n_outcomes, n_terms = len(outcomes), len(self.terms)
        estimate, se = np.full((2, n_outcomes, n_terms), np.nan)
        constant, constant_se, r2, r2_within = np.empty((4, n_outcomes))
        at, k = list(self.kept), len(self.kept)
        scores = [(sign, codes, self._score_map(codes)) for sign, codes in self.clusters.parts]
        root = self.effects.root
        step = max(1, _CHUNK // len(self.rows))
        for start in range(0, n_outcomes, step):
            block = slice(start, start + step)
            y = np.ascontiguousarray(outcomes[block][:, self.rows].T)
            mean = np.average(y, axis=0, weights=self.effects.weight)
            left = self.effects.within(y)
            slopes = self.solve @ left
            tss_within = np.einsum("ms,ms->s", left, left)
            left -= self.within @ slopes
            rss = np.einsum("ms,ms->s", left, left)
            y = root[:, None] * (y - mean)
            estimate[block, at] = slopes.T
            constant[block] = mean - self.means @ slopes
            own, of_mean = np.zeros((y.shape[1], k)), np.zeros(y.shape[1])
            for sign, codes, one in scores:
                by_cluster = (one @ left).reshape(k, -1, y.shape[1])
                own += sign * np.einsum("kgs,kgs->sk", by_cluster, by_cluster)
                mean_score = np.einsum("k,kgs->gs", self.means, by_cluster)
                if self.clusters.single is None:  # elsewhere residuals add up to nothing in each cluster
                    mean_score = mean_score - sums_by(codes, root[:, None] * left, len(mean_score)) / (root @ root)
                of_mean += sign * np.einsum("gs,gs->s", mean_score, mean_score)
            with np.errstate(invalid="ignore"):  # of two sets of clusters a variance may be negative, and is none
                se[block, at], constant_se[block] = np.sqrt(self.factor * own), np.sqrt(self.factor * of_mean)
            with np.errstate(divide="ignore", invalid="ignore"):  # an outcome that does not vary has no share explained
                r2[block] = 1 - rss / np.einsum("ms,ms->s", y, y)
                r2_within[block] = 1 - rss / tss_within
        return BatchFit(
            estimate=estimate, se=se, constant=constant, constant_se=constant_se, r2=r2, r2_within=r2_within, df=self.df
        )

    def _score_map(self, codes: Codes) -> sparse.csr_array:
        """Return the map from residuals to the k scores of each cluster, shape (k G, m): sum of `solve` x residual."""
        k, m = self.solve.shape
        n = int(codes.max()) + 1
        at = (np.arange(k)[:, None] * n + codes).ravel()
        columns = np.tile(np.arange(m), k)
        return sparse.csr_array((self.solve.ravel(), (at, columns)), shape=(k * n, m))


def prepare(
    design: Design, terms: Sequence[str] | None = None, *, group: str | None = None, ssc: str | Convention = "reghdfe"
) -> PreparedRegression:
    """Prepare a regression of outcomes yet to come on terms of a design, on all rows or those of one group.

    Raises
    ------
    InputError
        As `cbec_bayes.classical.regression.twfe`.
    """
    ssc = convention(ssc) if isinstance(ssc, str) else ssc
    chosen = design if terms is None else design.keeping(terms)
    numbered = _with_positions(chosen)
    part = numbered if group is None else numbered.of_group(group)
    used = sample(part, ssc)
    rows = used.y.astype(np.intp)
    within = used.effects.within(used.x)
    kept = identified(used.x, within, rounding=used.rounding_norms)
    if not kept:
        raise InputError(
            "unit and period effects explain every regressor, so that no slope can be estimated: "
            f"{', '.join(used.terms)}"
        )
    n_obs, rank, clusters = used.n_obs, used.effects.rank, clustering(used)
    n_clusters = clusters.n_clusters
    if n_obs - len(kept) - rank < 1:
        raise InputError(f"{n_obs} rows are too few for {len(kept)} regressors and {rank} unit and time effects")
    x = within[:, list(kept)]
    # By QR rather than by X'X, whose condition number is the square: controls differ by many orders of magnitude.
    q, r = np.linalg.qr(x)
    return PreparedRegression(
        terms=chosen.terms,
        rows=rows,
        kept=kept,
        effects=used.effects,
        within=x,
        solve=np.linalg.solve(r, q.T),
        means=np.average(used.x[:, list(kept)], axis=0, weights=used.weight),
        factor=ssc.factor(n_obs, len(kept), n_clusters, rank, nested=clusters.nested),
        df=ssc.degrees(n_obs, len(kept), n_clusters, rank),
        clusters=clusters,
    )


def _with_positions(design: Design) -> Design:
    """Return the design with row numbers for an outcome, so that any subset of it knows where its rows are."""
    return replace(design, y=np.arange(design.n_obs, dtype=float))
