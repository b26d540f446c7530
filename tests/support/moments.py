"""Moments of a design, and when they are the same, whatever the order of groups and the point they are taken about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from cbec_bayes.bayes.moments.gathering import Gathering
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.design import Design


def gather(design: Design, rows=None, into: Gathering | None = None) -> Gathering:
    rows = np.arange(design.n_obs) if rows is None else rows
    grouped = design.group is not None
    found = Gathering(design.outcome, design.terms, grouped=grouped, origin=design.origin) if into is None else into
    units, times = np.array(design.units)[design.unit[rows]], np.array(design.times)[design.time[rows]]
    groups = pd.Index(np.array(design.groups)[design.group[rows]]) if grouped else None
    found.add(pd.Index(units), times, np.column_stack([design.y, design.x])[rows], groups)
    return found


def in_order(found: PanelMoments, groups: tuple[str, ...]) -> PanelMoments:
    if not groups:
        return found
    at = [found.groups.index(group) for group in groups]
    return replace(
        found,
        groups=groups,
        counts=found.counts[at],
        within=found.within[at],
        between=None if found.between is None else found.between[at],
        period_counts=found.period_counts[at],
        period_sums=found.period_sums[at],
    )


def assert_same(one: PanelMoments, two: PanelMoments, rtol: float = 1e-9) -> None:
    assert (one.outcome, one.terms, one.times, one.dropped) == (two.outcome, two.terms, two.times, two.dropped)
    two = in_order(two, one.groups)
    np.testing.assert_array_equal(one.sizes, two.sizes)
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_array_equal(one.period_counts, two.period_counts)
    two = two._laid_out(two.groups, two.times, two.sizes, one.centre)
    for name in ("mean", "squares", "within", "between", "period_sums"):
        a, b = getattr(one, name), getattr(two, name)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(a).max(), err_msg=name)
