"""Whatever names a panel's groups and columns have, every member is fitted, stored and compared as with plain ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit, restore
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.checks.sensitivity import _log_priors
from cbec_bayes.estimands.groups import effects
from cbec_bayes.jobs.compare import compare
from cbec_bayes.jobs.fit_tables import netcdf_bytes
from cbec_bayes.jobs.kept import read_tree
from tests.support.simulated import simulated

GROUPS = ("Wholesale/retail", "a/b/c", "/")


@pytest.mark.parametrize("model", ["no_pooling", "group_variance", "partial_pooling"])
def test_groups_with_slashes_give_the_same_numbers(model, tmp_path):
    plain = simulated()
    found, expected = (fit(design, model, draws=200) for design in (replace(plain, groups=GROUPS), plain))
    one, other = effects(found), effects(expected)
    pd.testing.assert_frame_equal(one.drop(columns="group"), other.drop(columns="group"))
    assert tuple(one["group"][1:4]) == GROUPS
    (tmp_path / "p.nc").write_bytes(netcdf_bytes(found.tree))
    held = found.diagnostics.as_dict() | found.evidence.as_dict()
    again = restore(found.design, load_panel_model(model), read_tree(tmp_path / "p.nc"), held)
    assert list(again.tree["posterior"]["group"].to_numpy()) == list(GROUPS)
    assert len(_log_priors(again)) == len(_log_priors(expected))


def test_groups_with_slashes_are_compared():
    found = compare(fit(replace(simulated(), groups=GROUPS), "partial_pooling", draws=200), replications=99)
    assert set(GROUPS) <= set(found["group"])
    assert found["no_mean"].notna().sum() == 3
    assert (found["note"] == "").all()


@pytest.mark.parametrize(
    ("outcome", "exposure"),
    [("sigma", "tau"), ("slope", "group_slope"), ("time_effect", "sigma"), ("unit_effect", "lp"), ("unit", "time"),
     ("group_total_slope", "exposure"), ("obs", "chain"), ("y/x", "a/b")],
)  # fmt: skip
def test_columns_may_have_the_names_of_parameters(outcome, exposure):
    plain = simulated()
    named = replace(plain, outcome=outcome, terms=(exposure, "controls"))
    found, expected = (fit(design, "partial_pooling", draws=200) for design in (named, plain))
    for name in ("slope", "sigma", "tau"):
        np.testing.assert_array_equal(found.tree["posterior"][name], expected.tree["posterior"][name])
    (observed,) = found.tree["observed_data"].data_vars.values()
    np.testing.assert_array_equal(observed, plain.y)
