"""Ordinary panels: the posterior sd of the average slope under the robust member, beside the CR2 standard error.

Run with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/ordinary.py``. The wage panel and the panel of
states' productivity come with linearmodels, Grunfeld's with statsmodels; two panels of laws that states adopt one
after the other are simulated, one with errors that fade slowly and one with trends of states.

CR2 is of the two-way regression, which is less precise than the member where errors are correlated: a ratio below one
need not be an interval that is too narrow. `sd_ij` is the sd of the infinitesimal jackknife.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.headline import headline
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.estimands.groups import effects
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.runtime.labels import GROUP_AVERAGE, Origin

REGIONS = {
    "New England": "ME NH VT MA RI CT",
    "Middle Atlantic": "NY NJ PA",
    "East North Central": "OH IN IL MI WI",
    "West North Central": "MN IA MO ND SD NE KS",
    "South Atlantic": "DE MD VA WV NC SC GA FL",
    "East South Central": "KY TN AL MS",
    "West South Central": "AR LA OK TX",
    "Mountain": "MT ID WY CO NM AZ UT NV",
    "Pacific": "WA OR CA",
}


def wages() -> tuple[pd.DataFrame, Roles]:
    """Return wages of 545 men over eight years, and whether they are in a union."""
    from linearmodels.datasets import wage_panel

    roles = Roles(outcome="lwage", exposure="union", controls=("married", "hours"), unit="nr", time="year", group=None)
    return wage_panel.load(), roles


def grunfeld() -> tuple[pd.DataFrame, Roles]:
    """Return investment of eleven firms over twenty years."""
    from statsmodels.datasets import grunfeld as data

    roles = Roles(outcome="invest", exposure="value", controls=("capital",), unit="firm", time="year", group=None)
    return data.load_pandas().data, roles


def productivity() -> tuple[pd.DataFrame, Roles]:
    """Return output of 48 states in nine regions over 17 years, and their public capital."""
    from linearmodels.datasets import munnell

    frame = munnell.load().rename(columns=str.lower)
    logged = {name: np.log(frame[name]) for name in ("gsp", "p_cap", "pc", "emp")}
    region = {state: name for name, states in REGIONS.items() for state in states.split()}
    frame = frame.assign(**logged, region=frame["st_abb"].map(region))
    roles = Roles(
        outcome="gsp", exposure="p_cap", controls=("pc", "emp", "unemp"), unit="state", time="yr", group="region"
    )
    return frame, roles


def laws(seed: int, rho: float, trend: float) -> tuple[pd.DataFrame, Roles]:
    """Return 48 simulated states over twenty years; most adopt a law, one after the other, and it stays."""
    rng = np.random.default_rng(seed)
    n, periods = 48, 20
    start = np.where(rng.random(n) < 0.3, periods, rng.integers(5, 17, n))
    law = (np.arange(periods) >= start[:, None]).astype(float)
    error = rng.standard_normal((n, periods))
    error[:, 0] /= np.sqrt(1 - rho**2)
    for t in range(1, periods):
        error[:, t] += rho * error[:, t - 1]
    rate = rng.normal(0, 2, (n, 1)) + rng.normal(0, 0.3, periods) + rng.normal(-0.4, 0.3, (n, 1)) * law
    rate = rate + error * rng.uniform(0.4, 1, (n, 1)) + trend * rng.standard_normal((n, 1)) * np.arange(periods)
    unit, year = np.divmod(np.arange(n * periods), periods)
    frame = pd.DataFrame({"rate": rate.ravel(), "law": law.ravel(), "year": 1980 + year})
    frame = frame.assign(
        z=rng.normal(size=len(unit)), state=[f"s{u:02d}" for u in unit], region=[f"r{u % 4}" for u in unit]
    )
    return frame, Roles(outcome="rate", exposure="law", controls=("z",), unit="state", time="year", group="region")


PANELS = {
    "wages": wages,
    "Grunfeld": grunfeld,
    "productivity": productivity,
    "laws, errors fade slowly": lambda: laws(3, 0.7, 0.0),
    "laws, trends of states": lambda: laws(4, 0.3, 0.06),
}


def compared(design: Design) -> dict[str, float]:
    """Return mean and sd of the average slope, the regression's slope with CR2, and how they compare."""
    begun = time.perf_counter()
    found = fit(design, headline(design).model)
    seconds = time.perf_counter() - begun
    own = effects(found).set_index("group").loc[GROUP_AVERAGE]
    few = few_clusters(design, bootstrapped=())
    return {
        "mean": own["mean"],
        "sd": own["sd"],
        "twfe": float(few.regression.estimate[0]),
        "cr2": float(few.cr2_se[0]),
        "sd / CR2": own["sd"] / float(few.cr2_se[0]),
        "sd_ij / sd": own["sd_ij"] / own["sd"],
        "seconds": seconds,
    }


def main() -> None:
    """Print a line for each panel."""
    rows = {}
    for name, of in PANELS.items():
        frame, roles = of()
        origin = Origin.SIMULATED if name.startswith("laws") else Origin.OBSERVED
        rows[name] = compared(make_design(make_panel(frame, roles, origins=dict.fromkeys(frame.columns, origin))))
    print(pd.DataFrame(rows).T.to_string(float_format="%.3f"))


if __name__ == "__main__":
    main()
