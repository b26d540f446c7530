from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cbec_bayes.panel.entropy import (
    Indicator,
    IndicatorSystem,
    entropy_index,
    entropy_weights,
    indicator_systems,
    load_system,
)
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir, read_rows
from cbec_bayes.runtime.labels import Origin

# Worked by hand: four rows, so e = -(1 / ln 4) sum p ln p.
#   spread    10 15 15 20   z = 0 1/2 1/2 1   p = 0 1/4 1/4 1/2   e = (2 * 1/4 ln 4 + 1/2 ln 2) / ln 4 = 3/4
#   lone       0  0  0  5   z = 0 0 0 1       p = 0 0 0 1         e = 0
#   halves     4  4  2  2   negative:
#                           z = 0 0 1 1       p = 0 0 1/2 1/2     e = ln 2 / ln 4 = 1/2
#   mixed      3  1  5  3   z = 1/2 0 1 1/2   p = 1/4 0 1/2 1/4   e = 3/4
#   constant   7  7  7  7                                         e = 1
# 1 - e = 1/4, 1, 1/2, 1/4, 0 has the sum 2.
NAMES = ("spread", "lone", "halves", "mixed", "constant")
VALUES = np.array([[10, 0, 4, 3, 7], [15, 0, 4, 1, 7], [15, 0, 2, 5, 7], [20, 5, 2, 3, 7]], dtype=float)
DIRECTION = ("positive", "positive", "negative", "positive", "positive")
ENTROPY = [0.75, 0, 0.5, 0.75, 1]
WEIGHTS = [0.125, 0.5, 0.25, 0.125, 0]
# 1/8 * 1/2 | 1/8 * 1/2 | 1/8 * 1/2 + 1/4 + 1/8 | 1/8 + 1/2 + 1/4 + 1/8 * 1/2
INDEX = [0.0625, 0.0625, 0.4375, 0.9375]
# The groups are A = spread, halves, constant and B = lone, mixed.
INDEX_A = [0, 0.0625, 0.3125, 0.375]
INDEX_B = [0.0625, 0, 0.125, 0.5625]

SYSTEM = IndicatorSystem(
    name="hand",
    title="By hand",
    description="",
    normalisation="pooled",
    shift=0.0,
    scale=1.0,
    indicators=tuple(
        Indicator(name, name.capitalize(), group, way)
        for name, group, way in zip(NAMES, "ABABA", DIRECTION, strict=True)
    ),
)
FRAME = pd.DataFrame(VALUES, columns=NAMES).assign(province=["P", "P", "Q", "Q"], year=[2014, 2015, 2014, 2015])

panels = hnp.arrays(np.int64, st.tuples(st.integers(2, 12), st.integers(1, 5)), elements=st.integers(-50, 50))


def positive(x):
    return ["positive"] * x.shape[1]


def weigh(x, **options):
    """Weights of a drawn panel; one with nothing to weigh is not an example."""
    assume((np.ptp(x, axis=0) > 0).any())
    return entropy_weights(x, direction=options.pop("direction", positive(x)), **options)


def index_of(frame=FRAME, system=SYSTEM, **options):
    return entropy_index(frame, system, unit="province", time="year", **options)


def slow(x, direction, shift):
    """The docstring's formulas, cell by cell."""
    n, size = len(x), len(x[0])
    z, entropy = [[0.0] * size for _ in range(n)], []
    for j in range(size):
        column = [row[j] for row in x]
        if max(column) == min(column):
            entropy.append(1.0)
            continue
        for i in range(n):
            gained = column[i] - min(column) if direction[j] == "positive" else max(column) - column[i]
            z[i][j] = gained / (max(column) - min(column))
        total = sum(z[i][j] + shift for i in range(n))
        shares = [(z[i][j] + shift) / total for i in range(n)]
        entropy.append(-sum(p * math.log(p) for p in shares if p > 0) / math.log(n))
    total = sum(1 - e for e in entropy)
    weights = [(1 - e) / total for e in entropy]
    return weights, entropy, [[w * value for w, value in zip(weights, row, strict=True)] for row in z]


def test_a_case_worked_by_hand():
    found = entropy_weights(VALUES, direction=DIRECTION)
    np.testing.assert_allclose(found.entropy, ENTROPY, atol=1e-15)
    np.testing.assert_allclose(found.weights, WEIGHTS, atol=1e-15)
    np.testing.assert_allclose(found.terms.sum(axis=1), INDEX, atol=1e-15)
    assert found.periods is None


