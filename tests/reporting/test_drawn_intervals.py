"""The intervals that figures draw are those of their regressions: t with the degrees of freedom of the convention."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cbec_bayes.bayes.fit import fit
from cbec_bayes.checks.agreement import agreement
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.jobs.fit_tables import tabulate
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.reporting import checkfigures, figures
from cbec_bayes.reporting.paneltables import own_regressions
from cbec_bayes.runtime.labels import CI_PROB

THREE = "three"
"""A group with three units: its clustered t has two degrees of freedom, and its 97.5 % point is 4.30, not 1.96."""


@pytest.fixture(scope="module")
def found():
    """A fit to a panel where the slope of the group `THREE` is more than 1.96 and less than 4.30 errors from zero."""
    rng = np.random.default_rng(4)
    unit, time = np.divmod(np.arange(12 * 6), 6)
    x = rng.normal(size=len(unit))
    y = 0.4 * x + rng.normal(size=12)[unit] + rng.normal(size=len(unit))
    frame = pd.DataFrame({"y": y, "x": x, "unit": [f"u{u:02}" for u in unit], "time": time})
    frame["group"] = np.where(unit < 3, THREE, "nine")
    roles = Roles(outcome="y", exposure="x", controls=(), unit="unit", time="time", group="group")
    return fit(make_design(make_panel(frame, roles)), "partial_pooling", draws=400)


def segments(figure) -> list[tuple[float, float, float]]:
    """Return height, left end and right end of every horizontal line of a figure's first axes that can be seen."""
    lines = [line for one in figure.axes[0].collections if hasattr(one, "get_segments") for line in one.get_segments()]
    return [(float(line[0][1]), float(line[0][0]), float(line[1][0])) for line in lines if len(line)]


def test_the_panel_tells_the_two_intervals_apart(found):
    row = tabulate(found).effects.set_index("group").loc[THREE]
    ratio = abs(row["no_pooling"] / row["no_pooling_se"])
    assert stats.norm.ppf((1 + CI_PROB) / 2) < ratio < stats.t.ppf((1 + CI_PROB) / 2, 2)


def test_the_forest_draws_the_interval_of_three_clusters_over_zero(found, drawn):
    fitted = tabulate(found)
    effects = fitted.effects
    figures.forest(effects, own_regressions(fitted.classical, "x", effects["group"]), "slope", "own regression")
    at = len(effects) - 1 - list(effects["group"]).index(THREE) + 0.16
    ((low, high),) = [(left, right) for height, left, right in segments(drawn[0]) if height == pytest.approx(at)]
    assert low < 0 < high
    row = effects.set_index("group").loc[THREE]
    half = stats.t.ppf((1 + CI_PROB) / 2, 2) * row["no_pooling_se"]
    assert (low, high) == pytest.approx((row["no_pooling"] - half, row["no_pooling"] + half))


def test_the_agreement_draws_the_interval_of_three_clusters_over_zero(found, drawn):
    table = agreement(found, "reghdfe", replications=99).table
    checkfigures.agreement(table, "Agreement")
    place = list(table["column"]).index(THREE)
    row = table.iloc[place]
    zero = -row["mean"] / row["sd"]
    by_height = {round(height, 6): (left, right) for height, left, right in segments(drawn[0])}
    low, high = by_height[round(-place + 0.06, 6)]
    assert low < zero < high
    half = stats.t.ppf((1 + CI_PROB) / 2, 2) * row["crv1_se"]
    ends = [(row["estimate"] + sign * half - row["mean"]) / row["sd"] for sign in (-1, 1)]
    assert (low, high) == pytest.approx(ends)


def test_the_agreement_has_the_intervals_of_the_three_variances(found):
    table = agreement(found, "reghdfe", replications=99).table.set_index("column")
    own = few_clusters(found.design.of_group("nine"), bootstrapped=())
    frame = own.frame().set_index("vcov")
    assert own.cr2_df[0] < 8  # Satterthwaite's are not the clusters less one
    for name in ("CRV1", "CR2", "CRV3"):
        ends = table.loc["nine", [f"{name.lower()}_low", f"{name.lower()}_high"]]
        assert list(ends) == pytest.approx(list(frame.loc[name, ["ci_low", "ci_high"]]), rel=1e-12)
        half = stats.t.ppf((1 + CI_PROB) / 2, frame.loc[name, "df"]) * frame.loc[name, "se"]
        assert (ends.iloc[1] - ends.iloc[0]) / 2 == pytest.approx(half)


def test_an_interval_that_is_not_defined_is_not_drawn(found, drawn):
    table = agreement(found, "reghdfe", replications=99).table
    table.loc[:, ["cr2_low", "cr2_high"]] = np.nan
    checkfigures.agreement(table, "Agreement")
    heights = {round(height, 6) for height, *_ in segments(drawn[0])}
    assert {round(-i + 0.06, 6) for i in range(len(table))} <= heights
    assert not {round(-i + 0.06 - 0.16, 6) for i in range(len(table))} & heights


def test_own_regressions_are_of_the_groups_alone(found):
    fitted = tabulate(found)
    own = own_regressions(fitted.classical, "x", fitted.effects["group"])
    assert sorted(own["group"]) == ["nine", THREE]
    by_group = fitted.effects.set_index("group")
    np.testing.assert_array_equal(own["estimate"], by_group.loc[own["group"], "no_pooling"])
