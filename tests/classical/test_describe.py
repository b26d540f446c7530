from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.classical.describe import QUANTITIES, descriptive
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.runtime.labels import Origin
from tests.support.panels import GROUPED, table
from tests.support.regressions import panel_of_case


def test_the_descriptive_table_is_that_by_hand():
    frame = pd.DataFrame(
        {
            "unit": ["A", "A", "B", "B"],
            "time": [1, 2, 1, 2],
            "y": [1.0, 2, 3, 10],
            "x": [0.0, 1, 0, 5],
            "z": [2.0, 2, 2, 4],
        }
    )
    roles = Roles(outcome="y", exposure="x", controls=(), unit="unit", time="time")
    found = descriptive(make_panel(frame, roles, origins={"x": Origin.RECONSTRUCTED}))
    assert found.columns.tolist() == ["group", "term", *QUANTITIES, "origin"]
    assert found["term"].tolist() == ["y", "x"]
    # Squares about the mean: y 4: 9 + 4 + 1 + 36 = 50; x 1.5: 2.25 + .25 + 2.25 + 12.25 = 17.
    expected = [[4, 4, np.sqrt(50 / 3), 1, 10], [4, 1.5, np.sqrt(17 / 3), 0, 5]]
    np.testing.assert_allclose(found[list(QUANTITIES)].to_numpy(dtype=float), expected)
    assert found["origin"].tolist() == ["observed", "reconstructed"]
    assert found["group"].tolist() == ["", ""]


def test_each_group_beside_all_rows():
    frame = table(6, 4)
    panel = make_panel(frame, GROUPED)
    found = descriptive(panel, by_group=True)
    assert found["group"].tolist() == [""] * 3 + ["west"] * 3 + ["east"] * 3
    assert found["term"].tolist() == ["y", "x", "z"] * 3
    for row in found.itertuples():
        values = frame.loc[(frame["group"] == row.group) | (row.group == ""), row.term].to_numpy()
        assert row.n_obs == len(values)
        assert (row.mean, row.sd, row.min, row.max) == pytest.approx(
            (values.mean(), values.std(ddof=1), values.min(), values.max())
        )
    pd.testing.assert_frame_equal(descriptive(panel), found.iloc[:3])


def test_without_groups_there_are_only_all_rows():
    found = descriptive(panel_of_case("grunfeld"), by_group=True)
    assert found["group"].tolist() == [""] * 3
    assert found["n_obs"].tolist() == [200] * 3
    # plm's Grunfeld: summary(Grunfeld) prints means 145.96, 1081.68 and 276.02.
    assert found["mean"].round(2).tolist() == [145.96, 1081.68, 276.02]
