"""Effects by time since adoption under the hierarchical event study, with their Monte Carlo errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.events.fit import EventFit
from cbec_bayes.estimands.jackknife import sds_over_units
from cbec_bayes.estimands.summary import Mixed, Summary, summarise_draws
from cbec_bayes.panel.adoption import Cells
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL

OF_JACKKNIFE = 250
"""Draws of the scales that standard deviations over units are taken from: each costs as much as ten of the density."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventEffect:
    """A mean effect of adoption over rows.

    Attributes
    ----------
    event_time
        Periods since adoption, negative for placebo effects before it; None for all treated rows.
    group
        Whose rows.
    summary
        Summary of its posterior.
    sd_ij
        Standard deviation that holds where errors are not as the model has them; see
        `cbec_bayes.estimands.jackknife`.
    """

    event_time: int | None
    group: str
    summary: Summary
    sd_ij: float


@dataclass(frozen=True, slots=True)
class EventEffects:
    """Mean effects by event time, and posterior means and standard deviations of the effects of cells, shape (m,)."""

    effects: tuple[EventEffect, ...]
    cell_mean: Array
    cell_sd: Array


def event_effects(fit: EventFit, cells: Cells, *, prob: float = CI_PROB) -> EventEffects:
    """Return the mean effect at every event time, and over all treated rows, of all units and then of each group.

    Parameters
    ----------
    fit
        The fitted model.
    cells
        Whose effects are asked for beside.
    prob
        Probability of the intervals.

    Notes
    -----
    Leads, which are placebo effects, are of all units alone: groups have no steps of their own before adoption.
    """
    adoption = fit.adoption
    design, groups = fit.columns.blocks.design, fit.columns.blocks.design.groups
    keys: list[tuple[int | None, str]] = [(e, GROUP_ALL) for e in (*adoption.leads, *adoption.lags)]
    keys.append((None, GROUP_ALL))
    keys += [(e, group) for group in groups for e in (*adoption.lags, None)]
    found = []
    for event_time, group in keys:
        rows = adoption.treated if event_time is None else adoption.has_cohort & (adoption.event_time == event_time)
        found.append(rows if group == GROUP_ALL else rows & (design.group == groups.index(group)))
    there = [k for k, rows in enumerate(found) if rows.any()]
    weights = np.stack([found[k] / found[k].sum() for k in there])
    mean, sd = fit.effects(np.vstack([weights, (cells.columns / cells.rows).T]))
    points = fit.thinned[:: max(1, len(fit.thinned) // OF_JACKKNIFE)]
    sds = sds_over_units(fit.columns.blocks, fit.collapsed, points, fit.columns.loadings(weights))
    ess = min(fit.ess, float(len(mean)))
    effects = tuple(
        EventEffect(
            event_time=keys[k][0],
            group=keys[k][1],
            summary=Mixed(mean[:, i], sd[:, i], ess).summary(prob),
            sd_ij=float(sds[i]),
        )
        for i, k in enumerate(there)
    )
    own, own_sd = mean[:, len(there) :], sd[:, len(there) :]
    return EventEffects(effects, own.mean(axis=0), np.sqrt((own_sd**2).mean(axis=0) + own.var(axis=0)))


def step_scales(fit: EventFit, *, prob: float = CI_PROB) -> dict[str, Summary]:
    """Return the posterior of every scale that is sampled, and of the correlation of errors, by name."""
    drawn = fit.scales()
    return {name: summarise_draws(drawn[name], prob, ess=fit.ess) for name in fit.collapsed.names}
