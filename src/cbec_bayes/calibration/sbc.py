"""Simulation-based calibration: data drawn from a model, fitted, and the rank of the truth among posterior draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.model.blocks import Blocks, blocks_for, labels_of
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.posterior import linear_predictor
from cbec_bayes.bayes.pymc.coordinates import conditioning
from cbec_bayes.bayes.refit import Refit, refit
from cbec_bayes.bayes.sampling.gates import chain_diagnostics
from cbec_bayes.bayes.sampling.nuts import ebfmi
from cbec_bayes.calibration.simulate import Simulated, from_prior, simulated_regressors, with_outcome
from cbec_bayes.calibration.uniformity import uniformity
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import Executor, fan_out
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

DRAWS = 99
"""Draws among which a truth is ranked, so that there are a hundred ranks."""

LEVEL = 0.05
"""Chance that a right model is called wrong, all its quantities together."""

LOG_LIKELIHOOD = "log likelihood"
"""A quantity that depends on data and parameters together: it finds a posterior that has learned nothing."""

CHUNK = 25
MARKOV_CHUNK = 5
PILOT_OF_MANY = 1_000
"""Proposals that are enough for a fit that is one of thousands."""

_SCALAR = 2  # dimensions of a parameter without any of its own: chain and draw
WARM_UP = 500
THINNED = 10
TARGET_ACCEPT = 0.9
"""Warm-up of a member that is sampled, one draw kept of so many, and acceptance that its sampler aims at."""

SBC_COLUMNS = ("model", "data_of", "quantity", "replications", "failed", "p_value", "passed", "origin")


@dataclass(frozen=True, slots=True)
class Replications:
    """A piece of work: some replications of one model.

    Attributes
    ----------
    model
        That is fitted.
    data_of
        The model that data are drawn from; another one makes the calibration wrong on purpose.
    numbers
        Numbers of the replications.
    seed
        Seed of all of them together; each has its own from this and its number.
    """

    model: str
    data_of: str
    numbers: tuple[int, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Ranks of one model.

    Attributes
    ----------
    model, data_of
        Fitted, and drawn from.
    ranks
        By quantity, each of shape (N,), from 0 to `DRAWS`.
    failed
        Replications that could not be fitted, or whose fit missed a gate; they are not ranked.
    """

    model: str
    data_of: str
    ranks: Mapping[str, NDArray[np.int64]]
    failed: int

    def counts(self) -> pd.DataFrame:
        """Return one row per quantity: model, data_of, quantity, and how often each rank was found."""
        rows = [
            (self.model, self.data_of, quantity, *np.bincount(ranks, minlength=DRAWS + 1))
            for quantity, ranks in self.ranks.items()
        ]
        return pd.DataFrame(rows, columns=["model", "data_of", "quantity", *(f"rank_{k}" for k in range(DRAWS + 1))])


def verdicts(results: Sequence[Calibration]) -> pd.DataFrame:
    """Return one row per model and quantity, with columns `SBC_COLUMNS`.

    A quantity passes where its p-value is above `LEVEL` over the number of quantities of models that are calibrated
    with their own data.
    """
    level = level_of(results)
    rows: list[tuple[object, ...]] = []
    for one in results:
        for quantity, ranks in one.ranks.items():
            p = uniformity(ranks, DRAWS).p
            passed = "yes" if p > level else "no"
            count = len(ranks), one.failed
            rows.append((one.model, one.data_of, quantity, *count, p, passed, str(Origin.SIMULATED)))
    return pd.DataFrame(rows, columns=list(SBC_COLUMNS))


def level_of(results: Sequence[Calibration]) -> float:
    """Return the level of one quantity's test, such that all tests of right models together have `LEVEL`."""
    return LEVEL / max(1, sum(len(one.ranks) for one in results if one.model == one.data_of))


def calibrate(
    executor: Executor,
    models: Sequence[tuple[str, str, int]],
    *,
    seed: int = 1,
    journal: Journal | None = None,
    on_progress: OnProgress = ignore_progress,
) -> list[Calibration]:
    """Calibrate models on panels like the paper's.

    Parameters
    ----------
    executor
        From `cbec_bayes.runtime.fanout.open_executor`.
    models
        Model, model that data are drawn from, replications.
    seed, journal, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    list of Calibration
        In the order of `models`.

    Notes
    -----
    Talts et al. (2018); Modrák et al. (2023) for quantities that depend on the data. Flat parameters are ranked too:
    with a flat prior a posterior moves with the truth, so that its ranks are uniform whatever the truth is.
    """
    pieces = pieces_of(models, seed)
    found = fan_out(executor, rank_truths, pieces, journal=journal, on_progress=on_progress, named="replications")
    results = []
    for model, data_of, _ in models:
        own = [f for p, f in zip(pieces, found, strict=True) if (p.model, p.data_of) == (model, data_of)]
        merged: dict[str, list[int]] = {}
        for part in own:
            for quantity, ranks in part["ranks"].items():
                merged.setdefault(quantity, []).extend(ranks)
        ranks_of = {quantity: np.array(ranks, dtype=np.int64) for quantity, ranks in merged.items()}
        results.append(Calibration(model, data_of, ranks_of, sum(part["failed"] for part in own)))
    return results


