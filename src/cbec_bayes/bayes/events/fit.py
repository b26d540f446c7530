"""Draws of the scales of the hierarchical event study, and mean effects as mixtures of normals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.events.model import PLACEBO, EventBlocks, event_blocks
from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.sampling.evidence import Evidence
from cbec_bayes.bayes.sampling.gates import RefitDiagnostics, chain_diagnostics
from cbec_bayes.bayes.sampling.importance import PILOT, Draws
from cbec_bayes.panel.adoption import Adoption
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

DRAWS = 2_000
"""Draws of the scales, where no other number is asked for."""

OF_EFFECTS = 1_000
"""Draws of the scales, of these, that effects are averaged over: given the scales they are known exactly."""

_CHAINS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFit:
    """The hierarchical event study fitted to a panel.

    Attributes
    ----------
    adoption
        The rows.
    columns
        Columns of the model, with its priors.
    collapsed
        The density of the scales.
    points
        Draws of their coordinates, shape (S, k).
    ess
        Effective size of all draws together.
    diagnostics
        How well they were sampled; the gates are not yet enforced.
    evidence
        Integral of the density.
    """

    adoption: Adoption
    columns: EventBlocks
    collapsed: Collapsed
    points: Array
    ess: float
    diagnostics: RefitDiagnostics
    evidence: Evidence

    def scales(self) -> dict[str, Array]:
        """Return the draws of every scale, and of the correlation of errors, each of shape (S,)."""
        return self.collapsed.scales(self.points)

    @property
    def thinned(self) -> Array:
        """Draws that effects are averaged over, shape (S', k)."""
        n = min(OF_EFFECTS, len(self.points))
        return self.points[np.linspace(0, len(self.points) - 1, n).astype(np.intp)]

    def effects(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and sd, given each of the thinned draws of the scales, of mean effects over rows.

        Parameters
        ----------
        rows
            Weights of rows, shape (m, n).

        Returns
        -------
        mean, sd
            Shape (S', m) each.
        """
        mean, variance = self.collapsed.linear(self.thinned, self.columns.loadings(rows))
        return mean, np.sqrt(variance)


def fit_events(
    adoption: Adoption,
    errors: str = "ar1",
    *,
    prior_scale: float = 1.0,
    draws: int = DRAWS,
    seed: int = 1,
    pilot: int = PILOT,
    on_progress: OnProgress = ignore_progress,
) -> EventFit:
    """Fit the hierarchical event study.

    Parameters
    ----------
    adoption
        The rows.
    errors, prior_scale
        As in `event_blocks`.
    draws
        Number of draws of the scales.
    seed, pilot, on_progress
        As in `cbec_bayes.bayes.sampling.importance.sample_density`.

    Raises
    ------
    InputError
        The columns are too many, or a control is not identified; errors are correlated over periods that are not whole
        numbers.
    GateError
        The posterior of the scales has no mode.
    """
    columns = event_blocks(adoption, errors, prior_scale)
    collapsed = columns.collapsed()
    drawn = draw_scales(
        collapsed, draws=draws // _CHAINS, chains=_CHAINS, seed=seed, pilot=pilot, on_progress=on_progress
    )
    diagnostics = _diagnosed(drawn)
    return EventFit(
        adoption=adoption,
        columns=columns,
        collapsed=collapsed,
        points=drawn.points.reshape(-1, drawn.points.shape[-1]),
        ess=float(diagnostics.draws if diagnostics.khat is not None else diagnostics.ess or math.nan),
        diagnostics=diagnostics,
        evidence=drawn.evidence,
    )


def evidence_without_leads(fit: EventFit, *, seed: int = 1, draws: int = DRAWS) -> Evidence:
    """Return the evidence of the same model where nothing happens before adoption: the scale of placebo steps is zero.

    It is comparable with that of the fit, because flat coefficients are the same.
    """
    held = fit.collapsed.holding({PLACEBO: 0.0})
    return draw_scales(held, draws=draws // _CHAINS, chains=_CHAINS, seed=seed).evidence


def _diagnosed(drawn: Draws) -> RefitDiagnostics:
    if drawn.method == "importance":
        return RefitDiagnostics(draws=math.prod(drawn.points.shape[:2]), khat=drawn.khat, ess=drawn.ess)
    return chain_diagnostics(drawn.points, divergences=drawn.divergences, ebfmi=drawn.ebfmi)
