"""Draws from a density of few dimensions: Pareto-smoothed importance sampling about its mode, or else nutpie.

A collapsed posterior has two to twenty dimensions and costs microseconds a point, many points at once. A t proposal
that is fitted a few times, and bent where dimensions are skewed, meets most of them so closely that independent draws
come out, without warm-up or compilation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import linalg, optimize, special

from cbec_bayes.bayes.sampling.evidence import NO_EVIDENCE, Evidence, evidence_of_weights
from cbec_bayes.bayes.sampling.gates import KHAT_MAX
from cbec_bayes.bayes.sampling.nuts import draws_of, ebfmi
from cbec_bayes.bayes.sampling.proposal import INFLATION, Proposal, proposal_of
from cbec_bayes.bayes.sampling.weights import resampled, smoothed_weights
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

LogDensity = Callable[[Array], Array]
Gradient = Callable[[Array], tuple[float, Array]]

PILOT = 2_000
"""Proposals of a pilot sample, to which the proposal is fitted."""

_PILOTS, _MOST_PILOTS = 3, 6  # samples that the proposal is fitted to before one counts; more while they are poor
_POOR = 0.25  # share of a sample that its weights are worth, below which it is one more pilot
_WASTEFUL = 0.5  # the same, below which the dimensions of the proposal are bent
_TRIALS = 4
_LARGEST = 262_144
_MOST_OF_A_DRAW = 32  # proposals of one sample for each draw asked for: beyond, Markov chains take less time
_WIDER = 1.5  # inflation where one sample has to do
_REACH = 60.0  # distance from the mode, in log scales, beyond which no density is left
_LEVEL = 1e-2  # of the Newton decrement, and of negative curvature: below it a point may be the mode
_FAR = 50.0
_SEARCHES = 4  # a line search can fail far from the mode; the next one starts where it ended, with a fresh curvature
_NO_MODE = "the posterior of the scales has no mode within reach; is a prior improper?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Draws of a density.

    Attributes
    ----------
    points
        Shape (chain, draw, k).
    method
        ``"importance"`` or ``"nutpie"``.
    khat
        Pareto shape of the importance ratios (Vehtari et al., 2024); NaN for nutpie.
    ess
        Effective size of the weighted proposals (importance), NaN for nutpie, whose draws tell it themselves.
    proposals
        How many proposals were weighted, or draws made with warm-up.
    divergences
        Number of divergent transitions of nutpie; 0 for importance sampling.
    ebfmi
        Smallest energy fraction of missing information of nutpie's chains; NaN for importance sampling.
    evidence
        Logarithm of the integral of the density.
    lp
        Log density of each draw, shape (chain, draw); None where it was not kept.
    """

    points: Array
    method: str
    khat: float
    ess: float
    proposals: int
    divergences: int
    ebfmi: float
    evidence: Evidence = NO_EVIDENCE
    lp: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """Those of n proposals where the density is not zero.

    Attributes
    ----------
    points
        Shape (F, k).
    densities, ratios
        Logarithms of the density, and of it over the proposal's, shape (F,).
    proposal
        That they are drawn from.
    n
        How many were drawn.
    """

    points: Array
    densities: Array
    ratios: Array
    proposal: Proposal
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighted:
    """The sample that counts, with smoothed weights, their Pareto shape and effective size, and of how many it is."""

    sample: _Sample
    weights: Array
    khat: float
    ess: float
    proposals: int