@given(panels, st.data())
def test_agrees_with_plain_loops(x, data):
    direction = data.draw(st.lists(st.sampled_from(["positive", "negative"]), min_size=x.shape[1], max_size=x.shape[1]))
    shift = data.draw(st.sampled_from([0.0, 1e-4, 0.01, 1.0]))
    found = weigh(x, direction=direction, shift=shift)
    for ours, theirs in zip(
        (found.weights, found.entropy, found.terms), slow(x.tolist(), direction, shift), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@given(panels, st.sampled_from([0.0, 1e-4, 1.0]))
def test_weights_and_index_keep_their_bounds(x, shift):
    found = weigh(x, shift=shift)
    index = found.terms.sum(axis=1)
    assert found.weights.min() >= 0
    assert found.weights.sum() == pytest.approx(1, abs=1e-12)
    assert -1e-12 < found.entropy.min() <= found.entropy.max() < 1 + 1e-12
    assert index.min() >= 0
    assert index.max() <= 1 + 1e-12
    assert (found.weights[np.ptp(x, axis=0) == 0] == 0).all()


@given(panels, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(x, random):
    order = random.sample(range(len(x)), len(x))
    straight, shuffled = weigh(x), weigh(x[order])
    np.testing.assert_allclose(shuffled.weights, straight.weights, atol=1e-12)
    np.testing.assert_allclose(shuffled.terms, straight.terms[order], atol=1e-12)


@given(panels, st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 4))
def test_units_of_an_indicator_do_not_matter(x, factor, offset, column):
    changed = x.astype(float)
    changed[:, column % x.shape[1]] *= factor
    changed[:, column % x.shape[1]] += offset
    # The offset costs up to six digits of a column of spread 0.001.
    np.testing.assert_allclose(weigh(changed).weights, weigh(x).weights, atol=1e-8)
    np.testing.assert_allclose(weigh(changed).terms, weigh(x).terms, atol=1e-8)


@given(panels)
def test_a_negative_indicator_is_the_positive_one_negated(x):
    reversed_ = weigh(x, direction=["negative", *positive(x)[1:]])
    negated = weigh(np.column_stack([-x[:, :1], x[:, 1:]]))
    np.testing.assert_array_equal(reversed_.weights, negated.weights)
    np.testing.assert_array_equal(reversed_.terms, negated.terms)


@given(panels)
def test_a_duplicated_indicator_has_the_weight_of_its_twin(x):
    weights = weigh(np.column_stack([x, x[:, 0]])).weights
    assert weights[0] == weights[-1]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=10), st.sampled_from([0.0, 1e-4, 0.01]))
def test_more_unequal_shares_weigh_more(inner, shift):
    """Squares of values on [0, 1] have a Lorenz curve below theirs."""
    z = np.array([0, *inner, 10]) / 10
    plain, squared = entropy_weights(np.column_stack([z, z**2]), direction=("positive",) * 2, shift=shift).weights
    assert squared > plain


@given(panels)
def test_the_limit_is_the_limit_of_the_shift(x):
    np.testing.assert_allclose(weigh(x, shift=1e-13).weights, weigh(x).weights, atol=1e-9)


def test_the_shift_enters_the_shares_and_not_the_index():
    # z = 0 1 in both columns; shares with shift 1 are 1/3 2/3 in both, so the weights stay equal.
    found = entropy_weights([[0, 3], [1, 5]], direction=("positive", "positive"), shift=1.0)
    assert found.entropy == pytest.approx([(math.log(3) - 2 / 3 * math.log(2)) / math.log(2)] * 2)
    np.testing.assert_array_equal(found.terms, [[0, 0], [0.5, 0.5]])


@given(panels)
def test_one_period_is_the_pooled_sample(x):
    pooled, single = weigh(x), weigh(x, periods=np.full(len(x), 2014))
    np.testing.assert_array_equal(single.weights, pooled.weights[None])
    np.testing.assert_array_equal(single.entropy, pooled.entropy[None])
    np.testing.assert_array_equal(single.terms, pooled.terms)
    assert single.periods == (2014,)


