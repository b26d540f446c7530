"""A group whose outcome does not vary, or has no errors: blank or zero cells, a sentence, and no endless sampling."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.headline import headline
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import classical_frame, fit_columns, own_columns
from cbec_bayes.estimands.groups import effects
from cbec_bayes.jobs.compare import compare
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import exact_groups, make_design
from cbec_bayes.runtime.errors import InputError

ROLES = Roles(outcome="y", exposure="x", controls=("z",), unit="unit", time="time", group="group")


def panel(change, *, unbalanced=False, store=np.asarray):
    """Return a panel of 24 units in 8 periods, whose groups g0 to g2 have errors, after a change of some rows."""
    rng = np.random.default_rng(5)
    unit, time = np.divmod(np.arange(192), 8)
    x, z = rng.normal(5, 1, size=(2, 192))
    frame = pd.DataFrame({"unit": unit, "time": time, "group": [f"g{u % 3}" for u in unit], "x": x, "z": z})
    frame["y"] = 0.5 * x - 0.2 * z + rng.normal(size=24)[unit] + 0.1 * time + 0.3 * rng.normal(size=192)
    frame["y"] = change(frame)
    for name in ("y", "x", "z"):
        frame[name] = store(frame[name])
    return make_panel(frame[rng.random(192) < (0.8 if unbalanced else 2)], ROLES)


def constant(frame):
    return frame["y"].where(frame["group"] != "g2", 3.0)


def of_effects(frame):
    return frame["y"].where(frame["group"] != "g2", 1.0 * frame["unit"] + frame["time"] ** 2)


def perfect(frame):
    return frame["y"].where(frame["group"] != "g2", 2 * frame["x"] - frame["z"] + frame["unit"] + frame["time"])


def single(values):
    return values.astype(np.float32)


CHANGES = [(constant, np.asarray), (of_effects, np.asarray), (perfect, np.asarray), (perfect, single)]


@pytest.mark.parametrize("unbalanced", [False, True])
@pytest.mark.parametrize(("change", "store"), CHANGES)
def test_regressions_and_notes_say_it(change, store, unbalanced):
    found = panel(change, unbalanced=unbalanced, store=store)
    design = make_design(found)
    assert exact_groups(design) == ("g2",)
    said = [note for note in found.notes if note.startswith("in group 'g2',")]
    assert len(said) == 1
    assert "no standard errors" in said[0]
    table = classical_frame(fit_columns(design, own_columns(design), "reghdfe"), design.origin)
    own = table[(table["column"] == "g2") & (table["term"] == "x")].iloc[0]
    assert own["estimate"] == pytest.approx(2.0 if change is perfect else 0.0, abs=1e-6)
    assert np.isnan(own["se"])
    assert np.isnan(own["p"])
    rest = table[table["column"].isin(["g0", "g1"])]
    assert rest[["estimate", "se"]].notna().all(axis=None)
    few = few_clusters(design.of_group("g2"), replications=99)
    assert np.isnan(few.cr2_se).all()
    assert np.isnan(few.crv3_se).all()


def test_shares_of_an_outcome_that_does_not_vary_are_blank():
    own = twfe(make_design(panel(constant)).of_group("g2"))
    assert np.isnan([own.r2, own.r2_within, own.r2_adjusted]).all()
    assert own.is_exact
    assert not twfe(make_design(panel(constant)).of_group("g0")).is_exact


@pytest.mark.parametrize(("change", "store"), CHANGES[:1] + CHANGES[2:])
@pytest.mark.parametrize("model", ["group_variance", "no_pooling", "partial_pooling"])
def test_members_are_fitted_without_the_spread_that_is_none(change, store, model):
    design = make_design(panel(change, store=store))
    told = carried(load_panel_model(model), design)
    assert [("g2 is explained without an error" in sentence) for sentence in told.left_out] == (
        [] if model == "partial_pooling" else [True]
    )
    table = effects(fit(design, told.model, draws=200)).set_index("group")
    assert np.isfinite(table.loc[["g0", "g1", "g2"], ["mean", "sd", "no_pooling"]]).all(axis=None)
    assert np.isnan(table.loc["g2", "no_pooling_se"])
    if model != "partial_pooling":
        with pytest.raises(InputError, match="in group 'g2', regressors, unit and period effects explain the outcome"):
            fit(design, model)


def test_the_headline_and_the_comparison_say_it_too():
    design = make_design(panel(constant))
    assert any("g2 is explained without an error" in sentence for sentence in headline(design).left_out)
    found = compare(fit(design, "partial_pooling", draws=200), replications=99).set_index("group")
    assert found.loc["g2", "estimate"] == 0
    assert np.isnan(found.loc["g2", "crv1_se"])
    assert (found["note"] == "").all()  # nothing is missing: no pooling is without the spread that is none
    assert np.isfinite(found.loc["g2", "no_mean"])


def test_where_no_group_has_errors_nothing_is_sampled():
    def exact(frame):
        return frame["x"] * (1 + 0.1 * (frame["unit"] % 3)) + frame["unit"] + frame["time"]

    design = make_design(panel(exact))
    assert exact_groups(design) == ("g0", "g1", "g2")
    for model in ("partial_pooling", "group_variance", "no_pooling", None):
        with pytest.raises(InputError, match=r"in (every group \(|groups )g0, g1, g2\)?,? .*without an error"):
            fit(design, model)
    assert fit(design, "complete_pooling", draws=250).diagnostics.failures == ()


def test_a_group_with_as_many_coefficients_as_rows_is_not_one_without_errors():
    frame = panel(lambda frame: frame["y"]).frame
    few = frame[(frame["group"] != "g2") | ((frame["unit"].astype(int) < 6) & (frame["time"] < 2))]
    assert exact_groups(make_design(make_panel(few, ROLES))) == ()


@pytest.mark.parametrize("store", [np.asarray, single])
def test_a_group_in_which_a_control_goes_with_the_exposure_has_no_slope_of_its_own_in_any_table(store):
    found = panel(lambda frame: frame["y"])
    frame = found.frame.assign(z=lambda f: f["z"].where(f["group"] != "g2", 2.5 * f["x"]))
    found = make_panel(frame.assign(**{name: store(frame[name].to_numpy()) for name in ("x", "z")}), ROLES)
    assert any("in group 'g2', 'z' is a multiple of 'x'" in note for note in found.notes)
    design = make_design(found)
    table = classical_frame(fit_columns(design, own_columns(design), "reghdfe"), design.origin)
    assert set(table["column"]) == {"(all)", "g0", "g1"}
    fitted = fit(design, "partial_pooling_all", draws=200)
    own = effects(fitted).set_index("group")["no_pooling"]
    assert own[["g0", "g1"]].notna().all()
    assert np.isnan(own["g2"])
    compared = compare(fitted, replications=99).set_index("group")
    assert np.isnan(compared.loc["g2", "estimate"])
    assert compared["no_mean"].isna().all()
    assert "not identified" in compared.loc["g2", "note"]
    plain = frame.assign(z=frame["z"].where(frame["group"] != "g2", 1.0))  # a control that does not vary is none
    assert np.isfinite(
        effects(fit(make_design(make_panel(plain, ROLES)), "partial_pooling", draws=200))["no_pooling"][1:4]
    ).all()