def sample_density(
    log_density: LogDensity,
    gradient: Gradient,
    start: Array,
    *,
    draws: int,
    chains: int,
    seed: int,
    pilot: int = PILOT,
    near: Array | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Draws:
    """Draw from a smooth density.

    Parameters
    ----------
    log_density
        Maps points (S, k) to log densities (S,), up to a constant; the integral's logarithm is up to the same one.
    gradient
        Maps a point (k,) to its log density and gradient.
    start
        Where the search for the mode begins, shape (k,).
    draws, chains
        Draws per chain, and chains. Importance draws are independent: chains are then no more than a shape.
    seed
        Seed of everything random.
    pilot
        Proposals of a pilot sample; fewer are enough where few draws are asked for, many times over.
    near
        Draws of a similar density, shape (S, k), to which the first proposal is fitted in the place of pilot samples;
        those are drawn where it does not do. None where there are none.
    on_progress
        Called with how many draws nutpie has made, where it takes over.

    Raises
    ------
    GateError
        No mode is found.

    Notes
    -----
    Importance sampling is trusted where the Pareto shape of its ratios is at most 0.7 and its effective size reaches
    the draws asked for; nutpie takes over otherwise. The density's integral is the mean of the ratios; where nutpie
    sampled, that of the ratios to a t proposal fitted to its draws.
    """
    rng = np.random.default_rng(seed)
    total = draws * chains
    weighted = None
    if near is not None:
        begun = proposal_of(near, np.full(len(near), 1 / len(near)), bends=True)
        weighted = _importance(log_density, begun, near.mean(axis=0), least=1, total=total, pilot=pilot, rng=rng)
    if weighted is None:
        mode, covariance = mode_of(gradient, start)
        begun = Proposal(mode, covariance * INFLATION)
        weighted = _importance(log_density, begun, mode, least=_PILOTS, total=total, pilot=pilot, rng=rng)
    if weighted is None:
        return _nutpie(
            gradient,
            mode,
            covariance,
            draws=draws,
            chains=chains,
            seed=seed,
            integral=partial(_integral_about, log_density, proposals=pilot, seed=seed),
            on_progress=on_progress,
        )
    sample, picked = weighted.sample, resampled(weighted.weights, total, rng)
    return Draws(
        points=sample.points[picked].reshape(chains, draws, -1),
        lp=sample.densities[picked].reshape(chains, draws),
        method="importance",
        khat=weighted.khat,
        ess=weighted.ess,
        proposals=len(sample.points),
        divergences=0,
        ebfmi=float("nan"),
        evidence=evidence_of_weights(sample.ratios, weighted.weights, weighted.khat, weighted.proposals),
    )


def mode_of(gradient: Gradient, start: Array) -> tuple[Array, Array]:
    """Return the mode, shape (k,), and the inverse curvature there, (k, k).

    Raises
    ------
    GateError
        No mode is found.
    """

    def negative(point: Array) -> tuple[float, Array]:
        value, slope = gradient(np.clip(point, -60, 60))
        return -value, -slope

    point = start
    for _ in range(_SEARCHES):
        found = optimize.minimize(negative, point, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 500})
        point = np.asarray(found.x)
        if not np.isfinite(found.fun) or np.abs(point).max(initial=0) > _FAR:
            break
        covariance = _covariance_at(point, negative)
        if covariance is not None:
            return point, covariance
    raise GateError(_NO_MODE)


def _covariance_at(mode: Array, negative: Callable[[Array], tuple[float, Array]]) -> Array | None:
    """Return the inverse curvature at a point, or None where it is no mode."""
    step = 1e-4
    curvature = np.array(
        [(negative(mode + step * e)[1] - negative(mode - step * e)[1]) / (2 * step) for e in np.eye(len(mode))]
    )
    values, vectors = linalg.eigh((curvature + curvature.T) / 2)
    # A flat direction, such as a scale that the data leave at zero, gets the spread of a unit in log scale.
    spread = 1 / np.maximum(values, 0.25)
    slope = vectors.T @ negative(mode)[1]
    level = slope @ (spread * slope) < _LEVEL and values.min(initial=0) > -_LEVEL
    # Where a uniform prior ends the density may end in a cliff: what is uphill of its highest point is impossible.
    cliff = negative(mode - vectors @ (spread * slope))[0] == np.inf
    return (vectors * spread) @ vectors.T if level or cliff else None


