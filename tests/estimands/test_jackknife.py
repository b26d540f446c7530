"""Standard deviations that hold where errors are not as the model has them, beside CR2 and the posterior's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes.fit import fit
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.estimands import jackknife
from cbec_bayes.estimands.groups import effects
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield


def a_panel(seed, rho, n_units=40, n_times=12):
    """Two groups with one slope, an exposure that wanders, and errors that are correlated over time within a unit."""
    rng = np.random.default_rng([seed, 3])
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    d = rng.normal(size=(n_units, n_times)).cumsum(axis=1)
    e = rng.normal(size=(n_units, n_times))
    e[:, 0] /= np.sqrt(1 - rho**2)
    for t in range(1, n_times):
        e[:, t] += rho * e[:, t - 1]
    frame = pd.DataFrame({"unit": unit, "time": time, "group": np.where(unit % 2, "b", "a")})
    frame = frame.assign(d=d.ravel(), x=rng.normal(size=len(unit)), y=(0.5 * d + e).ravel())
    roles = Roles(outcome="y", exposure="d", controls=("x",), unit="unit", time="time", group="group")
    return make_design(make_panel(frame.astype({"unit": str}), roles))


def ratios(rho, seeds=6):
    """Return for several panels the average's sd_ij over CR2's standard error, and over the posterior sd."""
    found = []
    for seed in range(seeds):
        design = a_panel(seed, rho)
        row = effects(fit(design, "partial_pooling", draws=300, seed=1)).set_index("group").loc[GROUP_AVERAGE]
        found.append((row["sd_ij"] / few_clusters(design, replications=99).cr2_se[0], row["sd_ij"] / row["sd"]))
    return np.array(found)


def test_where_errors_are_independent_it_is_that_of_cr2():
    over_cr2, _ = ratios(0.0).T
    assert over_cr2.mean() == pytest.approx(1, abs=4 * over_cr2.std(ddof=1) / np.sqrt(len(over_cr2)) + 0.05)


def test_with_correlated_errors_the_jackknife_sd_is_near_cr2_and_above_the_posterior_sd():
    over_cr2, over_sd = ratios(0.8).T
    assert over_cr2.mean() == pytest.approx(1, abs=4 * over_cr2.std(ddof=1) / np.sqrt(len(over_cr2)) + 0.05)
    assert over_sd.mean() > 1.3


def test_every_slope_has_one_that_is_not_below_its_own_sd():
    found = effects(fit(a_panel(1, 0.5), "nested", draws=100, seed=1)).set_index("group")
    assert list(found.index) == [GROUP_AVERAGE, "a", "b", GROUP_ALL, GROUP_NEW]
    assert (found["sd_ij"] >= found["sd"]).all()
    assert found.columns[-1] == "sd_ij"


def test_where_it_is_not_known_it_is_blank(monkeypatch):
    found = fit(a_panel(1, 0.0), "partial_pooling", draws=100, seed=1)
    assert effects(found)["sd_ij"].notna().all()
    assert effects(replace(found, collapsed=None))["sd_ij"].isna().all()
    monkeypatch.setattr(jackknife, "MAX_NUMBERS", 1_000)
    assert effects(found)["sd_ij"].isna().all()


def test_fewer_draws_say_nearly_the_same(monkeypatch):
    """Its own Monte Carlo error, from a tenth of the draws of the scales, is a few per cent."""
    found = fit(a_panel(2, 0.8), "partial_pooling", draws=1_000, seed=1)
    whole = effects(found)["sd_ij"]
    monkeypatch.setattr(jackknife, "DRAWS", 200)
    np.testing.assert_allclose(effects(found)["sd_ij"], whole, rtol=0.1)
