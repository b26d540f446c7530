"""Columns that are nearly one, and numbers far from all others: correct, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.groups import effects
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.runtime.errors import InputError
from tests.support.bad_inputs import table
from tests.support.regressions import dummies


def designs(near: float) -> tuple[Design, Design]:
    """Return a panel with controls that differ by little, and the same span with that difference as a column."""
    frame = table(20, 6, seed=3)
    # Of numbers with few decimals what lies below these is rounding.
    frame["x"] = frame["x"] + 0.1 * np.random.default_rng(2).normal(size=len(frame))
    frame["x2"] = frame["x"] + near * np.random.default_rng(1).normal(size=len(frame))
    frame["apart"] = (frame["x2"] - frame["x"]) / near
    roles = (
        Roles(outcome="y", exposure="d", controls=("x", other), unit="city", time="year", group="region")
        for other in ("x2", "apart")
    )
    one, other = (make_design(make_panel(frame, each)) for each in roles)
    return one, other


@pytest.mark.parametrize("near", [1e-2, 1e-5, 1e-7, 1e-8])
def test_controls_that_are_nearly_one(near):
    hard, easy = designs(near)
    one, other = twfe(hard), twfe(easy)
    np.testing.assert_allclose(one.estimate[0], other.estimate[0], rtol=1e-8)
    np.testing.assert_allclose(one.se[0], other.se[0], rtol=1e-8)
    np.testing.assert_allclose(one.estimate[2] * near, other.estimate[2], rtol=1e-6)
    np.testing.assert_allclose(one.se[2] * near, other.se[2], rtol=1e-6)
    np.testing.assert_allclose([one.constant, one.constant_se], [other.constant, other.constant_se], rtol=1e-6)
    directly = twfe(hard, directly=True)
    np.testing.assert_allclose(directly.estimate, one.estimate, rtol=1e-6)
    np.testing.assert_allclose(directly.se, one.se, rtol=1e-6)
    few, beside = few_clusters(hard, replications=99), few_clusters(easy, replications=99)
    for name in ("cr2_se", "cr2_df", "wild_p", "crv3_se"):
        if name == "crv3_se" and np.isnan(few.crv3_se[0]):
            assert near < 1e-5  # leaving units out, the controls cannot be told apart any more
            continue
        np.testing.assert_allclose(getattr(few, name)[0], getattr(beside, name)[0], rtol=1e-6)
    ours, theirs = (effects(fit(each, "partial_pooling", seed=1)) for each in (hard, easy))
    for column in ("mean", "sd", "ci_low", "ci_high", "no_pooling", "complete_pooling"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-5, err_msg=column)


@pytest.mark.parametrize("near", [1e-10, 1e-13, 1e-15])
def test_controls_that_cannot_be_told_apart(near):
    with pytest.raises(InputError, match=r"'x2' is a multiple of 'x' once unit and time effects are removed"):
        designs(near)


@pytest.mark.parametrize("sds", [50, 1e4, 1e8])
@pytest.mark.parametrize("column", ["y", "d", "x"])
def test_one_number_far_from_all_others(column, sds):
    """The slopes without pooling are those of dense least squares, region by region."""
    frame = table(20, 6, seed=3)
    frame.loc[7, column] = sds * frame[column].std()
    design = make_design(
        make_panel(frame, Roles(outcome="y", exposure="d", controls=("x",), unit="city", time="year", group="region"))
    )
    found = effects(fit(design, "no_pooling", draws=50)).set_index("group")
    for group in design.groups:
        part = design.of_group(group)
        effects_of = dummies(part.unit, part.time)
        x = np.column_stack([part.x / np.abs(part.x).max(axis=0), effects_of])
        slope = np.linalg.lstsq(x, part.y, rcond=1e-14)[0][0] / np.abs(part.x[:, 0]).max()
        assert found.loc[group, "no_pooling"] == pytest.approx(slope, rel=1e-6, abs=1e-9)