@given(panels, panels, st.randoms(use_true_random=False))
def test_each_period_is_a_sample_of_its_own(first, second, random):
    size = min(first.shape[1], second.shape[1])
    parts = first[:, :size], second[:, :size]
    alone = [weigh(part) for part in parts]
    order = random.sample(range(len(first) + len(second)), len(first) + len(second))
    periods = np.repeat(["early", "late"], [len(part) for part in parts])
    found = weigh(np.vstack(parts)[order], periods=periods[order])
    assert found.periods == ("early", "late")
    np.testing.assert_allclose(found.weights, [one.weights for one in alone], atol=1e-12)
    np.testing.assert_allclose(found.terms, np.vstack([one.terms for one in alone])[order], atol=1e-12)


def test_the_rounding_of_a_constant_is_not_information():
    x = np.column_stack([[0.3, 0.1 + 0.2, 0.3], [1.0, 2.0, 4.0]])
    assert np.ptp(x[:, 0]) > 0
    np.testing.assert_array_equal(entropy_weights(x, direction=positive(x)).weights, [0, 1])


def test_a_constant_indicator_loses_its_weight_in_the_period_concerned_only():
    x = np.array([[1.0, 5], [1, 6], [2, 5], [3, 6]])
    weights = entropy_weights(x, direction=positive(x), periods=[0, 0, 1, 1]).weights
    np.testing.assert_allclose(weights, [[0, 1], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("values", "periods", "message"),
    [
        ([[1.0, 2.0], [3.0, math.nan]], None, "row 1, column 1 (from 0) is missing"),
        ([[1.0, 2.0], [math.inf, 3.0]], None, "row 1, column 0 (from 0) is missing or not finite"),
        ([[1.0, 2.0]], None, "at least two rows, there is one"),
        ([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]], [1, 1, 2], "there is one in period 2"),
        ([[1.0, 2.0], [1.0, 2.0]], None, "every indicator is constant, so"),
        ([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0], [3.0, 4.0]], [1, 1, 2, 2], "every indicator is constant in period 2"),
    ],
)
def test_values_without_weights_are_refused(values, periods, message):
    with pytest.raises(InputError) as caught:
        entropy_weights(values, direction=("positive", "positive"), periods=periods)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": ("positive",)}, "not rows of one value for each of 1 directions"),
        ({"values": np.empty((0, 5))}, "not rows of one value"),
        ({"direction": ("up", *DIRECTION[1:])}, "unknown directions up"),
        ({"shift": -0.1}, "from 0 to 1, not -0.1"),
        ({"periods": [1, 2]}, "not one for each of 4 rows"),
    ],
)
def test_a_wrong_call_is_a_value_error(changes, message):
    with pytest.raises(ValueError, match=message):
        entropy_weights(**{"values": VALUES, "direction": DIRECTION, **changes})


def test_the_tables_of_a_pooled_index():
    before = FRAME.copy()
    found = index_of(origin=Origin.SIMULATED)
    assert list(found.weights) == [
        "indicator",
        "label",
        "group",
        "direction",
        "weight",
        "entropy",
        "period",
        "origin",
    ]
    assert found.weights["indicator"].tolist() == list(NAMES)
    assert found.weights["label"].tolist()[1] == "Lone"
    assert found.weights["direction"].tolist() == list(DIRECTION)
    np.testing.assert_allclose(found.weights["weight"], WEIGHTS, atol=1e-15)
    np.testing.assert_allclose(found.weights["entropy"], ENTROPY, atol=1e-15)
    assert set(found.weights["period"]) == {""}
    assert list(found.group_weights) == ["group", "weight", "period", "origin"]
    assert found.group_weights["group"].tolist() == ["A", "B"]
    np.testing.assert_allclose(found.group_weights["weight"], [0.375, 0.625])
    assert list(found.index) == ["province", "year", "value", "A", "B", "origin"]
    np.testing.assert_allclose(found.index[["value", "A", "B"]].T, [INDEX, INDEX_A, INDEX_B], atol=1e-15)
    pd.testing.assert_frame_equal(found.index[["province", "year"]], FRAME[["province", "year"]])
    for table in (found.weights, found.group_weights, found.index):
        assert set(table["origin"]) == {"simulated"}
    pd.testing.assert_frame_equal(FRAME, before)