def _importance(
    log_density: LogDensity,
    proposal: Proposal,
    about: Array,
    *,
    least: int,
    total: int,
    pilot: int,
    rng: np.random.Generator,
) -> _Weighted | None:
    """Weigh samples of proposals, each fitted to all before, until one is good enough; None where none is.

    Parameters
    ----------
    log_density
        Log density at given points.
    proposal, about
        The first one, and a point of the density that it is about.
    least
        Pilot samples before one may count. Where these are fewer than `_PILOTS` the first proposal has to do: of one
        that is poor more is lost than of an ellipse about the mode.
    total, pilot
        Draws asked for, and proposals of a pilot sample.
    rng
        Generator of everything random.
    """
    most = min(_LARGEST, _MOST_OF_A_DRAW * max(total, pilot // 4))
    n, trials, pilots = pilot, 0, list[_Sample]()
    bends, counts = proposal.bend is not None, False
    while trials < _TRIALS:
        sample = _proposed(log_density, proposal, about, n=n, rng=rng)
        if len(sample.points) < n // 10:
            return None
        weights, khat = smoothed_weights(sample.ratios)
        ess = 1 / float(np.sum(weights**2))
        # A first proposal that draws of a similar density gave owes nothing to this sample, which may count at once.
        given = least < _PILOTS and not pilots
        if (counts or given) and khat <= KHAT_MAX and ess >= total:
            return _Weighted(sample=sample, weights=weights, khat=khat, ess=ess, proposals=n)
        if khat > KHAT_MAX and least < _PILOTS and not pilots:
            return None
        trials += counts
        pilots.append(sample)
        # The ellipse about the mode may be poor where the one that is fitted to its sample is good.
        bends = bends or (len(pilots) > 1 and (ess < _WASTEFUL * n or khat > KHAT_MAX))
        proposal = _fitted(pilots, bends=bends)
        counts = counts or (len(pilots) >= least and (ess >= _POOR * n or len(pilots) == _MOST_PILOTS))
        if counts:
            # No more than the last sample asks for: what is fitted to it and all before is nearly always better.
            wanted = max(total * n / ess, 2.0 * total, n)
            if trials > 0 and (n == most or wanted > 2 * most):
                return None
            n = min(most, _enough(wanted))
    return None


def _fitted(samples: Sequence[_Sample], *, bends: bool) -> Proposal:
    """Fit a proposal to all samples, as draws from the mixture of their proposals.

    A point that one proposal reaches seldom and another often has the weight that it deserves (Owen and Zhou, 2000).
    What counts is a sample that comes after all of these, with weights of its own.
    """
    points = np.concatenate([one.points for one in samples])
    densities = np.concatenate([one.densities for one in samples])
    of_each = [one.proposal.log_density(points) + math.log(one.n) for one in samples]
    weights, _ = smoothed_weights(densities - special.logsumexp(of_each, axis=0))
    return proposal_of(points, weights, bends=bends)


def _enough(wanted: float) -> int:
    """Return how many proposals to draw: in coarse steps, so that a last bit of arithmetic does not change how many."""
    power = int(2 ** math.ceil(math.log2(wanted)))
    return min(_LARGEST, power * 3 // 4 if wanted <= power * 3 / 4 else power)


def _proposed(log_density: LogDensity, proposal: Proposal, mode: Array, *, n: int, rng: np.random.Generator) -> _Sample:
    points, proposed = proposal.draw(n, rng)
    near = np.abs(points - mode).max(axis=1, initial=0) < _REACH
    points, proposed = points[near], proposed[near]
    densities = log_density(points)
    ratios = densities - proposed
    finite = np.isfinite(ratios)
    return _Sample(points=points[finite], densities=densities[finite], ratios=ratios[finite], proposal=proposal, n=n)


def _integral_about(log_density: LogDensity, points: Array, *, proposals: int, seed: int) -> Evidence:
    """Return the integral of a density from draws of it, shape (chain, draw, k), which place the proposal."""
    draws = points.reshape(-1, points.shape[-1])
    proposal = proposal_of(draws, np.full(len(draws), 1 / len(draws)), bends=True, inflation=_WIDER)
    rng = np.random.default_rng([seed, 6])
    ratios = _proposed(log_density, proposal, draws.mean(axis=0), n=proposals, rng=rng).ratios
    if len(ratios) < proposals // 10:
        return Evidence(None, None, reason="the density is zero where its draws would have it")
    weights, khat = smoothed_weights(ratios)
    return evidence_of_weights(ratios, weights, khat, proposals)


def _nutpie(
    gradient: Gradient,
    mode: Array,
    covariance: Array,
    *,
    draws: int,
    chains: int,
    seed: int,
    integral: Callable[[Array], Evidence],
    on_progress: OnProgress = ignore_progress,
) -> Draws:
    """Sample by NUTS in coordinates in which the density is about standard at its mode; then integrate it."""
    import nutpie
    from nutpie import compiled_pyfunc

    root = np.linalg.cholesky(covariance)
    k = len(mode)

    def log_density(at: Array) -> tuple[float, Array]:
        value, slope = gradient(mode + root @ at)
        return value, root.T @ slope

    model = compiled_pyfunc.from_pyfunc(
        ndim=k,
        make_logp_fn=lambda: log_density,
        make_expand_fn=lambda *_: lambda at: {"point": mode + root @ at},
        expanded_dtypes=[np.dtype("float64")],
        expanded_shapes=[(k,)],
        expanded_names=["point"],
        make_initial_point_fn=lambda s: 0.5 * np.random.default_rng(s).normal(size=k),
    )
    tune = 1_000
    tree = nutpie.sample(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=1,
        seed=seed,
        progress_bar=False,
        progress_callback=draws_of((draws + tune) * chains, on_progress),
        save_warmup=False,
        target_accept=0.95,
    )
    points = np.asarray(tree["posterior"]["point"].to_numpy())
    energy = float(ebfmi(tree["sample_stats"]["energy"].to_numpy()).min())
    diverging = int(tree["sample_stats"]["diverging"].sum())
    return Draws(
        points=points,
        method="nutpie",
        khat=float("nan"),
        ess=float("nan"),
        proposals=(draws + tune) * chains,
        divergences=diverging,
        ebfmi=energy,
        evidence=integral(points),
    )
