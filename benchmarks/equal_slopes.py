"""Size and power of the tests of equal slopes: how often each says at 5 % that slopes differ, where they do or do not.

Run with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/equal_slopes.py [REPLICATIONS]``. Panels of N
units in R groups of unequal size, balanced and with holes, errors AR(1) within units, and, where said, ever larger by
group. Beside each share stands its Monte Carlo error. The Wald test with CRV1 and N - 1 degrees of freedom is what is
usually run.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import numpy as np
from scipy import stats

from cbec_bayes.classical.group_slopes import CONTROLS, GroupSlopes, covariance_of, group_slopes
from cbec_bayes.classical.joint_bootstrap import joint_bootstrap, wald_of_equality
from cbec_bayes.classical.permutation import permutation_test, unit_moments
from cbec_bayes.classical.wald import contrasts_of, wald_test
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, TwoWay
from cbec_bayes.runtime.labels import Origin

N_TIMES, RHO, LEVEL = 8, 0.6, 0.05
SCENARIOS = {
    "24 units": {"sizes": (10, 8, 6)},
    "24 units, holes": {"sizes": (10, 8, 6), "share": 0.8},
    "24 units, unequal errors": {"sizes": (10, 8, 6), "spread": 1.0},
    "60 units, unequal errors": {"sizes": (25, 20, 15), "spread": 1.0},
    "24 units, slopes differ": {"sizes": (10, 8, 6), "gap": 0.5},
}


def simulate(
    rng: np.random.Generator,
    sizes: tuple[int, ...],
    *,
    share: float = 1.0,
    spread: float = 0.0,
    gap: float = 0.0,
) -> Design:
    """Draw a panel: exposure and control go with units and periods, and group r has the slope 1 + `gap` r."""
    n_units = sum(sizes)
    of_unit = np.repeat(np.arange(len(sizes)), sizes)
    cells = np.flatnonzero(rng.uniform(size=n_units * N_TIMES) < share)
    unit, time = np.divmod(cells, N_TIMES)
    group = of_unit[unit]
    a, b = rng.normal(size=n_units), rng.normal(size=N_TIMES)
    x = rng.normal(size=(len(unit), 2)) + (a[unit] + b[time])[:, None]
    errors = np.empty((n_units, N_TIMES))
    errors[:, 0] = rng.normal(size=n_units) / np.sqrt(1 - RHO**2)
    for t in range(1, N_TIMES):
        errors[:, t] = RHO * errors[:, t - 1] + rng.normal(size=n_units)
    noise = errors[unit, time] * (1 + spread * group)
    return Design(
        outcome="y",
        terms=("x", "z"),
        y=(1 + gap * group) * x[:, 0] + 0.5 * x[:, 1] + a[unit] + b[time] + noise,
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=tuple(f"u{u}" for u in range(n_units)),
        times=tuple(float(t) for t in range(N_TIMES)),
        groups=tuple(f"g{r}" for r in range(len(sizes))),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )


def usual(slopes: GroupSlopes) -> float:
    """Return the p-value of the Wald test with CRV1 and the number of clusters less one as degrees of freedom."""
    crv1 = covariance_of([replace(block, reduced=None) for block in slopes.blocks], len(slopes.groups))
    statistic = wald_of_equality(slopes.estimate[None], crv1[None])[0]
    q = len(slopes.groups) - 1
    return float(stats.f.sf(statistic / q, q, slopes.n_clusters - 1))


def p_values(design: Design, seed: int) -> Array:
    """Return the p-values of the four tests, first with controls in common, then by group."""
    found = []
    for controls in CONTROLS:
        slopes = group_slopes(design, controls)
        groups = range(len(design.groups))
        permuted = permutation_test(unit_moments(design), groups, controls, permutations=199, seed=seed)[0]
        wald = wald_test(slopes, contrasts_of(len(groups)))
        found += [usual(slopes), wald.p, joint_bootstrap(slopes, replications=199, seed=seed).p, permuted.p]
    return np.array(found)


def main(replications: int) -> None:
    """Print the share of p-values of at most 5 % by scenario, with its Monte Carlo error."""
    tests = ("Wald, CRV1", "Wald, CR2 and Hotelling", "wild bootstrap", "permutation")
    for name, scenario in SCENARIOS.items():
        rng = np.random.default_rng(1)
        p = np.stack([p_values(simulate(rng, **scenario), seed) for seed in range(replications)])
        print(f"\n{name}, {replications} panels")
        for k, (controls, test) in enumerate(itertools.product(CONTROLS, tests)):
            share = float((p[:, k] <= LEVEL).mean())
            error = np.sqrt(share * (1 - share) / replications)
            print(f"  controls {controls:9}  {test:24} {share:6.3f} ({error:.3f})", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