def test_rows_keep_their_order_whatever_the_index_of_the_frame():
    order = [2, 0, 3, 1]
    found = index_of(FRAME.iloc[order]).index
    assert found.index.tolist() == [0, 1, 2, 3]
    assert found["province"].tolist() == ["Q", "P", "Q", "P"]
    np.testing.assert_allclose(found["value"], np.take(INDEX, order), atol=1e-15)


def test_the_tables_of_an_index_per_period():
    found = index_of(system=replace(SYSTEM, normalisation="per_period"))
    # 2014: rows 10 0 4 3 7 and 15 0 2 5 7, so spread, halves and mixed have e = 0 and a third each; 2015 likewise,
    # with lone in their company.
    third, fourth = 1 / 3, 0.25
    assert found.weights["period"].tolist() == [2014] * 5 + [2015] * 5
    weights = [third, 0, third, third, 0, fourth, fourth, fourth, fourth, 0]
    np.testing.assert_allclose(found.weights["weight"], weights, atol=1e-15)
    assert found.group_weights[["group", "period"]].to_numpy().tolist() == [
        ["A", 2014],
        ["B", 2014],
        ["A", 2015],
        ["B", 2015],
    ]
    np.testing.assert_allclose(found.group_weights["weight"], [2 * third, third, 0.5, 0.5])
    np.testing.assert_allclose(found.index["value"], [0, 0, 1, 1], atol=1e-15)


def test_dates_are_periods_too():
    system = replace(SYSTEM, normalisation="per_period")
    dates = pd.to_datetime(FRAME["year"].astype(str)).astype("datetime64[ns]")
    dated = index_of(FRAME.assign(year=dates), system).weights
    assert dated["period"].unique().tolist() == dates.unique().tolist()
    np.testing.assert_array_equal(dated["weight"], index_of(system=system).weights["weight"])


def test_scale_multiplies_and_shift_is_passed_on():
    plain, scaled = index_of().index, index_of(system=replace(SYSTEM, scale=10.0)).index
    np.testing.assert_allclose(scaled[["value", "A", "B"]], 10 * plain[["value", "A", "B"]])
    shifted = index_of(system=replace(SYSTEM, shift=0.01)).weights["weight"]
    np.testing.assert_array_equal(shifted, entropy_weights(VALUES, direction=DIRECTION, shift=0.01).weights)


def test_text_that_is_a_number_is_read_as_one():
    pd.testing.assert_frame_equal(index_of(FRAME.astype({"spread": str})).index, index_of().index)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="mixed"), "p.csv, row 1, column 'mixed': the column is missing; there are spread, lone"),
        (FRAME.rename(columns={"lone": "spread"}), "row 1, column 'spread': the column appears twice"),
        (FRAME.replace({"mixed": {1.0: np.nan}}), "row 3, column 'mixed': P, 2015: the value is missing; interpolate"),
        (FRAME.assign(lone=["1", " ", "2", "3"]), "row 3, column 'lone': P, 2015: the value is missing"),
        (FRAME.assign(lone=["1", "2", "1,000", "3"]), "row 4, column 'lone': Q, 2014: '1,000' is not a finite number"),
        (FRAME.assign(lone=[1, 2, np.inf, 3]), "row 4, column 'lone': Q, 2014: 'inf' is not a finite number"),
        (FRAME.assign(lone=pd.array([1, None, 2, 3], "Int64")), "row 3, column 'lone': P, 2015: the value is missing"),
        (FRAME.assign(province=["P", None, "Q", "Q"]), "row 3, column 'province'"),
        (FRAME.assign(year=2014), "row 3, column 'province': P, 2014: a second row of this unit and period"),
        (FRAME.iloc[:1], "p.csv: entropy weights need at least two rows"),
        (FRAME.iloc[:0], "p.csv: there are no rows"),
    ],
)
def test_a_frame_that_cannot_be_used_is_named_by_row_and_column(frame, message):
    with pytest.raises(InputError) as caught:
        index_of(frame, file="p.csv")
    assert message in str(caught.value)


def test_a_group_may_not_take_the_name_of_another_column():
    system = replace(SYSTEM, indicators=(replace(SYSTEM.indicators[0], group="value"), *SYSTEM.indicators[1:]))
    with pytest.raises(InputError, match="column 'value': two columns of the index"):
        index_of(system=system)


