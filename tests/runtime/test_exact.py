"""Results as JSON: what is read back is what was written, with its types, its gaps and every bit."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.runtime.exact import named_texts_in, pack, pack_or_none, table_in, texts_in, unpack
from cbec_bayes.runtime.labels import Origin


def again(value: Any) -> Any:
    """Return what a receipt gives back."""
    return unpack(json.loads(json.dumps(pack(value))))


FRAMES = {
    "floats": pd.DataFrame({"x": [0.1 + 0.2, math.pi * 1e-300, -0.0, math.inf, math.nan]}),
    "counts": pd.DataFrame({"n": pd.array([1, None, 3], dtype="Int64"), "k": [1, 2, 2**62]}),
    "truth": pd.DataFrame({"a": [True, False], "b": pd.array([None, True], dtype="boolean")}),
    "text": pd.DataFrame({"a": ["x", None, '"=1+1,\n'], "b": pd.Series(["东部", None, ""], dtype="object")}),
    "mixed": pd.DataFrame({"a": pd.Series([1, 1.5, "two", None, math.nan, True], dtype="object")}),
    "an index": pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 3]),
    "a named index": pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index(["r", "s"], name="row")),
    "short numbers": pd.DataFrame(
        {
            **{kind: pd.Series([0, 1, 127], dtype=kind) for kind in ("int8", "int32", "uint16", "uint64")},
            **{kind: pd.Series([0.1, math.inf, math.nan], dtype=kind) for kind in ("float16", "float32")},
        }
    ),
    "short numbers with gaps": pd.DataFrame(
        {kind: pd.array([1, None, 3], dtype=kind) for kind in ("Int8", "Int32", "UInt64", "Float32", "Float64")}
    ),
    "categories": pd.DataFrame(
        {
            "a": pd.Categorical(["east", None, "west"], categories=["west", "none", "east"]),
            "b": pd.Categorical([3, 1, 3], categories=[3, 2, 1], ordered=True),
        }
    ),
    "an index of categories": pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"], name="group")),
    "gaps among objects": pd.DataFrame({"a": pd.Series([pd.NA, "x", 1], dtype="object")}),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="float64"), "b": pd.Series([], dtype="str")}),
    "columns alone": pd.DataFrame(columns=["origin", "text"]),
    "nothing": pd.DataFrame(),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_table_comes_back_with_its_types_and_gaps(frame):
    found = again(frame)
    assert list(found.dtypes) == list(frame.dtypes)
    pd.testing.assert_frame_equal(found, frame, check_exact=True, check_column_type=False)
    assert found.to_csv() == frame.to_csv()


def test_kinds_of_gaps_in_a_column_of_objects_stay_apart():
    found = again(pd.DataFrame({"a": pd.Series([None, math.nan, "", pd.NA], dtype="object")}))["a"].tolist()
    assert found[0] is None
    assert isinstance(found[1], float)
    assert found[2] == ""
    assert found[3] is pd.NA


@given(st.lists(st.floats()))
def test_every_bit_of_a_number_comes_back(numbers):
    found = again(pd.DataFrame({"x": pd.Series(numbers, dtype="float64")}))["x"].tolist()
    for there, here in zip(numbers, found, strict=True):
        assert struct.pack("d", there) == struct.pack("d", here) or (math.isnan(there) and math.isnan(here))


def test_values_around_tables_come_back():
    held = {"name": "x", "passed": None, "of": (1, 2.5, [True, "a"]), "origin": Origin.SIMULATED, "n": np.int64(3)}
    assert again(held) == held
    assert type(again(held)["of"]) is tuple
    assert again(np.float64(0.1)) == 0.1


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        np.zeros(2),
        pd.DataFrame({"t": pd.to_datetime(["2000-01-01"])}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1]], columns=[0]),
    ],
)
def test_what_would_not_come_back_is_refused(value):
    with pytest.raises(TypeError):
        pack(value)
    assert pack_or_none(value) is None


@pytest.mark.parametrize(
    "held",
    [
        [1],
        {"code": "1"},
        {"table": {"rows": 1, "index": None, "columns": {"a": {"type": "datetime64[ns]", "values": [0]}}}},
        {"table": {"rows": 2, "index": None, "columns": {"a": {"type": "int64", "values": [0]}}}},
        {"table": {}},
        {},
    ],
)
def test_what_was_never_packed_is_refused(held):
    with pytest.raises((TypeError, ValueError, KeyError)):
        unpack(held)


@pytest.mark.parametrize("table", [True, 1, [], {"columns": True, "index": None, "rows": 1}])
def test_a_table_that_is_none_is_said_as_one_of_the_errors_of_reading(table):
    with pytest.raises((ValueError, TypeError, KeyError)):
        unpack({"table": table})


@pytest.mark.parametrize("value", [None, "text", 3, ["a", None], {"a": "b"}])
def test_texts_that_a_receipt_kept_are_texts(value):
    with pytest.raises(TypeError):
        texts_in(value)
    assert texts_in(["a", "b"]) == ("a", "b")


@pytest.mark.parametrize("value", [None, "text", 3, ["a"], {"a": None}])
def test_named_texts_that_a_receipt_kept_are_texts(value):
    with pytest.raises(TypeError):
        named_texts_in(value)
    assert named_texts_in({"a": "b"}) == {"a": "b"}


@pytest.mark.parametrize("value", [None, ("a",), pd.DataFrame({"b": [1]}), pd.DataFrame({"b": [1], "a": [2]})])
def test_a_table_that_a_receipt_kept_has_the_columns_of_today(value):
    with pytest.raises(TypeError):
        table_in(value, ("a", "b"))
    assert len(table_in(pd.DataFrame({"a": [1]}), ["a"])) == 1
