"""Effective draws a second of `robust` on the 210 rows of the public study: the collapsed engine and nutpie at once.

Run with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/effective.py [ROUNDS]``. Effective draws are the
smallest bulk effective size (az.ess) of all parameters that vary, levels of units among them where an engine has them.
nutpie samples (a) the collapsed density, in coordinates that are standard at its mode and with effects drawn
afterwards, and (b) the twin of all parameters, deviations over their scales or in the coordinates of the package. Each
engine has one core, and seconds are of the processor, which other work on the machine does not lengthen. Those of
nutpie are without compilation, which is printed apart; ours run from arrays to the posterior. Ratios are medians over
rounds.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import arviz as az
import numpy as np

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed, with_unit_terms
from cbec_bayes.bayes.model.blocks import Blocks, blocks_for
from cbec_bayes.bayes.posterior import posterior_draws
from cbec_bayes.bayes.pymc.twin import pymc_of
from cbec_bayes.bayes.sampling.importance import mode_of
from cbec_bayes.panel import load_study_panel
from cbec_bayes.panel.design import Design, make_design

DRAWS, TUNE, CHAINS, TARGET_ACCEPT = 1_000, 1_000, 4, 0.9

type Measured = tuple[float, float, int]
"""Seconds, smallest effective size, and transitions that diverged."""


def smallest(posterior: Any) -> float:
    """Return the smallest bulk effective size of the parameters that vary."""
    found = az.ess(posterior)
    every = [found[name].to_numpy().ravel() for name in found.data_vars if np.ptp(posterior[name].to_numpy()) > 0]
    return float(np.nanmin(np.concatenate(every)))


def collapsed(design: Design, seed: int) -> Measured:
    """Fit by the collapsed engine; its draws count for no more than its weights are worth."""
    start = time.process_time()
    found = fit(design, "robust", seed=seed)
    seconds = time.process_time() - start
    found.diagnostics.require()
    return seconds, min(smallest(found.tree["posterior"].to_dataset()), found.diagnostics.ess_bulk_min), 0


def sampled(compiled: Any, seed: int) -> tuple[Any, int]:
    """Sample by nutpie, one chain after the other."""
    tree = __import__("nutpie").sample(
        compiled,
        draws=DRAWS,
        tune=TUNE,
        chains=CHAINS,
        cores=1,
        seed=seed,
        target_accept=TARGET_ACCEPT,
        save_warmup=False,
        progress_bar=False,
    )
    return tree["posterior"].to_dataset(), int(tree["sample_stats"]["diverging"].sum())


def of_collapsed(blocks: Blocks) -> Callable[[int], Measured]:
    """Return what samples the collapsed density by nutpie."""
    from nutpie import compiled_pyfunc

    density = make_collapsed(blocks)
    mode, covariance = mode_of(density.gradient, density.start())
    root, k = np.linalg.cholesky(covariance), len(mode)

    def gradient(at: Any) -> tuple[float, Any]:
        value, slope = density.gradient(mode + root @ at)
        return value, root.T @ slope

    compiled = compiled_pyfunc.from_pyfunc(
        ndim=k,
        make_logp_fn=lambda: gradient,
        make_expand_fn=lambda *_: lambda at: {"point": mode + root @ at},
        expanded_dtypes=[np.dtype("float64")],
        expanded_shapes=[(k,)],
        expanded_names=["point"],
        make_initial_point_fn=lambda seed: 0.5 * np.random.default_rng(seed).normal(size=k),
    )

    def work(seed: int) -> Measured:
        start = time.process_time()
        posterior, diverged = sampled(compiled, seed)
        posterior_draws(blocks, density, posterior["point"].to_numpy().reshape(-1, k), seed)
        return time.process_time() - start, smallest(posterior), diverged

    return work


def of_twin(blocks: Blocks, *, conditioned: bool) -> tuple[Callable[[int], Measured], float]:
    """Return what samples the twin, and the seconds that it took to compile."""
    import nutpie

    start = time.process_time()
    compiled = nutpie.compile_pymc_model(pymc_of(with_unit_terms(blocks), conditioned=conditioned))
    seconds = time.process_time() - start

    def work(seed: int) -> Measured:
        begun = time.process_time()
        posterior, diverged = sampled(compiled, seed)
        return time.process_time() - begun, smallest(posterior), diverged

    return work, seconds


def main() -> None:
    """Print a line for each engine and round, and the ratio to the better of the others."""
    warnings.simplefilter("ignore")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    design = make_design(load_study_panel("public"))
    blocks = blocks_for(design, "robust")
    fit(design, "robust")  # imports and caches
    engines: dict[str, Callable[[int], Measured]] = {
        "collapsed": lambda seed: collapsed(design, seed),
        "nutpie, collapsed density": of_collapsed(blocks),
    }
    for name, conditioned in (("nutpie, twin in our coordinates", True), ("nutpie, plain twin", False)):
        engines[name], seconds = of_twin(blocks, conditioned=conditioned)
        print(f"{name}: {seconds:.0f} s of compilation, not counted below", flush=True)
    ratios: dict[str, list[float]] = {name: [] for name in engines}
    for at in range(rounds):
        rates = {}
        for name, work in engines.items():
            seconds, ess, diverged = work(at + 1)
            rates[name] = ess / seconds
            said = f"{seconds:7.2f} s  ESS {ess:6.0f}  divergences {diverged:4d}  {rates[name]:9.1f} / s"
            print(f"{name:32} {said}", flush=True)
        for name, rate in rates.items():
            ratios[name].append(rates["collapsed"] / rate)
    for name, own in ratios.items():
        print(f"ours over {name}: {median(own):.1f}")
    others = [own for name, own in ratios.items() if name != "collapsed"]
    print(f"ours over the best other: {min(median(own) for own in others):.1f}")


if __name__ == "__main__":
    main()
