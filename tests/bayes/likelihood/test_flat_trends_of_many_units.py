"""Flat trends of very many units: the density of columns from which each unit's level and trend are taken out."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin
from tests.support.members import member

UNITS, PERIODS, GROUPS = 3_000, 6, 4


def a_panel(share: float) -> Design:
    """Simulate a panel of which a share of the rows is missing, so that some units have two rows or fewer."""
    rng = np.random.default_rng(8)
    unit, time = np.divmod(np.flatnonzero(rng.uniform(size=UNITS * PERIODS) >= share), PERIODS)
    unit = np.unique(unit, return_inverse=True)[1]
    group = unit % GROUPS
    x = rng.normal(size=(len(unit), 2)) + 0.1 * time[:, None] * rng.normal(size=(UNITS, 2))[unit]
    trend = 0.2 * rng.normal(size=UNITS)[unit] * time
    y = (
        (0.2 + 0.1 * group) * x[:, 0]
        + 0.3 * x[:, 1]
        + rng.normal(size=UNITS)[unit]
        + trend
        + rng.normal(size=len(unit))
    )
    return Design(
        outcome="y",
        terms=("d", "x"),
        y=y,
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=tuple(map(str, range(unit.max() + 1))),
        times=tuple(map(float, range(PERIODS))),
        groups=tuple("abcd"),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )


@pytest.mark.parametrize("spread", ["common", "by_group"])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_density_is_that_of_what_levels_and_trends_leave(share, spread):
    """Units are parted and taken out one by one, by least squares; scales then move a system of a few coefficients."""
    design = a_panel(share)
    collapsed = make_collapsed(make_blocks(design, member(group_slope="pooled", unit_trend="fixed", spread=spread)))
    d, other = design.x.T
    by_group = d[:, None] * (design.group[:, None] == np.arange(GROUPS))
    periods = (design.time[:, None] == np.arange(1, PERIODS - 1)).astype(float)  # level and trend have the others
    columns = np.column_stack([design.y, d, other, periods, by_group])
    free, order = np.zeros(GROUPS), np.argsort(design.unit, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(design.unit[order])) + 1):
        own = np.column_stack([np.ones(len(rows)), design.time[rows]])
        columns[rows] -= own @ np.linalg.lstsq(own, columns[rows], rcond=None)[0]
        free[design.group[rows[0]]] += len(rows) - np.linalg.matrix_rank(own)
    rng = np.random.default_rng(2)
    points = np.log(rng.uniform(0.05, 2.0, size=(5, len(collapsed.names))))
    scales = collapsed.scales(points)
    expected = []
    for s in range(len(points)):
        sigma = np.array([scales.get(f"sigma[{g}]", scales.get("sigma"))[s] for g in design.groups])
        inner = (columns / sigma[design.group, None] ** 2).T @ columns
        precision = inner[1:, 1:] + np.diag(
            np.r_[np.zeros(len(inner) - 1 - GROUPS), np.full(GROUPS, scales["tau"][s] ** -2)]
        )
        fitted = inner[0, 1:] @ np.linalg.solve(precision, inner[1:, 0])
        size = np.linalg.slogdet(precision)[1] / 2 + GROUPS * np.log(scales["tau"][s]) + free @ np.log(sigma)
        expected.append(-(inner[0, 0] - fitted) / 2 - size)
    found = collapsed.log_likelihood(points)
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0], rtol=1e-8, atol=1e-7)


def test_all_points_together_are_each_alone():
    collapsed = make_collapsed(make_blocks(a_panel(0.3), member(group_slope="pooled", unit_trend="fixed")))
    points = np.log(np.random.default_rng(2).uniform(0.05, 2.0, size=(4, len(collapsed.names))))
    alone = [float(collapsed.log_likelihood(point[None])[0]) for point in points]
    np.testing.assert_allclose(collapsed.log_likelihood(points), alone, rtol=1e-12)
