"""The collapsed posterior against PyMC, bambi and brms on the same model and data: effective draws a second, one run.

Run with ``python benchmarks/posterior.py``. Times run from arrays to posterior, compilation included; each engine
samples the headline model on the 210 observed rows of the public study, with 4 chains on the cores there are. bambi and
brms take part where they are installed; neither is a dependency.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.panel import load_study_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.study import load_study

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


def frame_of(design: Design) -> pd.DataFrame:
    """Return the design as a table: y, x0 (the exposure), x1 ..., unit, time, group."""
    frame = pd.DataFrame(design.x, columns=[f"x{k}" for k in range(design.x.shape[1])])
    codes = {"unit": design.unit, "time": design.time, "group": design.group}
    return frame.assign(y=design.y, **{name: pd.Series(code).astype(str) for name, code in codes.items()})


def bambi_fit(design: Design, sampler: str, *, centred: bool) -> Any:
    """Sample the headline model as a user of bambi would write it."""
    import bambi as bmb

    priors = resolve(load_panel_model("partial_pooling"), design)
    frame = frame_of(design)
    terms = [name for name in frame if name.startswith("x")]
    between = bmb.Prior("HalfNormal", sigma=priors["tau"].params["scale"])
    model = bmb.Model(
        f"y ~ 0 + unit + time + {' + '.join(terms)} + (0 + x0|group)",
        frame,
        noncentered=not centred,
        priors={
            **{name: bmb.Prior("Flat") for name in ("unit", "time", *terms)},
            "x0|group": bmb.Prior("Normal", mu=0, sigma=between),
            "sigma": bmb.Prior("HalfNormal", sigma=priors["sigma"].params["scale"]),
        },
    )
    return model.fit(
        draws=DRAWS,
        tune=TUNE,
        chains=CHAINS,
        random_seed=1,
        target_accept=0.95,
        inference_method=sampler,
        progressbar=False,
    )


def brms_line(design: Design) -> float | None:
    """Run brms.R, print its line and return its effective draws a second; None where R or brms is missing."""
    if shutil.which("Rscript") is None:
        return None
    priors = resolve(load_panel_model("partial_pooling"), design)
    script = Path(__file__).with_name("brms.R")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "panel.csv"
        frame_of(design).to_csv(file, index=False)
        scales = [repr(priors[name].params["scale"]) for name in ("tau", "sigma")]
        done = subprocess.run(
            ["Rscript", str(script), str(file), *scales, str(DRAWS)], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        return None
    seconds, smallest, diverging = (float(word) for word in done.stdout.split()[-3:])
    return shown("brms", seconds, smallest, int(diverging))


def measured(tree: Any, seconds: float, name: str, variables: list[str] = NAMES) -> float:
    """Print one engine's line and return its effective draws a second."""
    ess = az.ess(tree["posterior"].dataset[variables])
    smallest = min(float(ess[variable].min()) for variable in variables)
    diverging = int(tree["sample_stats"]["diverging"].sum()) if "diverging" in tree["sample_stats"] else 0
    return shown(name, seconds, smallest, diverging)


def shown(name: str, seconds: float, smallest: float, diverging: int) -> float:
    """Print one line and return effective draws a second."""
    rate = smallest / seconds
    print(f"{name:28} {seconds:7.2f} s  smallest bulk ESS {smallest:6.0f}  divergences {diverging:3d}  {rate:9.1f} / s")
    return rate


def main() -> None:
    """Time every engine and print how many times as many effective draws a second ours makes as the best other."""
    import pymc as pm

    spec = load_study("public").panel
    assert spec is not None
    design = make_design(load_study_panel(spec))
    fit(design, "partial_pooling")  # imports and caches
    start = time.perf_counter()
    own = fit(design, "partial_pooling", draws=DRAWS, chains=CHAINS)
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
    if importlib.util.find_spec("bambi") is not None:
        for centred in (True, False):
            for sampler in ("nutpie", "pymc"):
                start = time.perf_counter()
                tree = bambi_fit(design, sampler, centred=centred)
                name = f"bambi {sampler}, {'centred' if centred else 'non-centred'}"
                named = ["x0", "x0|group_sigma", "sigma", "x0|group"]
                others.append(measured(tree, time.perf_counter() - start, name, named))
    brms = brms_line(design)
    if brms is not None:
        others.append(brms)
    print(f"ours over the best other: {ours / max(others):.0f}")


if __name__ == "__main__":
    main()
