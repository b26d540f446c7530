"""CRV3 by pyfixest and the wild cluster bootstrap by wildboottest: whom `few_clusters` is held against.

They run on rows with unit means taken out and period dummies as regressors: the units are the clusters, so leaving one
out, or changing the sign of its residuals, leaves the other units' means alone, and no dummy per unit is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.classical.conventions import convention
from cbec_bayes.classical.fewbatch import TIE, weights_for
from cbec_bayes.classical.fits import NO_FACTORS, pyfixest, quiet
from cbec_bayes.classical.regression import sample
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, means_by


def by_the_packages(design: Design, *, ssc: str = "reghdfe", replications: int, seed: int = 1) -> tuple[Array, Array]:
    """Return standard errors CRV3 and p-values of the bootstrap, shapes (K,); NaN where a slope is not identified."""
    used = sample(design, convention(ssc))
    kept = list(identified(used.x, used.effects.within(used.x)))
    frame, slopes, effects, unit = unit_demeaned(used, kept)
    se, wild = np.full((2, len(used.terms)), np.nan)
    se[kept] = _crv3(frame, slopes, effects, len(used.units)) * unit
    model = feols(frame, slopes, effects, "CRV1")
    for k, name in zip(kept, slopes, strict=True):
        with quiet(), _no_variance():
            test, drawn = model.wildboottest(
                param=name,
                reps=replications,
                seed=seed,
                weights_type=weights_for(len(used.units), replications),
                bootstrap_type="11",
                impose_null=True,
                return_bootstrapped_t_stats=True,
            )
        wild[k] = (np.abs(drawn) > abs(float(test["t value"])) * (1 + TIE)).mean()
    return se, wild


def unit_demeaned(design: Design, kept: Sequence[int]) -> tuple[pd.DataFrame, list[str], list[str], Array]:
    """Return y, slopes and period dummies less their unit means, over their spread.

    With the names of slopes and dummies, and what a slope in the frame's units is multiplied by, shape (k,).
    """
    dummies = (design.time[:, None] == np.arange(1, len(design.times))).astype(float)
    columns = np.column_stack([design.y, design.x[:, list(kept)], dummies])
    columns = columns - means_by(design.unit, columns)[design.unit]
    slopes = [f"x{k}" for k in kept]
    names = ["y", *slopes, *(f"t{t}" for t in range(1, len(design.times)))]
    spread = np.sqrt((columns**2).mean(axis=0))
    frame = pd.DataFrame(columns / np.where(spread > 0, spread, 1.0), columns=names)
    # An unconnected panel has a period effect too many; its columns are found collinear, and left out, here.
    independent = identified(columns[:, 1:], columns[:, 1:], about_mean=False)
    effects = [names[1 + k] for k in independent if names[1 + k].startswith("t")]
    frame["unit"] = design.unit
    return frame, slopes, effects, spread[0] / spread[1 : 1 + len(slopes)]


def feols(frame: pd.DataFrame, slopes: Sequence[str], effects: Sequence[str], vcov: str) -> Any:
    pf = pyfixest()
    with quiet(), _no_variance():
        return pf.feols(
            f"y ~ {' + '.join([*slopes, *effects])} - 1",
            data=frame,
            vcov={vcov: "unit"},
            ssc=NO_FACTORS,
            collin_tol=1e-14,
        )


def _no_variance() -> np.errstate:
    """Say nothing of roots that may not exist: with two clusters the variance is nothing but rounding."""
    return np.errstate(invalid="ignore", divide="ignore")


def _crv3(frame: pd.DataFrame, slopes: Sequence[str], effects: Sequence[str], n_units: int) -> Array:
    """Return jackknife standard errors of the slopes, which every leave-one-out sample must identify."""
    fit = feols(frame, slopes, effects, "CRV3")
    variance = np.diag(np.asarray(fit._vcov))[: len(slopes)] * (n_units - 1) / n_units
    return np.asarray(np.sqrt(variance))
