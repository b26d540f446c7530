"""The classical tables of `published`: what they hold, in which unit, and what they say where they are blank."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.classical.meta.selection import selection_model
from cbec_bayes.estimands import Summary
from cbec_bayes.jobs.classical_pooling import (
    COLUMNS,
    SMALL_COLUMNS,
    classical_pooling,
    classical_sentences,
    told,
    why_they_differ,
)
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.terms import Terms
from tests.support.meta import SETS, data_of


def estimates(y, s) -> Estimates:
    labels = tuple(f"g{k}" for k in range(len(y)))
    errors = tuple(None if math.isnan(one) else KnownError(float(error), "") for one, error in zip(y, s, strict=True))
    return Estimates(labels, np.asarray(y, float), errors)


def common(mean: float, low: float, high: float) -> Summary:
    return Summary(mean=mean, sd=(high - low) / 4, ci_low=low, ci_high=high, p_positive=0.9)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("unit", [1.0, 1e-90, 1e90])
def test_the_tables_are_metafor_s_in_every_unit(name, unit):
    y, v = data_of(name)
    y = np.append(y * unit, math.nan)  # a row without an estimate asks for a prediction and counts for nothing here
    s = np.append(np.sqrt(v) * unit, math.nan)
    found = classical_pooling(estimates(y, s))
    assert tuple(found.table.columns) == COLUMNS
    assert tuple(found.small_studies.columns) == SMALL_COLUMNS
    assert (found.table["n"] == len(v)).all()
    assert set(found.table["origin"]) == {"printed"}
    rows = found.table.set_index("estimator")
    for estimator, theirs in SETS[name]["fits"].items():
        row = rows.loc[estimator]
        assert row["estimate"] == pytest.approx(unit * theirs["estimate"][0], rel=1e-6)
        assert row["ci_high"] == pytest.approx(unit * theirs["high"][0], rel=1e-6)
        assert row["tau2"] == pytest.approx(unit * unit * theirs["tau2"], rel=1e-6, abs=1e-12 * unit * unit)
        if estimator != "common_effect":
            assert row["pi_low"] == pytest.approx(unit * theirs["pi_low"], rel=1e-6)
    small = found.small_studies.set_index("method")
    assert small.loc["egger", "p"] == pytest.approx(SETS[name]["egger"]["lm"]["p"], rel=1e-6)
    assert small.loc["egger", "estimate"] == pytest.approx(unit * SETS[name]["egger"]["lm"]["limit"], rel=1e-6)
    assert small["assumes"].map(len).min() > 40


@pytest.mark.parametrize("name", ["bcg", "hackshaw1998"])
def test_selection_is_looked_for_in_the_direction_of_the_pooled_estimate(name):
    y, v = data_of(name)
    row = classical_pooling(estimates(y, np.sqrt(v))).small_studies.set_index("method").loc["selection_model"]
    above = SETS[name]["selection"]["side"] == "greater"
    theirs = selection_model(y, v, above=above, prob=0.95)
    assert (row["estimate"], row["delta"]) == pytest.approx((theirs.estimate, theirs.delta), rel=1e-6)
    assert ("positive" if above else "negative") in row["note"]


def test_one_and_two_estimates():
    one = classical_pooling(estimates([0.3], [0.1]))
    assert one.table["estimator"].tolist() == ["common_effect"]
    assert one.table["tau2"].isna().all()
    assert (one.small_studies["note"].str.startswith("not computed")).all()
    assert classical_sentences(one, common(0.3, 0.1, 0.5)) == (
        "Classical: one estimate, 0.3 (0.104 to 0.496); nothing is pooled.",
    )
    two = classical_pooling(estimates([0.3, 0.5], [0.1, 0.1]))
    assert len(two.table) == 6
    assert two.table["estimate"].notna().all()


@pytest.mark.filterwarnings("error")
def test_numbers_too_far_apart_are_left_blank_or_finite():
    found = classical_pooling(estimates([1e200, -3.0, 1e-200], [1e180, 1.0, 1e-180]))
    computed = found.table["estimate"].notna()
    assert (computed | found.table["note"].str.startswith("not computed")).all()
    assert np.isfinite(found.table.loc[computed, "se"].to_numpy(float)).all()


def test_standard_errors_that_stars_imply_count_with_the_middle_of_their_band():
    implied = ImpliedError(0.4, 1.96, 2.5758, math.inf)
    mixed = Estimates(("a", "b"), np.array([0.4, 0.1]), (implied, KnownError(0.2, "")))
    found = classical_pooling(mixed)
    plain = classical_pooling(estimates([0.4, 0.1], [implied.typical, 0.2]))
    assert found.table["estimate"].tolist() == pytest.approx(plain.table["estimate"].tolist(), rel=1e-12)
    assert (found.table["note"] == "standard errors that stars imply count with the middle of their band").all()


def test_a_posterior_far_from_the_classical_answer_is_explained():
    shown = classical_pooling(estimates([0.2, 0.5, 0.1], [0.1, 0.2, 0.1])).shown
    assert shown is not None
    width = shown.high - shown.low
    alike = common(shown.estimate, shown.low, shown.high)
    assert why_they_differ(shown, alike) == ""
    wide = why_they_differ(shown, common(shown.estimate, shown.low - width, shown.high + width))
    narrow = why_they_differ(shown, common(shown.estimate, shown.low + 0.3 * width, shown.high - 0.3 * width))
    moved = why_they_differ(
        shown, common(shown.estimate + 0.3 * width, shown.low + 0.3 * width, shown.high + 0.3 * width)
    )
    said = [text.split(" the classical one")[0].rpartition("slope ")[2] for text in (wide, narrow, moved)]
    assert said == ["is wider than", "is narrower than", "lies elsewhere than"]
    assert "3 estimates say little about τ" in wide
    assert "t with 2 degrees of freedom" in wide


@pytest.mark.parametrize("unit", [1.0, 1e-6])
@pytest.mark.parametrize("name", [name for name in SETS if "x" in SETS[name]])
def test_moderators_give_the_meta_regression_of_metafor(name, unit):
    y, v = data_of(name)
    x = np.array(SETS[name]["x"], float)[:, None]
    plain = estimates(y * unit, np.sqrt(v) * unit)
    whole = classical_pooling(replace(plain, terms=Terms(("x",), x - x.mean())))
    (said,) = classical_sentences(whole, common(0.0, -unit, unit))
    assert f"With x beside it the slope of an average group is {told(whole.regression['estimate'][0])} (" in said
    found = whole.regression
    theirs = SETS[name]["regression"]
    rows = found.set_index("term")
    assert rows.loc["x", "estimate"] == pytest.approx(unit * theirs["estimate"][1], rel=1e-6)
    assert rows.loc["x", "se"] == pytest.approx(unit * theirs["se"][1], rel=1e-6)
    centre = theirs["estimate"][0] + theirs["estimate"][1] * x.mean()  # the slope of an average group
    assert rows.loc["(common)", "estimate"] == pytest.approx(unit * centre, rel=1e-6)
    assert 100 * rows.loc["x", "explained"] == pytest.approx(theirs["r2"], rel=1e-6, abs=1e-9)
    assert rows.loc["x", ["f", "f_p", "q"]].tolist() == pytest.approx(
        [theirs[k] for k in ("qm", "qm_p", "q")], rel=1e-6
    )


@pytest.mark.parametrize("name", SETS)
def test_a_covariance_gives_the_multivariate_answer_of_metafor(name):
    y, v = data_of(name)
    places = np.arange(len(y))
    covariance = 0.5 ** np.abs(np.subtract.outer(places, places)) * np.sqrt(np.outer(v, v))
    terms = Terms((), np.zeros((len(y), 0)), covariance)
    found = classical_pooling(replace(estimates(y, np.sqrt(v)), terms=terms))
    row, theirs = found.table.set_index("estimator").loc["reml"], SETS[name]["correlated"]
    assert row[["estimate", "se"]].tolist() == pytest.approx([theirs["estimate"], theirs["se"]], rel=1e-5)
    assert row["tau2"] == pytest.approx(theirs["tau2"], rel=1e-5, abs=1e-7)
    assert row["q"] == pytest.approx(theirs["q"], rel=1e-6)
    assert (
        found.small_studies["note"].str.startswith("not computed: it takes errors of estimates for independent").all()
    )
    assert found.regression is None
