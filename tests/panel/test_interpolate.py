from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.panel import interpolate
from cbec_bayes.runtime.errors import InputError


def fill(frame, edges=False):
    return interpolate(frame, unit="unit", time="time", columns=["x"], edges=edges)


@st.composite
def series(draw):
    """Two units or three, irregular periods, any cells missing, rows numbered and shuffled."""
    parts = []
    for unit in "ABC"[: draw(st.integers(1, 3))]:
        times = draw(st.lists(st.integers(1990, 2030), min_size=1, max_size=8, unique=True))
        cells = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))
        x = draw(st.lists(cells, min_size=len(times), max_size=len(times)))
        parts.append(pd.DataFrame({"unit": unit, "time": times, "x": np.array(x, dtype=float)}))
    frame = pd.concat(parts, ignore_index=True)
    frame.index = pd.RangeIndex(2, len(frame) + 2, name="row")
    return frame.iloc[draw(st.permutations(range(len(frame))))]


def test_time_counts_and_not_the_row():
    frame = pd.DataFrame(
        {
            "unit": list("AAAABBB"),
            "time": [2015, 2016, 2019, 2020, 2015, 2016, 2017],
            "x": [0.0, np.nan, 4.0, np.nan, np.nan, 7.0, np.nan],
        }
    )
    out, ledger = fill(frame)
    assert out["x"].tolist()[:3] == [0.0, 1.0, 4.0]
    assert out["x"].isna().tolist() == [False, False, False, True, True, False, True]
    assert ledger.to_dict("records") == [
        {
            "row": 3,
            "unit": "A",
            "time": 2016,
            "column": "x",
            "action": "filled",
            "value": 1.0,
            "reason": "linear between 2015 and 2019",
        }
    ]
    out, ledger = fill(frame, edges=True)
    assert out["x"].tolist() == [0, 1, 4, 4, 7, 7, 7]
    assert ledger["reason"].tolist() == [
        "linear between 2015 and 2019",
        "nearest observed, 2019",
        "nearest observed, 2016",
        "nearest observed, 2016",
    ]
    assert ledger["row"].tolist() == [3, 5, 6, 8]


def test_a_unit_without_values_stays_empty_and_names_are_free():
    frame = pd.DataFrame({"城市 名": ["甲", "甲"], "t": [0.5, 1.5], "a b": [None, None]})
    out, ledger = interpolate(frame, unit="城市 名", time="t", columns=["a b"], edges=True)
    assert out["a b"].isna().all()
    assert ledger.columns.tolist() == ["row", "unit", "time", "column", "action", "value", "reason"]
    assert len(ledger) == 0


@pytest.mark.parametrize(
    ("x", "time", "message"),
    [
        (["1", "n/a"], [1, 2], "row 3, column 'x': 'n/a' is not a number"),
        ([1, 2], [1, 1], "row 3, column 'time': 'A' has the period 1 twice"),
        ([1, 2], [1, None], "row 3, column 'time': the cell is blank"),
    ],
)
def test_a_table_that_cannot_be_interpolated_is_named(x, time, message):
    with pytest.raises(InputError, match=message):
        fill(pd.DataFrame({"unit": "A", "time": time, "x": x}))
    with pytest.raises(InputError, match="column 'x': no such column"):
        fill(pd.DataFrame({"unit": "A", "time": time, "X": x}))


@given(
    times=st.lists(st.integers(-50, 3000), min_size=2, max_size=12, unique=True),
    slope=st.floats(-100, 100),
    level=st.floats(-1e4, 1e4),
    data=st.data(),
)
def test_linear_series_with_holes_are_recovered(times, slope, level, data):
    times = sorted(times)
    holes = data.draw(st.sets(st.integers(1, max(len(times) - 2, 1)))) - {len(times) - 1}
    truth = level + slope * np.array(times, dtype=float)
    frame = pd.DataFrame({"unit": "A", "time": times, "x": truth})
    frame.loc[sorted(holes), "x"] = np.nan
    out, ledger = fill(frame)
    np.testing.assert_allclose(out["x"], truth, rtol=1e-12, atol=1e-12 * (abs(level) + 3000 * abs(slope)))
    assert sorted(ledger["row"] - 2) == sorted(holes)


@given(frame=series(), edges=st.booleans())
def test_observed_cells_are_untouched_and_every_other_change_is_in_the_ledger(frame, edges):
    out, ledger = fill(frame, edges)
    pd.testing.assert_frame_equal(out.drop(columns="x"), frame.drop(columns="x"))
    seen = frame["x"].notna()
    assert out.loc[seen, "x"].tolist() == frame.loc[seen, "x"].tolist()
    changed = out[~seen & out["x"].notna()]
    assert sorted(changed.index) == ledger["row"].tolist()
    assert ledger["value"].tolist() == out.loc[ledger["row"], "x"].tolist()
    for _, unit in frame.groupby("unit"):
        values = unit["x"].dropna()
        if len(values):
            inside = out.loc[unit.index, "x"].dropna()
            slack = 1e-9 * values.abs().max()
            assert inside.between(values.min() - slack, values.max() + slack).all()


@given(frame=series(), edges=st.booleans())
def test_edges_only_when_asked(frame, edges):
    out, _ = fill(frame, edges)
    for _, unit in frame.groupby("unit"):
        known = unit.loc[unit["x"].notna(), "time"]
        outside = out.loc[unit.index[~unit["time"].between(known.min(), known.max())], "x"]
        inside = out.loc[unit.index[unit["time"].between(known.min(), known.max())], "x"]
        assert inside.notna().all()
        assert outside.isna().all() if not edges or known.empty else outside.notna().all()


@given(frame=series(), edges=st.booleans())
def test_idempotent_and_blind_to_the_order_of_rows_and_to_other_units(frame, edges):
    out, ledger = fill(frame, edges)
    again, nothing = fill(out, edges)
    pd.testing.assert_frame_equal(again, out)
    assert nothing.empty
    ordered, same = fill(frame.sort_index(), edges)
    pd.testing.assert_frame_equal(ordered, out.sort_index())
    pd.testing.assert_frame_equal(same, ledger)
    alone = pd.concat([fill(unit, edges)[0] for _, unit in frame.groupby("unit")])
    pd.testing.assert_frame_equal(alone.loc[out.index], out)
