"""The mixture of members and what they agree on, by draws and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from cbec_bayes.estimands.summary import Mixed
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, Origin
from cbec_bayes.specifications.conclusions import (
    CONCLUSION_COLUMNS,
    conclusion_sentences,
    conclusions,
    separating_term,
)
from cbec_bayes.specifications.lattice import AXES, lattice_base, specification
from cbec_bayes.specifications.members import Member
from cbec_bayes.specifications.mixture import MIXTURE_COLUMNS, Mixture, mixture_frame, mixtures
from tests.support.simulated import simulated

PLAIN = {axis: choices[0].value for axis, choices in AXES.items()}


def a_member(slopes, gate="", **chosen):
    """A member whose slopes are normal about the means given, with sd 0.1, under every draw of the scales."""
    mixed = {name: Mixed(np.full(50, mean), np.full(50, 0.1), 50.0) for name, mean in slopes.items()}
    return Member(
        specification=specification(lattice_base(), PLAIN | chosen),
        slopes={} if gate else mixed,
        averages={},
        elpd=np.zeros(3),
        gate=gate,
    )


def test_a_mixture_is_that_of_its_draws():
    rng = np.random.default_rng(1)
    parts = [Mixed(rng.normal(m, 0.2, 300), rng.uniform(0.1, 0.4, 300), 300.0) for m in (-1.0, 0.5, 3.0)]
    weight = np.array([0.2, 0.5, 0.3])
    found = Mixture(parts, weight).summary()
    which = rng.choice(3, size=400_000, p=weight)
    at = rng.integers(0, 300, size=len(which))
    means, sds = (np.stack([getattr(part, name) for part in parts]) for name in ("mean", "sd"))
    draws = rng.normal(means[which, at], sds[which, at])
    assert found.mean == pytest.approx(draws.mean(), abs=4 * draws.std() / 632)
    assert found.sd == pytest.approx(draws.std(), rel=0.01)
    np.testing.assert_allclose([found.ci_low, found.ci_high], np.quantile(draws, [0.025, 0.975]), atol=0.01)
    assert found.p_positive == pytest.approx((draws > 0).mean(), abs=0.004)


def test_a_mixture_of_one_member_is_the_member():
    rng = np.random.default_rng(2)
    one = Mixed(rng.normal(size=200), rng.uniform(0.5, 1.0, 200), 150.0)
    other = Mixed(one.mean + 9, one.sd, 150.0)
    found, own = Mixture([one, other], np.array([1.0, 0.0])).summary(), one.summary()
    np.testing.assert_allclose(found.numbers, own.numbers, rtol=1e-8)
    assert found.mcse == pytest.approx(own.mcse, rel=1e-6)


def test_its_error_is_that_of_its_members_draws():
    """The spread of the mean over fresh draws of the scales of both members."""
    rng = np.random.default_rng(3)

    def mixture():
        return Mixture(
            [Mixed(rng.normal(m, 1, 100), np.full(100, 0.5), 100.0) for m in (0.0, 1.0)], np.array([0.3, 0.7])
        )

    means = [mixture().summary().mean for _ in range(300)]
    assert mixture()._error(np.ones(2)) == pytest.approx(np.std(means), rel=0.15)


def test_what_changes_sign_is_named_where_it_has_weight():
    design = simulated()
    names = (GROUP_AVERAGE, *design.groups, GROUP_ALL)
    up, down = dict.fromkeys(names, 1.0), dict.fromkeys(names, -1.0)
    members = [a_member(up), a_member(down, trends="pooled"), a_member(down, correlation="ar1"), a_member(up, "lost")]
    weight = np.array([0.8, 0.195, 0.005, 0.0])
    frame = mixture_frame(members, weight, design, "reghdfe")
    assert tuple(frame.columns) == MIXTURE_COLUMNS
    assert list(frame["group"]) == list(names)
    assert set(frame["sign_changes"]) == {"trends"}
    assert frame["mean"].to_numpy() == pytest.approx(0.6)
    outcome, exposure = design.spread.within[:2]
    assert frame["rope_half_width"].to_numpy() == pytest.approx(0.1 * outcome / exposure)
    near = [(0.8, 1.0), (0.2, -1.0)]  # of a mixture of normals the share within the half-width that was asked for
    asked = mixture_frame(members, weight, design, "reghdfe", rope=0.95)
    spread = members[0].slopes[names[0]].sd
    inside = sum(w * (norm.cdf(0.95, m, spread) - norm.cdf(-0.95, m, spread)).mean() for w, m in near)
    assert asked["rope_half_width"].to_numpy() == pytest.approx(0.95)
    assert asked["p_rope"].to_numpy() == pytest.approx(inside, rel=1e-8)
    assert frame.loc[frame["group"] == "g0", "n_obs"].item() == int((design.group == 0).sum())
    assert mixtures([a_member(up, "lost")], np.zeros(1)) == {}


SIGNS = {
    "positive": ([1.0, 1.2], (0.5, 0.5)),
    "negative": ([-1.0, -1.2], (0.5, 0.5)),
    "leans positive": ([1.0, 0.01], (0.5, 0.5)),
    "changes sign": ([1.0, -1.0], (0.9, 0.1)),
}


@pytest.mark.parametrize("holds", SIGNS)
def test_what_holds_under_every_member_with_weight(holds):
    (first, second), weight = SIGNS[holds]
    members = [
        a_member({"east": first}),
        a_member({"east": second}, trends="pooled"),
        a_member({"east": -5.0}, spread="by_group"),
    ]
    table = conclusions(members, np.array([*weight, 0.0]), Origin.SIMULATED)
    row = table.iloc[0]
    assert tuple(table.columns) == CONCLUSION_COLUMNS
    assert row["holds"] == holds
    assert row["members"] == 2
    assert row["lattice"] == 3
    assert (row["mean_low"], row["mean_high"]) == pytest.approx((min(first, second), max(first, second)))
    assert row["lattice_low"] == pytest.approx(-5.0)
    assert row["weight_positive"] == pytest.approx(
        sum(w for m, w in zip((first, second), weight, strict=True) if m > 0)
    )
    (said,) = conclusion_sentences(table, "zones")
    assert said.startswith("The slope of zones in group east ")
    assert holds.removeprefix("leans ").split()[0].rstrip("s") in said


def test_the_term_that_best_tells_the_sign_is_found():
    signs, members = [], []
    for trends in ("off", "pooled"):
        for correlation in ("off", "ar1", "random_walk"):
            members.append(a_member({"east": 1.0}, trends=trends, correlation=correlation))
            signs.append(trends == "off" or correlation == "ar1")
    found = separating_term(members, signs)
    assert found["term"] == "trends"
    assert found["term_share"] == pytest.approx(5 / 6)
    assert (found["positive_under"], found["negative_under"]) == ("off", "pooled")
    assert separating_term(members, [True] * 6)["term"] == ""


def test_sentences_need_no_more_than_the_table(tmp_path):
    """They are the same once the table was written and read."""
    members = [
        a_member({"east": 1.0, GROUP_AVERAGE: 0.5}),
        a_member({"east": -1.0, GROUP_AVERAGE: 0.6}, trends="pooled"),
    ]
    table = conclusions(members, np.array([0.5, 0.5]), Origin.SIMULATED)
    table.to_csv(tmp_path / "conclusions.csv", index=False)
    again = pd.read_csv(tmp_path / "conclusions.csv", keep_default_na=False, na_values={"term_share": ""})
    assert conclusion_sentences(again, "zones") == conclusion_sentences(table, "zones")
    assert "without trends of units" in conclusion_sentences(table, "zones")[0]
