"""What others leave of a column is judged against the precision in which its numbers are stored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.classical.regression import twfe
from cbec_bayes.panel import Reading, Roles, make_panel, read_panel
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.identify import unidentified
from cbec_bayes.panel.precision import rounding_of
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.errors import InputError

RNG = np.random.default_rng(4)
DROP = Reading(collinearity="drop")


def rows(n_units=20, n_times=8, *, unbalanced=False):
    """Return units, periods and a random generator's columns of a panel."""
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    kept = RNG.random(len(unit)) < (0.8 if unbalanced else 2)
    return unit[kept], time[kept]


def panel(columns, unit, time, **options):
    frame = pd.DataFrame({"y": RNG.normal(size=len(unit)), **columns, "unit": unit, "time": time})
    names = list(columns)
    roles = Roles(outcome="y", exposure=names[0], controls=tuple(names[1:]), unit="unit", time="time")
    return make_panel(frame, roles, **options)


def by_dummies(frame, regressors):
    """Return slopes of a least-squares regression on all dummies."""
    x = np.column_stack([frame[regressors], pd.get_dummies(frame["unit"]), pd.get_dummies(frame["time"])])
    return np.linalg.lstsq(x.astype(float), frame["y"].to_numpy(dtype=float), rcond=1e-11)[0][: len(regressors)]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda x: x, lambda x: np.abs(x) * 2**-53),
        (lambda x: x.astype(np.float32).astype(float), lambda x: 4 * np.abs(x) * 2**-24),
        (lambda x: x.round(6), lambda x: np.full(len(x), 0.5e-6)),
        (lambda x: x.round(1), lambda x: np.full(len(x), 0.05)),
        (lambda x: (1e7 * x).round(2), lambda x: np.full(len(x), 0.005)),
        (lambda x: (x / 20).round(5).astype(np.float32).astype(float), lambda x: np.full(len(x), 0.5e-5)),
        (lambda x: np.array([float(f"{v:.7g}") for v in x]), lambda x: 0.5 * 10.0 ** (np.floor(np.log10(abs(x))) - 6)),
        (lambda x: x.round(), lambda x: np.zeros(len(x))),
        (lambda x: (x > 0) * 1.0, lambda x: np.zeros(len(x))),
        (lambda x: 1e-9 * x, lambda x: np.abs(x) * 2**-53),
    ],
)
def test_the_precision_of_numbers_is_seen(make, expected):
    values = make(RNG.normal(5, 3, size=200))
    found, half = rounding_of(values) * np.sqrt(3), expected(values)
    assert np.all(found >= 0.99 * half)
    assert (
        np.mean(found > 1.01 * half) < 0.2
    )  # fewer digits where numbers are small: fixed digits and decimals both hold


@pytest.mark.parametrize("n", [1, 5, 50, 2000])
def test_rounding_has_the_standard_deviation_that_is_said(n):
    values = RNG.normal(5, 3, size=n)
    for decimals in (3, 6):
        left = (values.round(decimals) - values) / np.maximum(rounding_of(values.round(decimals)), 1e-300)
        if n > 4:
            assert abs(np.mean(left**2) - 1) < 5 * np.sqrt(0.8 / n)


@pytest.mark.parametrize("unbalanced", [False, True])
@pytest.mark.parametrize(
    ("store", "up_to"),
    [(lambda x: x.astype(np.float32), True), (lambda x: x.round(6), True), (lambda x: x.round(2), True),
     (lambda x: x, False)],
)  # fmt: skip
@pytest.mark.parametrize("level", [1.0, 1e3])
def test_a_control_that_others_explain_as_far_as_digits_go_is_named_or_dropped(unbalanced, store, up_to, level):
    unit, time = rows(unbalanced=unbalanced)
    la, lb, other = level * RNG.normal(5, 1, size=(3, len(unit)))
    columns = {"x": store(la - lb), "other": store(other), "la": store(la), "lb": store(lb)}
    with pytest.raises(
        InputError, match=r"'lb' is a linear combination of 'x' and 'la' once .*--collinearity drop"
    ) as e:
        panel(columns, unit, time)
    assert level > 1 or ("up to the precision" in str(e.value)) == up_to
    found = panel(columns, unit, time, reading=DROP)
    assert found.roles.controls == ("other", "la")
    assert (
        sum("'lb' is a linear combination of 'x' and 'la'" in note and "is left out" in note for note in found.notes)
        == 1
    )
    kept = ["x", "other", "la"]
    np.testing.assert_allclose(twfe(make_design(found)).estimate, by_dummies(found.frame, kept), rtol=1e-7)