def pieces_of(models: Sequence[tuple[str, str, int]], seed: int) -> list[Replications]:
    """Return the pieces of work of `calibrate`."""
    pieces = []
    for model, data_of, n in models:
        size = CHUNK if _blocks(model).model.is_gaussian else MARKOV_CHUNK
        chunks = [tuple(range(start, min(start + size, n))) for start in range(0, n, size)]
        pieces += [Replications(model, data_of, numbers, seed) for numbers in chunks]
    return pieces


def _blocks(model: str) -> Blocks:
    return blocks_for(simulated_regressors(np.random.default_rng(0)), model)


@lru_cache(maxsize=2)
def _ranked_by(model: str) -> _CollapsedRanks | _MarkovRanks:
    """Return what ranks truths under a model; kept, because PyMC compiles for longer than it samples."""
    blocks = _blocks(model)
    return _CollapsedRanks(blocks) if blocks.model.is_gaussian else _MarkovRanks(blocks)


def rank_truths(piece: Replications) -> dict[str, Any]:
    """Return the ranks of every quantity, a list per quantity, and how many replications failed."""
    rank, source = _ranked_by(piece.model), _blocks(piece.data_of)
    ranks: dict[str, list[int]] = {}
    failed = 0
    for number in piece.numbers:
        rng = np.random.default_rng([piece.seed, number])
        drawn = from_prior(source, rng)
        try:
            found = rank.of(drawn, int(rng.integers(2**31)))
        except GateError:
            failed += 1
            continue
        for quantity, value in found.items():
            ranks.setdefault(quantity, []).append(value)
    return {"ranks": ranks, "failed": failed}


class _CollapsedRanks:
    """Ranks among draws of the collapsed engine."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    def of(self, simulated: Simulated, seed: int) -> dict[str, int]:
        """Return the rank of every quantity's truth."""
        return rank_truth(self.blocks, simulated, seed)


def rank_truth(blocks: Blocks, simulated: Simulated, seed: int) -> dict[str, int]:
    """Fit simulated data by the collapsed engine and return the rank of every quantity's truth.

    Raises
    ------
    GateError
        The fit misses a gate.
    """
    found = refit(with_outcome(blocks, simulated.y), draws=DRAWS, seed=seed, pilot=PILOT_OF_MANY)
    found.diagnostics.require()
    return ranks_among(found, simulated.truth)


def ranks_among(found: Refit, truth: Mapping[str, Array]) -> dict[str, int]:
    """Return the rank of every quantity's truth among the draws of a posterior."""
    likelihood = found.collapsed.log_likelihood
    truth, draws = dict(truth), dict(found.draws)
    if np.ndim(truth["sigma"]) and len(found.collapsed.sigmas) == 1:
        # Data of several spreads, fitted by a member that has one: what is nearest to a truth is the root mean square.
        group = found.blocks.design.group
        assert group is not None
        rows = np.bincount(group)
        truth["sigma"] = np.sqrt(rows @ truth["sigma"] ** 2 / rows.sum())
    truth[LOG_LIKELIHOOD] = likelihood(_point(found.collapsed, truth, found.blocks)[None])[0]
    draws[LOG_LIKELIHOOD] = likelihood(found.points)
    return _ranks(found.blocks, draws, truth)


def _point(collapsed: Collapsed, truth: Mapping[str, Array], blocks: Blocks) -> Array:
    """Return the true scales as a point of the collapsed density."""
    by_group = {f"sigma[{group}]": at for at, group in enumerate(blocks.design.groups)}
    values = {name: truth["sigma"][by_group[name]] if name in by_group else truth[name] for name in collapsed.names}
    return collapsed.point(values)


