from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import (
    ColumnSpec,
    classical_frame,
    few_cluster_columns,
    few_frame,
    fit_columns,
    interacted,
    own_columns,
)
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_ALL, Origin
from tests.support.regressions import design_of, load, random_design

FIRST = ["column", "term", "estimate", "se", "df", "p", "n", "r2", "vcov", "ssc"]
FEW = ["table", "column", "term", "vcov", "estimate", "se", "df", "p", "ci_low", "ci_high", "n_clusters", "origin"]


@pytest.fixture(scope="module")
def grouped():
    """Ten units: a to d in "many", e to h in "flat", i in "one", j and k in "short", of two periods."""
    design = random_design(6, 11, 6)
    groups = ["many"] * 4 + ["flat"] * 4 + ["one"] + ["short"] * 2
    group = np.array(groups)[design.unit]
    x = design.x.copy()
    x[group == "flat"] = design.time[group == "flat", None]
    kept = (group != "short") | (design.time < 2)
    return design_of(design.y[kept], x[kept], design.unit[kept], design.time[kept], group[kept])


def test_columns_of_a_panel_are_all_rows_and_each_group():
    produc = load("produc")
    columns = own_columns(produc)
    assert [column.key for column in columns] == ["3: (1)", "3: (2)", *(f"4: {group}" for group in produc.groups)]
    assert columns[0].terms == ("log(pcap)",)
    assert {column.terms for column in columns[1:]} == {produc.terms}
    assert [column.group for column in columns] == [None, None, *produc.groups]
    assert not any(column.printed for column in columns)
    assert [column.key for column in own_columns(produc.keeping(["unemp"]))][:2] == ["3: (1)", "4: 6"]
    assert [column.key for column in own_columns(load("grunfeld"))] == ["3: (1)", "3: (2)"]
    assert [column.key for column in own_columns(load("produc_region_2"))] == ["3: (1)", "3: (2)"]


def test_every_column_is_its_own_regression():
    design = load("produc_unbalanced")
    columns = own_columns(design)
    fitted = fit_columns(design, columns, "areg")
    assert [column.spec for column in fitted] == list(columns)
    for column in fitted:
        part = design if column.spec.group is None else design.of_group(column.spec.group)
        alone = twfe(part, column.spec.terms, ssc="areg")
        assert column.reason == ""
        np.testing.assert_array_equal(column.fit.estimate, alone.estimate)
        np.testing.assert_array_equal(column.fit.se, alone.se)
        assert column.fit.convention.name == "areg"


def test_a_group_that_has_no_regression_keeps_the_reason(grouped):
    fitted = {column.spec.key: column for column in fit_columns(grouped, own_columns(grouped), "fixest")}
    assert {key: column.reason for key, column in fitted.items()} == {
        "3: (1)": "",
        "3: (2)": "",
        "4: flat": "unit and period effects explain every regressor, so that no slope can be estimated: x0, x1",
        "4: many": "",
        "4: one": "clustered standard errors need two units or more; there is one, unit 8",
        "4: short": "4 rows are too few for 1 regressors and 3 unit and time effects",
    }
    assert [key for key, column in fitted.items() if column.fit is None] == ["4: flat", "4: one", "4: short"]


def test_a_mistake_in_the_columns_is_told(grouped):
    with pytest.raises(InputError, match="unknown group 'mny'; did you mean 'many'"):
        fit_columns(grouped, [ColumnSpec("4", "x", ("x0",), "mny", printed=True)], "fixest")


def test_the_table_of_classical_csv(grouped):
    frame = classical_frame(fit_columns(grouped, own_columns(grouped), "fixest"), Origin.SIMULATED)
    assert frame.columns.tolist() == [*FIRST, "ci_low", "ci_high", "table", "origin"]
    assert frame["column"].tolist() == [GROUP_ALL] * 5 + ["many"] * 3
    assert frame["term"].tolist() == ["x0", "(constant)", "x0", "x1", "(constant)", "x0", "x1", "(constant)"]
    assert frame["table"].tolist() == ["3"] * 5 + ["4"] * 3
    many = twfe(grouped.of_group("many"), ssc="fixest")
    rows = frame[frame["column"] == "many"]
    np.testing.assert_array_equal(rows["estimate"], [*many.estimate, many.constant])
    np.testing.assert_array_equal(rows["se"], [*many.se, many.constant_se])
    np.testing.assert_array_equal(rows["p"][:2], many.p)
    assert set(rows["n"]) == {24}
    assert set(rows["df"]) == {3.0}
    assert set(rows["r2"]) == {many.r2}
    assert frame[["vcov", "ssc", "origin"]].drop_duplicates().to_numpy().tolist() == [["CRV1", "fixest", "simulated"]]


def test_a_table_of_nothing_has_its_columns(grouped):
    none = fit_columns(grouped, [ColumnSpec("4", "one", ("x0",), "one", printed=False)], "fixest")
    frame = classical_frame(none, Origin.OBSERVED)
    assert frame.empty
    assert frame.columns.tolist() == [*FIRST, "ci_low", "ci_high", "table", "origin"]
    empty = few_frame({}, own_columns(grouped), Origin.OBSERVED)
    assert empty.empty
    assert empty.columns.tolist() == FEW


def test_few_clusters_per_column(grouped):
    columns = own_columns(grouped)
    found = few_cluster_columns(grouped, columns, "fixest", replications=199, seed=3)
    assert list(found) == ["3: (1)", "3: (2)", "4: many"]
    alone = few_clusters(grouped.of_group("many"), ssc="fixest", replications=199, seed=3)
    np.testing.assert_array_equal(found["4: many"].wild_p, alone.wild_p)
    np.testing.assert_array_equal(found["4: many"].crv3_se, alone.crv3_se)
    frame = few_frame(found, columns, Origin.PRINTED)
    assert frame.columns.tolist() == FEW
    assert frame["column"].tolist() == ["(1)"] * 4 + ["(2)"] * 8 + ["many"] * 8
    assert frame.groupby("column")["n_clusters"].first().to_dict() == {"(1)": 11, "(2)": 11, "many": 4}
    assert set(frame["origin"]) == {"printed"}
    pd.testing.assert_frame_equal(
        frame[frame["column"] == "many"][["term", "vcov", "estimate", "se", "p"]].reset_index(drop=True),
        alone.frame()[["term", "vcov", "estimate", "se", "p"]],
    )


def test_interacted_columns_add_up_to_the_exposure(grouped):
    both = interacted(grouped)
    assert both.terms == ("x0[flat]", "x0[many]", "x0[one]", "x0[short]", "x1")
    np.testing.assert_array_equal(both.x[:, :4].sum(axis=1), grouped.x[:, 0])
    np.testing.assert_array_equal(both.x[:, 4], grouped.x[:, 1])
    assert ((both.x[:, :4] != 0).sum(axis=1) <= 1).all()
    np.testing.assert_array_equal(both.x[:, 1] != 0, grouped.group == grouped.groups.index("many"))
    assert both.effects is grouped.effects
