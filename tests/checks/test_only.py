"""Single checks, by name."""

from __future__ import annotations

import pytest

import cbec_bayes as cb
from cbec_bayes.checks.suite import CheckInputs, predictive_checks


@pytest.fixture(scope="module")
def fit():
    frame = cb.example_frame()
    return cb.fit("sales ~ price | firm + year", "partial_pooling", data=frame, group="sector")


def test_checks_that_are_named_are_those_of_the_suite(fit):
    names = ("predictive_residuals", "predictive_cells")
    found = cb.check(fit, only=names)
    assert [result.name for result in found.results] == list(names)
    cells, _, residuals = predictive_checks(CheckInputs(fit=fit))
    assert found["predictive_residuals"].text == residuals.text
    assert found["predictive_cells"].table.equals(cells.table)


def test_a_check_that_is_not_there(fit):
    with pytest.raises(cb.InputError, match="unknown check 'residuals'"):
        cb.check(fit, only=("residuals",))
