"""Conventions of the programs that print clustered two-way tables, under names; nothing is left to a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cbec_bayes.runtime.errors import InputError, suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """How one program turns residuals into clustered standard errors and p-values.

    With n rows, K slopes, N units (the clusters) and T periods the clustered variance is multiplied by
    (n - 1) / (n - k), with k = K plus what `k_fixef` counts of the effects, and by N / (N - 1) where `g_adj`.

    Attributes
    ----------
    name
        ``"reghdfe"``, ``"fixest"``, ``"plm"``, ``"linearmodels"`` ...
    k_adj
        Numerator of the first factor; None leaves the factor out.
    g_adj
        Whether the second factor is used.
    k_fixef
        Effects counted in k: ``"none"``; ``"nonnested"``, those that are not nested in the clusters, and one for the
        constant (the period effects, T in all); ``"full"``, all of them (N + T - 1).
    df
        Reference of t and p: clusters less one, the residual degrees of freedom, or none (the normal distribution).
    drop_singletons
        Whether units seen once are left out first; it changes n and R2, never a slope.
    source
        Where it is documented.
    """

    name: str
    k_adj: Literal["n-1", "n"] | None
    g_adj: bool
    k_fixef: Literal["none", "nonnested", "full"]
    df: Literal["clusters", "residual", "normal"]
    drop_singletons: bool
    source: str

    def factor(
        self, n_obs: int, n_slopes: int, n_clusters: int, rank_effects: int, *, nested: tuple[int, int] | None = None
    ) -> float:
        """Return what the clustered variance is multiplied by.

        Parameters
        ----------
        n_obs, n_slopes, n_clusters
            n, K, and the number of clusters: N where these are the units. Of two sets of clusters it is the smaller
            number, as reghdfe and fixest have it.
        rank_effects
            Rank of the unit and time dummies: N + T - 1 where the panel is connected.
        nested
            How many effects are nested in clusters, and in how many sets; None for those of units that are the
            clusters. One of each set that is nested counts, for the constant.
        """
        levels, sets = nested or (n_clusters, 1)
        counted = {"none": 0, "nonnested": rank_effects - levels + sets, "full": rank_effects}[self.k_fixef]
        rows = {"n-1": n_obs - 1, "n": n_obs}
        k_factor = rows[self.k_adj] / (n_obs - n_slopes - counted) if self.k_adj else 1.0
        return k_factor * (n_clusters / (n_clusters - 1) if self.g_adj else 1.0)

    def degrees(self, n_obs: int, n_slopes: int, n_clusters: int, rank_effects: int) -> float:
        """Return the degrees of freedom of the t reference; infinite for the normal distribution."""
        return {
            "clusters": float(n_clusters - 1),
            "residual": float(n_obs - n_slopes - rank_effects),
            "normal": float("inf"),
        }[self.df]


CONVENTIONS: Mapping[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            name="reghdfe",
            k_adj="n-1",
            g_adj=True,
            k_fixef="nonnested",
            df="clusters",
            drop_singletons=True,
            source="Correia, reghdfe (Stata): effects nested in the clusters are not counted, units seen once dropped",
        ),
        Convention(
            name="fixest",
            k_adj="n-1",
            g_adj=True,
            k_fixef="nonnested",
            df="clusters",
            drop_singletons=False,
            source="Bergé, fixest (R): ssc(K.adj = TRUE, K.fixef = 'nonnested', G.adj = TRUE, G.df = 'min')",
        ),
        Convention(
            name="areg",
            k_adj="n-1",
            g_adj=True,
            k_fixef="full",
            df="clusters",
            drop_singletons=False,
            source="Stata areg, or regress with dummies, clustered; lm with sandwich::vcovCL (R): every effect counts",
        ),
        Convention(
            name="plm",
            k_adj=None,
            g_adj=False,
            k_fixef="none",
            df="residual",
            drop_singletons=False,
            source="Croissant and Millo, plm (R): vcovHC(method = 'arellano', type = 'HC0', cluster = 'group')",
        ),
        Convention(
            name="plm_sss",
            k_adj="n-1",
            g_adj=True,
            k_fixef="none",
            df="residual",
            drop_singletons=False,
            source="plm (R): vcovHC(type = 'sss'): the factors of Stata with the slopes alone counted",
        ),
        Convention(
            name="linearmodels",
            k_adj="n",
            g_adj=False,
            k_fixef="full",
            df="residual",
            drop_singletons=False,
            source="Sheppard, linearmodels (Python): PanelOLS(...).fit(cov_type='clustered', cluster_entity=True)",
        ),
    )
}


def convention(name: str) -> Convention:
    """Return a convention by name, or raise `InputError` with a suggestion."""
    if name not in CONVENTIONS:
        raise InputError(f"unknown convention '{name}'; {suggest(name, tuple(CONVENTIONS))}")
    return CONVENTIONS[name]
