from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import stats

from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient
from cbec_bayes.published.readings import (
    UNKNOWN_DF,
    Verdict,
    best_verdict,
    coherent_readings,
    critical_value,
    implied_se,
    p_band,
    p_interval,
    read_cell,
    se_from_p,
    se_from_t,
    stars_word,
    two_sided_p,
)
from cbec_bayes.published.stated import DEFAULT_STARS
from tests.support.printed_tables import stars_of

estimates = st.floats(-5, 5).filter(lambda b: abs(b) > 1e-3)
errors = st.floats(0.01, 5)
dfs = st.sampled_from([2.0, 5.0, 9.0, 29.0, math.inf])


def cell(estimate: str, parenthesis: str, stars: str) -> Coefficient:
    return Coefficient(
        table="1",
        column="a",
        term="x",
        label="x",
        estimate=PrintedNumber.parse(estimate),
        parenthesis=PrintedNumber.parse(parenthesis),
        stars=stars,
    )


def verdicts(coefficient: Coefficient, df: float = 29.0) -> dict[str, Verdict]:
    results = read_cell(coefficient, DEFAULT_STARS, (df, df))
    return {reading: best_verdict(results, reading) for reading in ("se", "p", "t")}


def test_stars_are_bands_of_p_values():
    assert p_band("***", DEFAULT_STARS) == Interval(0, Fraction(1, 100))
    assert p_band("**", DEFAULT_STARS) == Interval(Fraction(1, 100), Fraction(1, 20))
    assert p_band("", DEFAULT_STARS) == Interval(Fraction(1, 10), 1)
    assert stars_word("**", DEFAULT_STARS) == "two stars (0.01 < p < 0.05)"
    assert stars_word("", DEFAULT_STARS) == "no star (p > 0.1)"


def test_tails_against_tables():
    # Student's t: 2.262 at 5 %, 9 df; 1.960 for the normal (any statistical table).
    assert critical_value(0.05, 9) == pytest.approx(2.262, abs=5e-4)
    assert critical_value(0.05, math.inf) == pytest.approx(1.960, abs=5e-4)
    assert two_sided_p(2.262157, 9) == pytest.approx(0.05, abs=1e-7)
    assert se_from_p(1.96, 0.05, math.inf) == pytest.approx(1, abs=1e-4)
    assert se_from_t(-3.0, 1.5) == 2


@given(estimates, errors, dfs, st.integers(2, 4))
def test_an_honest_cell_is_never_failed(b, s, df, digits):
    """Whatever is printed, read as what it is, agrees with its stars, or rounding leaves it open."""
    p = two_sided_p(b / s, df)
    texts = {"se": s, "p": p, "t": b / s}
    for reading, value in texts.items():
        printed = cell(f"{b:.{digits}f}", f"{value:.{digits}f}", stars_of(p))
        results = read_cell(printed, DEFAULT_STARS, (df, df))
        reference = "normal" if math.isinf(df) else "t"
        own = [r for r in results if r.reading == reading and r.reference in (reference, None)]
        assert all(r.verdict is not Verdict.FAIL for r in own)
        assert all(r.p is not None and r.p.ends[0] - 1e-12 <= p <= r.p.ends[1] + 1e-12 for r in own)


@given(estimates, errors, dfs)
def test_the_implied_standard_error_contains_the_true_one_and_nothing_that_disagrees(b, s, df):
    stars = stars_of(two_sided_p(b / s, df))
    printed = PrintedNumber.parse(f"{b:.4f}")
    assume(printed.value != 0)
    interval = implied_se(printed.interval, p_band(stars, DEFAULT_STARS), (df, df))
    low, high = interval.ends
    assert low <= s <= high
    point = implied_se(Interval(Fraction(b), Fraction(b)), p_band(stars, DEFAULT_STARS), (df, df))
    for outside in (point.ends[0] * 0.999, point.ends[1] * 1.001):
        if 0 < outside < math.inf:
            assert stars_of(two_sided_p(b / outside, df)) != stars


@example(1.0, 1e-8, 2.0)
@given(errors, st.floats(0, 8), dfs)
def test_unknown_degrees_of_freedom_bound_every_known_one(s, t, df):
    statistic = Interval(Fraction(t), Fraction(t))
    known, unknown = p_interval(statistic, (df, df)), p_interval(statistic, UNKNOWN_DF)
    assert unknown.ends[0] - 1e-8 <= known.ends[0]
    assert known.ends[1] <= unknown.ends[1] + 1e-8


@given(estimates, st.sampled_from(["", "*", "**", "***"]), st.floats(1, 60))
def test_an_implied_standard_error_for_unknown_clusters_encloses_every_known_one(b, stars, df):
    point, band = Interval(Fraction(b), Fraction(b)), p_band(stars, DEFAULT_STARS)
    inner, outer = implied_se(point, band, (df, df)).ends, implied_se(point, band, UNKNOWN_DF).ends
    assert outer[0] <= inner[0] * (1 + 1e-9)
    assert inner[1] <= outer[1] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("estimate", "parenthesis", "stars", "coherent"),
    [
        ("0.609", "0.016", "**", ("p",)),  # Table 3 (1): a p-value where a standard error is announced
        ("0.054", "0.013", "***", ("se",)),  # Table 3 (2), urbanisation
        ("0.22", "0.259", "**", ()),  # Table 4, east: no reading
        ("4.236", "2.744", "**", ("t",)),  # Table 4, east, railway
        ("-1.00", "2.30", "**", ()),  # a t statistic of the wrong sign
        ("-1.00", "-2.30", "**", ("t",)),
        ("1.00", "1.50", "", ("se", "t")),  # too large for a p-value
        ("1.00", "0.00", "***", ("se", "p")),  # a standard error that rounds to zero may be anything small
    ],
)
def test_which_readings_make_a_cell_coherent(estimate, parenthesis, stars, coherent):
    assert coherent_readings(read_cell(cell(estimate, parenthesis, stars), DEFAULT_STARS, (29, 29))) == coherent


def test_rounding_leaves_open_what_it_must():
    assert verdicts(cell("0.01", "0.003", ""), 9)["se"] is Verdict.UNDETERMINED
    assert verdicts(cell("0.0100", "0.0030", ""), 9)["se"] is Verdict.FAIL
    assert verdicts(cell("0.0100", "0.0090", ""), 9)["se"] is Verdict.PASS


def test_the_reference_distribution_matters_with_few_clusters():
    """0.751* (0.328) on six clusters: one star under t(5), two under the normal."""
    results = read_cell(cell("0.751", "0.328", "*"), DEFAULT_STARS, (5, 5))
    by_reference = {r.reference: r.verdict for r in results if r.reading == "se"}
    assert by_reference == {"t": Verdict.PASS, "normal": Verdict.FAIL}
    assert 2 * stats.t.sf(0.751 / 0.328, 5) == pytest.approx(0.0707, abs=1e-4)


def test_a_cell_without_parentheses_has_no_reading():
    bare = Coefficient(
        table="1", column="a", term="x", label="x", estimate=PrintedNumber.parse("1"), parenthesis=None, stars=""
    )
    with pytest.raises(ValueError, match="the cell has no number in parentheses"):
        read_cell(bare, DEFAULT_STARS, (9, 9))
