"""The slopes of a fit and of its two limits as `compare` sets them beside each other: no more than its table shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit, draw_scales, fit, require_fittable
from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.refit import diagnose
from cbec_bayes.estimands.exposures import EXPOSURE, effects_of_exposures
from cbec_bayes.estimands.groups import effects
from cbec_bayes.estimands.mixed_slopes import mixed_slopes
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

DRAWS, CHAINS = 1_000, 4
"""Draws of the scales of a limit, and chains where it takes chains: those of every fit."""


def effects_by_exposure(found: PanelFit, ssc: str, first: pd.DataFrame | None = None) -> dict[str, pd.DataFrame]:
    """Return effects.csv of every exposure, by its name; `first` is that of the first one where it is known."""
    first = effects(found, ssc) if first is None else first
    every = effects_of_exposures(found, first, ssc)
    if every is None:
        return {found.design.terms[0]: first}
    return {name: every[every[EXPOSURE] == name] for name in found.design.exposures}


def limit_slopes(
    design: Design, model: PanelModel, ssc: str, *, seed: int, on_progress: OnProgress = ignore_progress
) -> Mapping[str, pd.DataFrame]:
    """Return the slopes of a limit by exposure: a row for each group and for the common slope.

    With one exposure they follow from draws of the scales, and no effects are drawn; several are tabulated of a fit.

    Parameters
    ----------
    design, model
        Rows and limit.
    ssc
        Convention of the clustered standard errors of a fit's tables.
    seed
        Seed of everything random.
    on_progress
        As in `cbec_bayes.bayes.fit.fit`.

    Raises
    ------
    InputError
        As `cbec_bayes.bayes.fit.fit`.
    GateError
        The posterior has no mode, or the draws miss a gate.
    """
    if len(design.exposures) > 1:
        whole = fit(design, model, seed=seed, on_progress=on_progress)
        whole.diagnostics.require()
        return effects_by_exposure(whole, ssc)
    blocks = blocks_for(design, model)
    require_fittable(blocks)
    collapsed = collapsed_of(blocks)
    drawn = draw_scales(collapsed, draws=DRAWS, chains=CHAINS, seed=seed, on_progress=on_progress)
    measured = diagnose(drawn)
    if measured.failures:
        raise GateError(f"the sampler did not converge: {'; '.join(measured.failures)}")
    points = drawn.points.reshape(DRAWS * CHAINS, -1)
    ess = float(len(points)) if measured.ess is None else min(measured.ess, float(len(points)))
    slopes = mixed_slopes(blocks, collapsed, points, ess, average=False).slopes
    rows = [{"group": name, **asdict(own.summary())} for name, own in slopes.items()]
    return {design.terms[0]: pd.DataFrame(rows)}
