"""Coefficients for table packages: what maketables reads is what the fit says, and no probability is a p-value."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.coefficients import COEFFICIENT_COLUMNS, coefficients
from tests.support.members import panel


@pytest.fixture(scope="module")
def found():
    return fit(panel("balanced"), "partial_pooling", draws=250)


def test_the_table_is_that_of_the_draws(found):
    table = coefficients(found).table
    exposure, *controls = found.design.terms
    assert list(table.index) == [exposure, *(f"{exposure}[{g}]" for g in found.design.groups), *controls]
    assert tuple(table.columns) == COEFFICIENT_COLUMNS
    draws = found.tree["posterior"]["group_total_slope"].isel(group=1).to_numpy().ravel()
    row = table.loc[f"{exposure}[{found.design.groups[1]}]"]
    assert row["mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert row["sd"] == pytest.approx(draws.std(ddof=1), rel=1e-12)
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), np.quantile(draws, [0.025, 0.975]))
    assert row["p_positive"] == (draws > 0).mean()


def test_maketables_reads_both_without_a_probability_as_p_value(found):
    from maketables import ETable
    from maketables.extractors import get_extractor

    posterior, regression = coefficients(found), twfe(found.design)
    read = get_extractor(posterior)
    table = read.coef_table(posterior)
    assert table["p"].isna().all()
    assert table["t"].isna().all()
    np.testing.assert_array_equal(table["b"], posterior.table["mean"])
    np.testing.assert_array_equal(table["ci95l"], posterior.table["ci_low"])
    assert read.vcov_info(posterior) == {"vcov_type": "posterior sd (partial_pooling)"}
    assert read.stat(posterior, "N") == found.design.n_obs
    assert read.stat(posterior, "origin") == "simulated"
    own = get_extractor(regression).coef_table(regression)
    np.testing.assert_array_equal(own["se"], regression.se)
    np.testing.assert_array_equal(own["p"], regression.p)
    assert get_extractor(regression).stat(regression, "r2_within") == regression.r2_within
    text = ETable([regression, posterior]).make(type="tex")
    assert found.design.terms[0] in text
    assert "partial\\_pooling" in text or "partial_pooling" in text


def test_without_groups_and_with_random_effects():
    alone = coefficients(fit(panel("balanced"), "complete_pooling", draws=50))
    assert list(alone.table.index) == list(panel("balanced").terms)
    assert alone.effects == "unit+time"
    assert coefficients(fit(panel("balanced"), "correlated_effects", draws=50)).effects is None


def test_reprs_are_tables(found):
    assert "<table" in coefficients(found)._repr_html_()
    assert "<table" in twfe(found.design)._repr_html_()
