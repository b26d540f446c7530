"""The collapsed posterior against PyMC on the same model and data, in one process: effective draws a second.

Run with ``python benchmarks/posterior.py``. Times run from arrays to posterior, compilation included; each engine
samples the headline model on the 210 observed rows of the public study, with 4 chains on the cores there are.
"""

from __future__ import annotations

import time
from typing import Any

import arviz as az
import numpy as np

from cbec_bayes.bayes.blocks import make_blocks
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.priors import resolve
from cbec_bayes.design import Design, make_design
from cbec_bayes.family import load_panel_model
from cbec_bayes.panel import load_study_panel
from cbec_bayes.spec import load_study

DRAWS, TUNE, CHAINS = 1_000, 1_000, 4
NAMES = ["slope", "tau", "sigma", "group_total_slope"]


def pymc_model(design: Design, *, centred: bool) -> Any:
    """Return the headline model as one would write it by hand, with the within transformation done beforehand."""
    import pymc as pm
    import pytensor.tensor as pt

    model = load_panel_model("partial_pooling")
    priors = resolve(model, design)
    columns = make_blocks(design, model).x
    y = design.effects.within(design.y)
    x = design.effects.within(columns)
    n_controls, n_groups = len(design.terms) - 1, len(design.groups)
    slopes = x[:, : 1 + n_controls]
    by_group = x[:, -n_groups:]
    free = design.n_obs - design.effects.rank
    with pm.Model(coords={"group": list(design.groups)}) as built:
        slope = pm.Flat("slope")
        controls = pm.Flat("control_slope", shape=n_controls)
        tau = pm.HalfNormal("tau", np.float64(priors["tau"].params["scale"]))
        sigma = pm.HalfNormal("sigma", np.float64(priors["sigma"].params["scale"]))
        if centred:
            deviation = pm.Normal("group_slope", 0, tau, dims="group")
        else:
            deviation = tau * pm.Normal("z", 0, 1, dims="group")
        pm.Deterministic("group_total_slope", slope + deviation, dims="group")
        residual = y - slopes @ pt.concatenate([slope[None], controls]) - by_group @ deviation
        pm.Potential("likelihood", -free * pt.log(sigma) - (residual**2).sum() / (2 * sigma**2))
    return built


def measured(tree: Any, seconds: float, name: str) -> float:
    """Print one engine's line and return its effective draws a second."""
    ess = az.ess(tree["posterior"].dataset[NAMES])
    smallest = min(float(ess[variable].min()) for variable in NAMES)
    diverging = int(tree["sample_stats"]["diverging"].sum()) if "diverging" in tree["sample_stats"] else 0
    rate = smallest / seconds
    print(f"{name:28} {seconds:7.2f} s  smallest bulk ESS {smallest:6.0f}  divergences {diverging:3d}  {rate:9.1f} / s")
    return rate


def main() -> None:
    """Time every engine and print how many times as fast ours is as the best other."""
    import pymc as pm

    spec = load_study("public").panel
    assert spec is not None
    design = make_design(load_study_panel(spec))
    fit(design)  # imports and caches
    start = time.perf_counter()
    own = fit(design, draws=DRAWS, chains=CHAINS)
    ours = measured(own.tree, time.perf_counter() - start, "collapsed")
    others = []
    for centred in (True, False):
        for sampler in ("nutpie", "pymc"):
            start = time.perf_counter()
            with pymc_model(design, centred=centred):
                tree = pm.sample(
                    draws=DRAWS,
                    tune=TUNE,
                    chains=CHAINS,
                    random_seed=1,
                    target_accept=0.95,
                    nuts_sampler=sampler,
                    progressbar=False,
                    quiet=True,
                )
            name = f"{sampler}, {'centred' if centred else 'non-centred'}"
            others.append(measured(tree, time.perf_counter() - start, name))
    print(f"ours over the best other: {ours / max(others):.0f}")


if __name__ == "__main__":
    main()
