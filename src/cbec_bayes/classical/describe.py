"""The descriptive table of a panel."""

from __future__ import annotations

import pandas as pd

from cbec_bayes.panel import Panel

QUANTITIES = ("n_obs", "mean", "sd", "min", "max")


def descriptive(panel: Panel, *, by_group: bool = False) -> pd.DataFrame:
    """Describe the outcome and the regressors of a panel.

    Parameters
    ----------
    panel
        The panel.
    by_group
        Also describe each group.

    Returns
    -------
    DataFrame
        group (blank for all rows), term, n_obs, mean, sd (divisor n - 1), min, max, origin; a row per column and group.
    """
    parts = [("", panel.frame), *((g, panel.of_group(g).frame) for g in (panel.groups if by_group else ()))]
    rows = [
        {
            "group": group,
            "term": term,
            "n_obs": len(frame),
            **frame[term].agg(["mean", "std", "min", "max"]).rename({"std": "sd"}).to_dict(),
            "origin": str(panel.origins[term]),
        }
        for group, frame in parts
        for term in panel.roles.measured
    ]
    return pd.DataFrame(rows)