GOOD = {
    "title": 'title = "T"',
    "normalisation": 'normalisation = "per_period"',
    "zero": 'zero = "shift"\nshift = 0.001',
    "scale": "scale = 10",
    "first": '[[indicators]]\nname = "a"\nlabel = "A"\ngroup = "G"\ndirection = "positive"\nunit = "yuan"',
    "second": '[[indicators]]\nname = "b"\nlabel = "B"\ngroup = "H"\ndirection = "negative"',
}
FIRST, SECOND = GOOD["first"], GOOD["second"]


def read(tmp_path, **changes):
    path = tmp_path / "s.toml"
    path.write_text("\n".join({**GOOD, **changes}.values()))
    return load_system(path)


def test_a_system_is_read(tmp_path):
    indicators = Indicator("a", "A", "G", "positive", "yuan"), Indicator("b", "B", "H", "negative")
    assert read(tmp_path) == IndicatorSystem(
        name="s", title="T", description="", normalisation="per_period", shift=0.001, scale=10.0, indicators=indicators
    )
    assert read(tmp_path).groups == ("G", "H")
    bare = read(tmp_path, zero="", scale="")
    assert (bare.shift, bare.scale) == (0.0, 1.0)
    assert read(tmp_path, zero='zero = "limit"') == replace(bare, scale=10.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": ""}, "title: a text is needed"),
        ({"title": "title = 3"}, "title: a text is needed"),
        ({"title": 'titel = "T"'}, "titel: unknown key; did you mean 'title'?"),
        ({"normalisation": ""}, "normalisation: a text is needed"),
        ({"normalisation": 'normalisation = "pool"'}, "normalisation: unknown value 'pool'; did you mean 'pooled'?"),
        ({"zero": 'zero = "shift"'}, "shift: a finite number is needed"),
        ({"zero": 'zero = "shift"\nshift = 0'}, "shift: must be above 0 and at most 1"),
        ({"zero": 'zero = "shift"\nshift = 2'}, "shift: must be above 0 and at most 1"),
        ({"zero": 'zero = "limit"\nshift = 0.1'}, "shift: goes with zero = 'shift' only"),
        ({"zero": "shift = 0.1"}, "shift: goes with zero = 'shift' only"),
        ({"zero": 'zero = "drop"'}, "zero: unknown value 'drop'; there are limit, shift"),
        ({"scale": "scale = 0"}, "scale: must be positive, not 0"),
        ({"scale": "scale = true"}, "scale: a finite number is needed"),
        ({"first": "", "second": ""}, "indicators: at least one table [[indicators]] is needed"),
        ({"first": "indicators = [1]", "second": ""}, "indicators[1]: a table is needed"),
        ({"first": "indicators = 3", "second": ""}, "indicators: at least one table [[indicators]] is needed"),
        ({"first": FIRST.replace('group = "G"', "")}, "indicators[1].group: a text is needed"),
        ({"second": SECOND.replace('"negative"', '"down"')}, "indicators[2].direction: unknown value 'down'"),
        ({"second": SECOND.replace("label", "lable")}, "indicators[2].lable: unknown key; did you mean 'label'?"),
        ({"second": SECOND.replace('"b"', '"a"')}, "indicators[2].name: 'a' is listed twice"),
        ({"second": SECOND.replace('"B"', '"A"')}, "indicators[2].label: 'A' is listed twice"),
        ({"second": SECOND + "\nunit = 1"}, "indicators[2].unit: a text is needed"),
    ],
)
def test_a_malformed_system_is_named_by_file_and_key(tmp_path, changes, message):
    with pytest.raises(InputError, match=r"s\.toml") as caught:
        read(tmp_path, **changes)
    assert message in str(caught.value)


def test_every_shipped_system_loads():
    assert "cbec" in indicator_systems()
    for name in indicator_systems():
        assert load_system(name).name == name
    with pytest.raises(InputError, match="unknown indicator system 'cbek'; did you mean 'cbec'"):
        load_system("cbek")


def test_the_shipped_system_is_that_of_the_printed_table():
    table = asset_dir("data") / "published" / "cbec_circulation" / "table1.csv"
    rows = read_rows(table, required=("term", "quantity", "printed"))
    printed = [row["printed"] for row in rows if row["term"] == "cbec" and row["quantity"] == "second_level"]
    system = load_system("cbec")
    assert [indicator.label for indicator in system.indicators] == printed
    assert len(printed) == 8
    sizes = [sum(indicator.group == group for indicator in system.indicators) for group in system.groups]
    assert sizes == [3, 5]