def test_shares_that_add_up_to_one():
    unit, time = rows()
    shares = RNG.dirichlet([2, 2, 2, 2], size=len(unit)).round(6)
    columns = {f"s{k}": shares[:, k] for k in range(4)}
    with pytest.raises(InputError, match="'s3' is a linear combination of 's0', 's1' and 's2' once"):
        panel(columns, unit, time)
    assert panel(columns, unit, time, reading=DROP).roles.controls == ("s1", "s2")


@pytest.mark.parametrize("store", [lambda x: x.astype(np.float32), lambda x: x.round(3), lambda x: x])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_a_unit_plus_a_period_effect_has_no_slope_in_any_precision(store, scale):
    unit, time = rows()
    own = store(scale * RNG.normal(size=20)[unit] + RNG.normal(size=8)[time])
    with pytest.raises(InputError, match="'x' is the sum of a unit and a period effect"):
        panel({"x": own}, unit, time)
    with pytest.raises(InputError, match="'x' is the sum of a unit and a period effect"):
        panel({"x": own}, unit, time, reading=DROP)  # the exposure is what is asked about
    found = panel({"x": RNG.normal(size=160), "c": own, "d": unit * 1.0}, unit, time, reading=DROP)
    assert found.roles.controls == ()


def test_files_of_every_kind_show_it(tmp_path):
    unit, time = rows()
    la, lb = RNG.normal(5, 1, size=(2, len(unit)))
    frame = pd.DataFrame({"x": la - lb, "la": la, "lb": lb}).astype(np.float32)
    frame = frame.assign(y=RNG.normal(size=len(unit)), unit=[f"u{u}" for u in unit], time=time)
    roles = Roles(outcome="y", exposure="x", controls=("la", "lb"), unit="unit", time="time")
    frame.to_stata(tmp_path / "t.dta", write_index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "u.csv", index=False, float_format="%.7g")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    for name in ("t.dta", "t.parquet", "t.csv", "u.csv", "t.xlsx"):
        with pytest.raises(InputError, match="'lb' is a linear combination of 'x' and 'la'"):
            read_panel(tmp_path / name, roles)


def test_regressors_that_are_merely_alike_keep_their_slopes():
    unit, time = rows()
    x = RNG.normal(5, 1, size=len(unit))
    for store, apart in ((lambda v: v.astype(np.float32), 1e-4), (lambda v: v.round(3), 0.01), (lambda v: v, 1e-6)):
        near = {"x": store(x), "c": store(x + apart * RNG.normal(size=len(unit)))}
        assert panel(near, unit, time).roles.controls == ("c",)
    for counts in (RNG.integers(0, 2, size=160), RNG.integers(0, 3, size=160) / 2):
        assert panel({"x": counts}, unit, time).n_obs == 160


def test_both_engines_leave_the_same_column_out_where_one_group_has_it():
    """In the second group c = 2x but for single precision; a regression of that group keeps x alone."""
    unit, time = rows()
    group = (unit >= 10).astype(np.intp)
    x = RNG.normal(5, 1, size=len(unit))
    c = np.where(group, 2.0001 * x, RNG.normal(5, 1, size=len(unit)))
    found = panel({"x": x.astype(np.float32), "c": c.astype(np.float32)}, unit, time)
    part = make_design(found).rows(group.astype(bool))
    kept = identified(part.x, part.effects.within(part.x), rounding=part.rounding_norms)
    assert kept == (0,)
    (wrong,) = unidentified(part.x, part.terms, part.unit, part.time)
    assert wrong[0] == "c"
    np.testing.assert_allclose(twfe(part).estimate[0], by_dummies(found.frame[group.astype(bool)], ["x"])[0], rtol=1e-6)
    assert np.isnan(twfe(part).estimate[1])
    with pytest.raises(InputError, match="slope control_slope\\[c\\] is not identified"):
        blocks_for(part, "complete_pooling")


def test_precision_is_not_looked_for_where_none_is_told():
    x = RNG.normal(size=(160, 2))
    within = TwoWay(*np.divmod(np.arange(160), 8)).within(x)
    within[:, 1] = within[:, 0] + 1e-7 * within[:, 1]
    assert identified(x, within) == (0, 1)
    assert identified(x, within, rounding=np.full(2, 1e-5)) == (0,)
