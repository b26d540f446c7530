"""A posterior in a few lines: its slopes and scales as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.model.terms import scale_symbols
from cbec_bayes.runtime.labels import CI_PROB

MOST = 12
"""Rows of one parameter that are shown as text; of more the first ones."""


def slopes_and_scales(tree: Any, most: int | None = None) -> pd.DataFrame:
    """Return posterior mean, sd and equal-tailed interval of every slope and scale.

    Parameters
    ----------
    tree
        The posterior, an ArviZ DataTree.
    most
        Rows of one parameter that are kept, if not all; a row of dots stands for the others.
    """
    posterior = tree["posterior"].dataset
    shown = ["slope", "group_total_slope", "new_group_slope", "exposure_slope", "control_slope", *scale_symbols(), RHO]
    rows: list[tuple[object, ...]] = []
    for name in (name for name in shown if name in posterior and posterior[name].size):
        values = posterior[name].to_numpy()
        values = values.reshape(values.shape[0] * values.shape[1], -1)
        labels = [""] if posterior[name].ndim == 2 else posterior[name][posterior[name].dims[-1]].to_numpy()
        low, high = np.quantile(values, [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2], axis=0)
        for k, label in enumerate(labels[:most]):
            named = f"{name}[{label}]" if len(str(label)) else name
            rows.append((named, values[:, k].mean(), values[:, k].std(ddof=1), low[k], high[k]))
        if most is not None and len(labels) > most:
            rows.append((f"... and {len(labels) - most} more of {name}", *[np.nan] * 4))
    return pd.DataFrame(rows, columns=["", "mean", "sd", "ci_low", "ci_high"])
