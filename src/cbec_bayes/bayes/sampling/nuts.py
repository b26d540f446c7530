"""Sampling by nutpie, called directly, with convergence gates on every fit.

`pm.sample` chooses its sampler by what is installed, runs no convergence checks on the nutpie path and keeps nutpie's
progress to itself; here the sampler is always nutpie, the gates always run, and whoever asks is told how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cbec_bayes.bayes.sampling.convergence import convergence
from cbec_bayes.bayes.sampling.gates import SamplingDiagnostics
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress


def sample(
    model: Any,
    variables: Sequence[str],
    *,
    draws: int = 2000,
    tune: int = 1500,
    chains: int = 4,
    seed: int = 1,
    target_accept: float = 0.95,
    on_progress: OnProgress = ignore_progress,
) -> tuple[Any, SamplingDiagnostics]:
    """Sample a PyMC model by nutpie and measure convergence.

    Parameters
    ----------
    model
        A `pymc.Model`.
    variables
        Names that the gates look at.
    draws, tune, chains, seed, target_accept
        As in `nutpie.sample`.
    on_progress
        Called with how many draws are made, warm-up and all; see `cbec_bayes.runtime.progress.Progress`.

    Returns
    -------
    tree, diagnostics
        An ArviZ DataTree that can be written to netCDF, and its diagnostics; the gates are not yet enforced.

    Raises
    ------
    KeyboardInterrupt
        The user stopped it.
    """
    import nutpie
    import xarray as xr
    from pymc.backends.arviz import patch_nutpie_idata
    from threadpoolctl import threadpool_limits

    start = time.perf_counter()
    on_progress(Progress("compiling the model", 0, 1))
    compiled = nutpie.compile_pymc_model(model)
    with threadpool_limits(1):  # chains run side by side
        tree = nutpie.sample(
            compiled,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            target_accept=target_accept,
            save_warmup=False,
            progress_bar=False,
            progress_callback=draws_of(chains * (tune + draws), on_progress),
        )
    seconds = {"sample": time.perf_counter() - start}
    patch_nutpie_idata(tree, model, sampling_time=seconds["sample"])  # what pm.sample adds: the model's data
    if tree["posterior"].sizes["draw"] < draws or np.isnan(tree["sample_stats"]["energy"].values).any():
        raise KeyboardInterrupt  # nutpie keeps it to itself, and returns what there is
    # The messages are objects, which netCDF refuses; that a transition diverged is kept in `diverging`.
    kept = tree["sample_stats"].to_dataset().drop_vars("divergence_message", errors="ignore")
    tree["sample_stats"] = xr.DataTree(kept)
    every = [tree["posterior"][name].to_numpy() for name in variables]
    found = convergence(np.concatenate([np.moveaxis(own.reshape(*own.shape[:2], -1), 2, 0) for own in every]))
    diagnostics = SamplingDiagnostics(
        engine="pymc-nutpie",
        rhat_max=float(found.rhat.max()),
        ess_bulk_min=float(found.bulk.min()),
        ess_tail_min=float(found.tail.min()),
        divergences=int(tree["sample_stats"]["diverging"].sum()),
        ebfmi_min=float(np.min(ebfmi(tree["sample_stats"]["energy"].values))),
        seconds=seconds,
        draws=draws * chains,
    )
    return tree, diagnostics


def draws_of(total: int, on_progress: OnProgress) -> Callable[[Sequence[Any]], None]:
    """Return what nutpie is to call with the progress of its chains, from a thread of its own."""

    def told(chains: Sequence[Any]) -> None:
        on_progress(Progress("draws", min(total, sum(chain.finished_draws for chain in chains)), total))

    return told


def ebfmi(energy: Array) -> Array:
    """Return the energy fraction of missing information per chain (Betancourt, 2016) from energies (chain, draw)."""
    from arviz_stats.base import array_stats

    return np.asarray(array_stats.bfmi(energy))
