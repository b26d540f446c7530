"""Slopes under several priors of one scale: draws from the mixture of all their posteriors, weighted for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.densities import log_density, resolve
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.refit import Nearby, diagnose
from cbec_bayes.bayes.sampling.gates import ESS_MIN, KHAT_MAX
from cbec_bayes.bayes.sampling.importance import sample_density
from cbec_bayes.bayes.sampling.weights import resampled, smoothed_weights
from cbec_bayes.checks.refits import RefitSlopes, summarised
from cbec_bayes.estimands.mixed_slopes import mixed_slopes
from cbec_bayes.estimands.summary import Mixed
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError

DRAWS = 4_000
"""Draws from the mixture: they tell the tails under the widest prior as well as a refit under it does."""


class MixtureOfPriors:
    """The posterior density of the scales where the prior of one of them is a mixture of several.

    Parameters
    ----------
    collapsed
        The density under one of the priors, which has to be positive everywhere.
    scale
        Name of the scale.
    priors
        The J priors, in the data's own units.
    shares
        Logarithm of the share of each, shape (J,), up to a constant; default equal ones.
    """

    def __init__(self, collapsed: Collapsed, scale: str, priors: Sequence[Prior], shares: Array | None = None) -> None:
        self.collapsed, self.scale, self.priors = collapsed, scale, tuple(priors)
        self.at = collapsed.names.index(scale)
        self.shares = np.zeros(len(self.priors)) if shares is None else shares

    def sharing(self, points: Array) -> MixtureOfPriors:
        """Return the mixture in which each posterior has the same mass, about, from draws under the first prior.

        A wide prior has a posterior of little mass, and would otherwise have few of the draws that tell its tails.
        """
        each, _ = self.log_priors(points)
        masses = special.logsumexp(each - each[0], axis=1)
        return MixtureOfPriors(self.collapsed, self.scale, self.priors, -masses)

    def log_priors(self, points: Array) -> tuple[Array, Array]:
        """Return the log density of the scale under each prior, with its share, and its derivative, (J, S) each."""
        scales = self.collapsed.scales(points)[self.scale]
        each = [log_density(prior, scales) for prior in self.priors]
        values = np.array([value for value, _ in each]) + self.shares[:, None]
        return values, np.array([slope for _, slope in each])

    def ratios(self, points: Array) -> Array:
        """Return the log ratio of each posterior to the mixture, shape (J, S): that of the priors, bounded by ln J."""
        each, _ = self.log_priors(points)
        return np.asarray(each - special.logsumexp(each, axis=0) + math.log(len(each)))

    def _own(self, points: Array) -> tuple[Array, Array]:
        return log_density(self.collapsed.priors[self.scale], self.collapsed.scales(points)[self.scale])

    def log_posterior(self, points: Array) -> Array:
        """Return the log density at points of shape (S, k)."""
        each, _ = self.log_priors(points)
        mixed = special.logsumexp(each, axis=0) - math.log(len(each))
        return np.asarray(self.collapsed.log_posterior(points) + (mixed - self._own(points)[0]))

    def gradient(self, point: Array) -> tuple[float, Array]:
        """Return the log density at one point, shape (k,), and its gradient."""
        value, slope = self.collapsed.gradient(point)
        each, slopes = (one[:, 0] for one in self.log_priors(point[None]))
        mixed = special.logsumexp(each)
        shares = np.exp(each - mixed)
        own = self._own(point[None])
        slope = slope.copy()
        slope[self.at] += float(shares @ np.where(shares > 0, slopes, 0.0)) - float(own[1][0])
        return value + float(mixed) - math.log(len(each)) - float(own[0][0]), slope


def slopes_under(
    design: Design, models: Sequence[PanelModel], scale: str, near: Nearby, seed: int
) -> list[RefitSlopes | None]:
    """Return the slopes under models that differ in the prior of one scale alone, from one sample.

    Parameters
    ----------
    design, models
        Rows and models; the prior of the last one is positive everywhere.
    scale
        Name of the scale.
    near
        Draws of the fit of the first model, about which the sample is begun.
    seed
        Seed of everything random.

    Returns
    -------
    list
        None for a model that the sample does not tell: the weights of its draws miss a gate of refits.

    Notes
    -----
    The posterior under the mixture of J priors is the mixture of their posteriors, so that it reaches as far as the
    widest. Weights are the ratios of the priors, at most J, and no likelihood is needed for them. Slopes given the
    scales are the same under every prior.
    """
    blocks = blocks_for(design, models[-1])
    collapsed = collapsed_of(blocks)
    begun = near.among(collapsed.names)
    mixture = MixtureOfPriors(collapsed, scale, [resolve(model, design)[scale] for model in models])
    mixture = mixture if begun is None else mixture.sharing(begun)
    asked = mixture.log_posterior, mixture.gradient, collapsed.start()
    try:
        drawn = sample_density(*asked, draws=DRAWS, chains=1, seed=seed, near=begun)
    except GateError:
        return [None] * len(models)
    measured, points = diagnose(drawn), drawn.points[0]
    if measured.failures:
        return [None] * len(models)
    share = 1.0 if measured.ess is None else min(1.0, measured.ess / len(points))
    mixed = mixed_slopes(blocks, collapsed, points, float(len(points)))
    found: list[RefitSlopes | None] = []
    for k, (model, ratios) in enumerate(zip(models, mixture.ratios(points), strict=True)):
        there = np.flatnonzero(np.isfinite(ratios))
        weights, khat = smoothed_weights(ratios[there])
        ess = share / float(np.sum(weights**2))
        if not (khat <= KHAT_MAX and ess >= ESS_MIN):
            found.append(None)
            continue
        chosen = there[resampled(weights, len(points), np.random.default_rng([seed, 9, k]))]
        own = {name: Mixed(one.mean[chosen], one.sd[chosen], ess) for name, one in mixed.slopes.items()}
        found.append(replace(summarised(own, model, design), khat=khat))
    return found
