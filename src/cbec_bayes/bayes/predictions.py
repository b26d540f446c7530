"""Groups of a posterior's file that ArviZ draws predictions and priors from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cbec_bayes.bayes.before_data import before_data
from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.observations import located, with_groups
from cbec_bayes.bayes.posterior import densities_of_rows
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.panel.within import Array

PER_CHAIN = 250
"""Replicated outcomes per chain, at most: enough for every plot, and a quarter of the size of the posterior."""

NUMBERS_MAX = 4_000_000
"""Numbers of a group, at most: 32 megabytes."""

FEWEST = 100
"""Draws in all below which there is no such group: nothing could be told from them."""


def with_densities(found: PanelFit) -> PanelFit:
    """Add the log density of every row given all others to the tree of a fit that was made without.

    Parameters
    ----------
    found
        A fitted model, of either engine.

    Returns
    -------
    PanelFit
        The same fit, whose ``tree`` has the group ``log_likelihood``, which ArviZ's leave-one-out and model comparison
        read; the fit as it is where it has one, or where there are no rows, or too many.
    """
    if found.collapsed is None or "log_likelihood" in found.tree.children:
        return found
    densities = densities_of_rows(found.blocks, found.collapsed, found.tree["posterior"].to_dataset())
    if densities is None:
        return found
    tree = found.tree.copy()
    with_groups(tree, {"log_likelihood": densities})
    return replace(found, tree=tree)


def with_predictions(found: PanelFit, seed: int = 1) -> PanelFit:
    """Add replicated outcomes, and draws from the priors, to the tree of a fit, as ArviZ expects them.

    Parameters
    ----------
    found
        A fitted model, of either engine.
    seed
        Seed of everything random.

    Returns
    -------
    PanelFit
        The same fit, whose ``tree`` has three more groups. ``posterior_predictive`` and ``prior_predictive`` hold
        replicated outcomes under the name of the outcome, dimensions (chain, draw, obs), with the unit and the time of
        every row. ``prior`` holds draws of all parameters that have a proper prior. Flat priors cannot be drawn from:
        in ``prior_predictive`` parameters with one are held at their posterior means, as its attribute says.

    Notes
    -----
    ``arviz_plots.plot_prior_posterior`` has a dimension ``group`` of its own: give it a tree of the variables that have
    none, such as ``tau``.

    A fit to moments has no rows to predict, and a large panel no room for them (`NUMBERS_MAX`): the fit is then
    returned as it is.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> panel = cb.load_study_panel("public")
    >>> found = cb.with_predictions(cb.fit(cb.make_design(panel), "partial_pooling"))
    >>> dict(found.tree["posterior_predictive"].sizes)
    {'chain': 4, 'draw': 250, 'obs': 210}
    """
    posterior = found.tree["posterior"].dataset
    if found.design.counted is not None or "unit_effect" not in posterior:
        return found
    chains = posterior.sizes["chain"]
    per_chain = min(PER_CHAIN, posterior.sizes["draw"], NUMBERS_MAX // (chains * found.design.n_obs))
    if chains * per_chain < FEWEST:
        return found
    total = chains * per_chain
    after = predictive_outcomes(found, draws=total, seed=seed)
    earlier = before_data(found, total, seed)
    before = predictive_outcomes(earlier, own_levels=False, draws=total, seed=seed)
    tree = found.tree.copy()
    node = type(tree)
    tree["posterior_predictive"] = node(_outcomes(found, after, chains))
    tree["prior"] = node(_proper(found, earlier.tree["posterior"].to_dataset()))
    held = "Parameters with flat priors are held at their posterior means: flat priors have no draws."
    tree["prior_predictive"] = node(_outcomes(found, before, 1).assign_attrs(comment=held))
    return replace(found, tree=tree)


def _outcomes(found: PanelFit, outcomes: Array, chains: int) -> Any:
    """Return outcomes, shape (S, n), as a dataset; draws evenly from chains of one length are in the order of these."""
    import xarray as xr

    design = found.design
    values = outcomes.reshape(chains, -1, design.n_obs)
    coords = {name: np.arange(size) for name, size in zip(("chain", "draw", "obs"), values.shape, strict=True)}
    return located(xr.Dataset({design.outcome: (("chain", "draw", "obs"), values)}, coords), design)


def _proper(found: PanelFit, drawn: Any) -> Any:
    """Return those variables of draws from the priors that vary: flat ones are held at one value."""
    return drawn[[name for name, own in drawn.items() if np.ptp(own.to_numpy(), axis=1).any()]]
