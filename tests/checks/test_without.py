"""Which term makes a posterior sd narrower or wider than a regression's standard error: by refits without each."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.checks.agreement import agreement
from cbec_bayes.checks.refits import Refitted, over_units, regression_sds
from cbec_bayes.checks.without import plain, why_apart, without_each_term
from cbec_bayes.estimands.groups import group_slopes
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin


def laws(rho: float) -> Design:
    """Simulate a law that comes and goes beside errors that fade by `rho`; differences tell more than levels."""
    rng = np.random.default_rng(5)
    n, periods = 24, 12
    law = rng.integers(0, 2, (n, periods)).astype(float)
    error = rng.standard_normal((n, periods))
    for t in range(1, periods):
        error[:, t] = rho * error[:, t - 1] + math.sqrt(1 - rho**2) * error[:, t]
    unit, time = np.divmod(np.arange(n * periods), periods)
    return Design(
        outcome="y",
        terms=("law", "x"),
        y=(0.5 * law + error).ravel(),
        x=np.column_stack([law.ravel(), rng.standard_normal(n * periods)]),
        unit=unit,
        time=time,
        group=unit % 3,
        units=tuple(map(str, range(n))),
        times=tuple(map(float, range(periods))),
        groups=("a", "b", "c"),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )


@pytest.fixture(scope="module")
def correlated():
    return fit(laws(0.8), "ar1", draws=500)


def sd_of(found):
    return float(over_units(group_slopes(found), found.design).std(ddof=1))


def test_the_term_that_narrows_the_posterior_sd_is_named_with_the_ratio_without_it(correlated):
    free = sd_of(fit(correlated.design, correlated.model.reduced(correlation="off"), draws=1_000))
    own = sd_of(correlated)
    assert abs(math.log(own / free)) > 0.15  # or there is nothing to tell
    side = "narrower" if own < free else "wider"
    said = why_apart(correlated, own / free, free)
    match = re.fullmatch(
        r"It is (\w+) because of AR\(1\) errors: the ratio would be ([\d.]+) without AR\(1\) errors\.", said
    )
    assert match is not None, said
    assert match[1] == side
    assert float(match[2]) == pytest.approx(1.0, abs=0.06)


def test_a_term_that_changes_nothing_is_no_reason():
    found = fit(laws(0.0), "unit_trends", draws=500)
    own = sd_of(found)
    said = why_apart(found, 0.2, own / 0.2)
    assert said.startswith("No single term makes it narrower; all terms together do not either: the ratio would be 0.")


def test_a_member_without_such_terms_has_nothing_to_say():
    found = fit(laws(0.0), "complete_pooling", draws=200)
    assert without_each_term(found.model) == ()
    assert why_apart(found, 0.2, 1.0) == ""


def test_each_term_of_the_robust_member_is_left_out_once():
    model = load_panel_model("robust")
    found = without_each_term(model)
    assert [one.term for one in found] == [
        "AR(1) errors",
        "trends of units",
        "a spread by group",
        "slopes of units",
        "controls and periods by group",
    ]
    bare = plain(model)
    assert without_each_term(bare) == ()
    assert bare.choice("group_slope") == "pooled"
    assert set(bare.priors) == {"slope", "control_slope", *bare.scales}


def test_refits_know_the_sds_that_draws_have(correlated):
    """Those of mixtures of normals given the scales, against plain draws of a fit."""
    sds = regression_sds(Refitted(correlated.design, correlated.model, 3))
    control = correlated.tree["posterior"]["control_slope"].sel(coef="x").to_numpy().std(ddof=1)
    assert sds["law"] == pytest.approx(sd_of(correlated), rel=0.08)  # of 2,000 draws: 1.6 %, and heavy tails
    assert sds["x"] == pytest.approx(control, rel=0.08)


def test_the_page_says_why_a_ratio_that_is_not_judged_is_far_off(correlated, monkeypatch):
    text = agreement(correlated, "reghdfe", replications=99).text
    ratios = re.findall(
        r"The posterior sd of law\S* \S+ is ([\d.]+) times CR2's standard error\. (What makes|No single)", text
    )
    within = not re.search(r"times CR2's standard error\. ", text)
    assert ratios or within
    monkeypatch.setattr("cbec_bayes.checks.pair.LEAST", 0.999)
    monkeypatch.setattr("cbec_bayes.checks.pair.MOST", 1.001)
    narrow = agreement(correlated, "reghdfe", replications=99).text
    assert re.search(r"times CR2's standard error\. (What makes it|No single term makes it) (narrower|wider)", narrow)
