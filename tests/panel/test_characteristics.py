"""Characteristics of groups: from a table, and from products with the exposure in a formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import Reading, Roles, make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.runtime.errors import InputError

INCOME = {"a": 2.0, "b": 5.0, "c": 3.5, "d": 9.0}
MEAN = Reading(slope_on_at="mean")


def table(seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    firm, year = np.divmod(np.arange(12 * 5), 5)
    found = pd.DataFrame({"firm": firm, "year": 2010 + year, "region": np.array(list("abcd"))[firm % 4]})
    found["income"] = found["region"].map(INCOME)
    found["size"] = np.array(rng.normal(size=12))[firm]
    return found.assign(**{name: rng.normal(size=60) for name in ("y", "x", "z", "w")})


def by_roles(frame: pd.DataFrame, *names: str, reading: Reading = MEAN, **more):
    columns = {"outcome": "y", "exposure": "x", "controls": ("w",), "unit": "firm", "time": "year", "group": "region"}
    return make_panel(frame, Roles(**columns | {"slope_on": names} | more), reading=reading)


def by_formula(frame: pd.DataFrame, text: str, reading: Reading = MEAN, **more):
    return make_panel(frame, read_formula(text, group="region", **more), reading=reading)


@pytest.mark.parametrize("text", ["y ~ x + w + x:income | firm + year", "y ~ w + x*income | firm + year"])
def test_a_product_with_what_groups_have_is_the_option(text):
    frame = table()
    one, two = by_roles(frame, "income"), by_formula(frame, text, exposure="x")
    assert one.roles.regressors == two.roles.regressors == ("x", "w")
    assert one.roles.slope_on == two.roles.slope_on == ("income",)
    for panel in (one, two):
        found = make_design(panel).characteristics
        assert dict(zip(found.groups, found.measured[:, 0], strict=True)) == INCOME
    assert any("slopes of groups of 'x' are regressed on 'income'" in note for note in two.notes)
    assert ("*" in text) == any("'income' does not change within a unit" in note for note in two.notes)


def test_what_it_is_computed_from_stands_in_the_formula():
    panel = by_formula(table(), "y ~ x*log(income) | firm + year")
    np.testing.assert_allclose(make_design(panel).characteristics.measured[:, 0], np.log(list(INCOME.values())))


def test_a_product_with_what_varies_by_row_is_a_regressor():
    """As fixest has it: both are there, and the slope of x is that at z = 0."""
    frame = table()
    panel = by_formula(frame, "y ~ x*z | firm + year")
    assert panel.roles.regressors == ("x", "z", "x:z")
    assert panel.characteristics is None
    np.testing.assert_allclose(panel.frame["x:z"], frame["x"] * frame["z"])
    assert any("the slope of 'x' is that where 'z' is 0" in note for note in panel.notes)


def test_what_units_have_is_left_out_beside_its_product():
    panel = by_formula(table(), "y ~ x*size | firm + year")
    assert panel.roles.regressors == ("x", "x:size")
    assert any("'size' does not change within a unit" in note for note in panel.notes)
    with pytest.raises(InputError, match="does not vary over time"):
        by_formula(table(), "y ~ x + size | firm + year")


def test_without_groups_a_product_is_a_regressor():
    panel = make_panel(table(), read_formula("y ~ x*income | firm + year"))
    assert panel.roles.regressors == ("x", "x:income")


def test_one_that_varies_within_groups_is_refused_or_taken_at_its_mean():
    frame = table()
    frame.loc[[4, 9], "income"] += 1.0  # rows 6 and 11: of firm 0 in a and of firm 1 in b
    with pytest.raises(InputError) as refused:
        by_roles(frame, "income", reading=Reading())
    said = str(refused.value)
    for part in ("2 groups", "in 'a' it is 2 in row 2 and 3 in row 6", "in 'b' it is 5 in row 7 and 6 in row 11"):
        assert part in said
    assert "--slope-on-at mean" in said
    panel = by_roles(frame, "income")
    found = dict(zip(panel.groups, panel.characteristics.measured[:, 0], strict=True))
    assert found == pytest.approx({**INCOME, "a": 2 + 1 / 15, "b": 5 + 1 / 15})
    assert any("'income' varies within 2 groups, and is taken at the mean" in note for note in panel.notes)


def test_a_cell_that_is_missing_says_nothing_and_costs_no_row():
    frame = table()
    frame.loc[::3, "income"] = np.nan
    panel = by_roles(frame, "income")
    assert panel.n_obs == len(frame)
    assert dict(zip(panel.groups, panel.characteristics.measured[:, 0], strict=True)) == INCOME
    frame.loc[frame["region"] == "c", "income"] = np.nan
    with pytest.raises(InputError, match="the group 'c' has no value"):
        by_roles(frame, "income")


def test_a_control_may_be_one_too():
    panel = by_roles(table(), "w", reading=MEAN)
    means = table().groupby("region")["w"].mean()
    np.testing.assert_allclose(panel.characteristics.measured[:, 0], means[list(panel.groups)])


@pytest.mark.parametrize(
    ("names", "more", "said"),
    [
        (("income",), {"group": None}, "needs groups"),
        (("income", "income"), {}, "given twice"),
        (("y",), {}, "given as outcome"),
        (("absent",), {}, "no such column"),
        (("same",), {}, "the same in all groups"),
        (("income", "twice"), {}, "a linear combination of income"),
        (("income", "w", "z"), {}, "5 groups are needed"),
        (("text",), {}, "is not a number"),
    ],
)
def test_what_slopes_cannot_be_regressed_on_is_refused(names, more, said):
    frame = table().assign(same=1.0, text="word")
    frame["twice"] = 2 * frame["income"] + 1
    with pytest.raises(InputError, match=said):
        by_roles(frame, *names, **more)


def test_standard_deviations_are_of_all_groups_of_the_panel():
    panel = by_roles(table(), "income")
    values = np.array(list(INCOME.values()))
    expected = (values - values.mean()) / values.std(ddof=1)
    np.testing.assert_allclose(panel.characteristics.standardised(panel.groups)[:, 0], expected)
    np.testing.assert_allclose(panel.of_group("b").characteristics.standardised(["b"])[0, 0], expected[1])


def test_other_regressors_have_other_characteristics():
    design = make_design(by_roles(table(), "income"))
    assert design.keeping(("x",)).characteristics is design.characteristics
    assert design.keeping(("w", "x")).characteristics is None
    assert design.with_regressors(("v",), design.x[:, :1]).characteristics is None
