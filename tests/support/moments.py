"""When moments of a panel are the same, whatever the order of their groups and the point they are taken about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cbec_bayes.bayes.moments.panel_moments import PanelMoments


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