class _MarkovRanks:
    """Ranks among thinned draws of nutpie; the model is compiled once."""

    def __init__(self, blocks: Blocks) -> None:
        import nutpie

        from cbec_bayes.bayes.pymc.twin import pymc_of

        # The coordinates it samples in depend on an outcome; every replication brings its own.
        blocks = with_outcome(blocks, np.random.default_rng(0).standard_normal(blocks.design.n_obs))
        self.blocks = blocks
        self.compiled = nutpie.compile_pymc_model(pymc_of(blocks, conditioned=True))

    def of(self, simulated: Simulated, seed: int) -> dict[str, int]:
        """Return the rank of every quantity's truth."""
        import nutpie

        data = {"outcome": simulated.y, **conditioning(with_outcome(self.blocks, simulated.y))}
        tree = nutpie.sample(
            self.compiled.with_data(**data),
            draws=(DRAWS + 1) * THINNED,
            tune=WARM_UP,
            chains=1,
            cores=1,
            seed=seed,
            target_accept=TARGET_ACCEPT,
            progress_bar=False,
            save_warmup=False,
        )
        _require(tree)
        posterior = tree["posterior"].to_dataset().isel(chain=0, draw=slice(THINNED - 1, DRAWS * THINNED, THINNED))
        draws = {str(name): posterior[name].to_numpy() for name in posterior.data_vars}
        truth = dict(simulated.truth)

        def log_likelihood(values: Mapping[str, Array]) -> Array:
            kept = {b.name: values[b.name] for b in self.blocks.variables} | {"unit_effect": values["unit_effect"]}
            residual = simulated.y - linear_predictor(self.blocks, kept)
            return self.blocks.model.residuals.log_density(self.blocks.design, residual, values).sum(axis=1)

        draws[LOG_LIKELIHOOD] = log_likelihood(draws)
        truth[LOG_LIKELIHOOD] = log_likelihood({name: np.asarray(value)[None] for name, value in truth.items()})[0]
        if "group_slope" in draws:
            noise = np.random.default_rng([seed, 2]).standard_normal(DRAWS)
            draws["new_group_slope"] = draws["slope"] + draws["tau"] * noise
        return _ranks(self.blocks, draws, truth)


def _require(tree: Any) -> None:
    """Raise `GateError` where the chain diverged, its energy is too narrow, or the halves of a scalar differ."""
    stats, posterior = tree["sample_stats"], tree["posterior"].to_dataset()
    # A tenth of the draws is kept, so that they are close to independent, as the limit of R-hat has it.
    kept = posterior.isel(draw=slice(THINNED - 1, None, THINNED))
    points = np.stack([kept[name].to_numpy() for name in kept.data_vars if kept[name].ndim == _SCALAR], axis=2)
    energy = float(ebfmi(stats["energy"].to_numpy()).min())
    chain_diagnostics(points, divergences=int(stats["diverging"].sum()), ebfmi=energy).require()


def _ranks(blocks: Blocks, draws: Mapping[str, Array], truth: Mapping[str, Array]) -> dict[str, int]:
    """Return how many draws lie below the truth, for every scale, slope, one unit effect and the last time effect."""
    design, every = blocks.design, draws
    found: dict[str, int] = {}

    def add(name: str, values: Array, true: Array) -> None:
        found[name] = int((values < true).sum())

    own = () if blocks.model.likelihood is None else blocks.model.likelihood.parameters
    scales = {"sigma", "sigma_mu", "rho", *own, *(b.scale for b in blocks.variables if b.scale is not None)}
    for name in (LOG_LIKELIHOOD, "slope", "new_group_slope", *sorted(scales)):
        if name in every and np.ndim(truth[name]) == 0:
            add(name, every[name], truth[name])
    by_group = [("group_total_slope", design.groups)] + ([("sigma", design.groups)] if truth["sigma"].ndim else [])
    for name, labels in by_group:
        for r, label in enumerate(labels if name in every else ()):
            add(f"{name}[{label}]", every[name][:, r], truth[name][r])
    for block in blocks.every:
        if "control_slope" in block.name:
            first = block.kept[0]
            size = len(every[block.name])
            name = f"{block.name}[{labels_of(block)[first]}]"
            add(name, every[block.name].reshape(size, -1)[:, first], truth[block.name].ravel()[first])
        if block.name == COVARIATE_SLOPE:
            for m, label in enumerate(labels_of(block)):
                add(f"{COVARIATE_SLOPE}[{label}]", every[COVARIATE_SLOPE][:, m], truth[COVARIATE_SLOPE][m])
    unit = every["unit_effect"][:, 0] - every["unit_effect"][:, -1]
    add("unit_effect, first less last", unit, truth["unit_effect"][0] - truth["unit_effect"][-1])
    for name in ("unit_slope", "unit_trend"):
        if name in every:
            add(f"{name}[{design.units[0]}]", every[name][:, 0], truth[name][0])
    if "time_effect" in every:
        time = every["time_effect"][:, -1] - every["time_effect"][:, 0]
        add("time_effect, last less first", time, truth["time_effect"][-1] - truth["time_effect"][0])
    return found
