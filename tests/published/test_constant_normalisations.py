"""Constants on four units and three periods whose one control grows by ten a period: each normalisation by itself."""

from __future__ import annotations

import pandas as pd
import pytest

from cbec_bayes.published.audit import audit
from cbec_bayes.published.printed import load_paper
from cbec_bayes.runtime.labels import Origin
from tests.support.printed_tables import write

PAPER = '[outcome]\nterm = "y"\n[exposure]\nterm = "x"\n[moments]\ntable = "1"\n'
ROWS = pd.DataFrame(
    {
        "unit": [f"u{i}" for i in range(4) for _ in range(3)],
        "time": [2001, 2002, 2003] * 4,
        "x": [0.0, 10.0, 20.0] * 4,
    }
)


def check(folder, constant, r2="0.999", slope="1.000", more=(), moments=("mean", "min", "max"), observed=ROWS):
    """The finding on a constant; y lies between 0 and 1 with mean 0.5."""
    y = {"mean": "0.500", "min": "0.000", "max": "1.000"}
    rows = [
        *(("1", "all", "y", quantity, y[quantity], "") for quantity in moments),
        ("1", "all", "y", "n_obs", "12", ""),
        ("2", "a", "x", "estimate", slope, ""),
        ("2", "a", "Constant", "estimate", constant, ""),
        *more,
    ]
    if r2:
        rows.append(("2", "a", "", "r2", r2, ""))
    paper = load_paper(write(folder, rows, PAPER))
    return [f for f in audit(paper, {"2: a": observed}).findings if f.check == "constant_conventions"]


@pytest.mark.parametrize(
    ("constant", "where"),
    [
        ("-9.500", "where the effects average to zero, where time effects are measured against 2002 or where all"),
        ("-19.500", "possible where time effects are measured against 2003 or where all effects are measured against"),
        ("-19.500", "against one of 4 of 12 units and periods, such as u0 in 2003."),
        ("0.500", "possible where time effects are measured against 2001 or"),
    ],
)
def test_one_period_allows_the_constant(tmp_path, constant, where):
    (found,) = check(tmp_path, constant)
    assert str(found.verdict) == "pass"
    assert where in found.detail
    assert found.origin is Origin.OBSERVED
    assert -9.5 in found.interval


def test_every_period_allows_the_constant(tmp_path):
    (found,) = check(tmp_path, "0.500", slope="0.001")
    assert "where time effects are measured against any of 2001 to 2003 or where all effects" in found.detail
    assert "against any unit and period." in found.detail


@pytest.mark.parametrize("times", [[2001, 2002, 2003], [2001.0, 2002.0, 2003.0], ["2001", "2002", "2003"]])
def test_periods_that_allow_the_constant_are_listed(tmp_path, times):
    """With a slope of 0.05 a constant of 0.3 is a fitted mean of 0.3, 0.8 and 1.3, above every y."""
    (found,) = check(tmp_path, "0.300", slope="0.050", observed=ROWS.assign(time=times * 4))
    assert "time effects are measured against 2001, 2002 or where all" in found.detail


@pytest.mark.parametrize(("r2", "verdict"), [("0.950", "pass"), ("0.999", "fail")])
def test_the_fit_says_how_far_a_base_cell_may_lie(tmp_path, r2, verdict):
    """A fitted value of -0.2 needs a residual of 0.2: R2 of 0.999 leaves 0.07, of 0.95 leaves 0.4."""
    (found,) = check(tmp_path, "-20.200", r2)
    assert str(found.verdict) == verdict
    if verdict == "pass":
        assert "is possible where all effects are measured against one of 4 of 12" in found.detail


def test_a_lost_minus_is_named(tmp_path):
    (found,) = check(tmp_path, "19.800")
    assert str(found.verdict) == "fail"
    assert "; -19.800 would be possible where time effects are measured against 2003" in found.detail
    (found,) = check(tmp_path, "400.000")
    assert found.detail.endswith("impossible under each of the usual normalisations of the effects.")


def test_a_regressor_that_is_neither_observed_nor_described_leaves_it_open(tmp_path):
    assert check(tmp_path, "-9.500", more=(("2", "a", "z", "estimate", "0.100", ""),)) == []


def test_a_described_regressor_is_bounded_by_its_table(tmp_path):
    """z lies between 0 and 2 with mean 1: 10 z shifts the constant by 10 over all rows, by 0 to 20 over a part."""
    z = {"mean": "1.000", "min": "0.000", "max": "2.000", "n_obs": "12"}
    more = (
        *(("1", "all", "z", quantity, number, "") for quantity, number in z.items()),
        ("2", "a", "z", "estimate", "10.000", ""),
    )
    (found,) = check(tmp_path, "-19.500", more=more)
    assert -19.5 in found.interval
    assert -18.9 not in found.interval
    assert "any of 2001 to 2003" in found.detail


def test_an_outcome_without_its_range_leaves_it_open(tmp_path):
    assert check(tmp_path, "-9.500", moments=("mean", "min")) == []


def test_an_observed_outcome_is_bounded_by_the_table_all_the_same(tmp_path):
    with_outcome = ROWS.assign(y=0.5)
    assert check(tmp_path, "-9.500", moments=("mean", "min"), observed=with_outcome) == []
    (found,) = check(tmp_path, "-9.500", observed=with_outcome)
    assert str(found.verdict) == "pass"
