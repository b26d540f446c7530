"""A posterior with effects of every unit, for checks that replicate outcomes: of large panels it is drawn once more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.posterior import POINTWISE_MAX, store
from cbec_bayes.bayes.sampling.importance import Draws
from cbec_bayes.estimands.mixed_slopes import log_scales

LEAST = 100
"""Replications without which a tail says nothing."""

TOO_LARGE = (
    f"This check needs at least {LEAST} replicated outcomes, and these do not fit into memory for panels of more than "
    f"{POINTWISE_MAX // LEAST:,} rows."
)


def room(found: PanelFit, at_most: int) -> int:
    """Return how often a panel's outcome fits into memory, up to `at_most`."""
    return min(at_most, POINTWISE_MAX // max(found.design.n_obs, len(found.design.units)))


def replicable(found: PanelFit, *, seed: int = 1) -> PanelFit | None:
    """Return a fit whose posterior has effects of every unit, or None where `LEAST` draws do not fit into memory.

    Parameters
    ----------
    found
        A fit, which is returned as it is where its posterior has them. Otherwise every coefficient is drawn again,
        given the scales of as many of its draws as there is room for, evenly from all.
    seed
        Seed of these draws.
    """
    posterior = found.tree["posterior"].dataset
    if "unit_effect" in posterior:
        return found
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    draws = room(found, total)
    if draws < LEAST or found.collapsed is None or found.design.counted is not None:
        return None
    points = log_scales(found, at_most=None)
    at = np.linspace(0, len(points) - 1, draws).round().astype(int)  # the same one, where every scale is held
    drawn = Draws(
        points=points[at][None],
        method="importance",
        khat=found.khat,
        ess=float("nan"),
        proposals=draws,
        divergences=0,
        ebfmi=float("nan"),
    )
    return replace(found, tree=store(found.blocks, found.collapsed, drawn, seed=seed, attrs=found.tree.attrs))
