"""The automatic unit of the priors: a fixed point that moves with the data, and that no single row sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.estimates import under_reading
from cbec_bayes.published.results import summarise
from cbec_bayes.published.spread import rows_that_set_it, typical_spread
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import load_summary_model

PAIRS = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 20)), min_size=1, max_size=8)
VALUES, ERRORS = np.array([0.22, 0.751, 0.074]), np.array([0.08, 0.328, 0.109])


def right_side(values, errors, u):
    """Return the right side of the equation, row by row."""
    weights = [1 / (s**2 + u**2) ** 2 for s in errors]
    centre = sum(v * b for v, b in zip(weights, values, strict=True)) / sum(weights)
    return sum(v * ((b - centre) ** 2 + s**2) for v, b, s in zip(weights, values, errors, strict=True)) / sum(weights)


@settings(max_examples=60)
@given(PAIRS)
def test_it_solves_its_equation_and_nothing_larger_does(pairs):
    values, errors = (np.array(column) for column in zip(*pairs, strict=True))
    u = typical_spread(values, errors)
    assert u**2 == pytest.approx(right_side(values, errors, u), rel=1e-9)
    above = u * np.geomspace(1.01, 100, 300)
    assert all(right_side(values, errors, x) < x**2 for x in above)


@settings(max_examples=40)
@given(PAIRS, st.floats(-50, 50), st.integers(-60, 60), st.randoms(use_true_random=False))
def test_it_moves_with_the_data(pairs, shift, power, random):
    """A change of unit multiplies it; a shift, another order, and the same rows twice leave it as it is."""
    values, errors = (np.array(column) for column in zip(*pairs, strict=True))
    u = typical_spread(values, errors)
    order = random.sample(range(len(values)), len(values))
    factor = 10.0**power
    assert typical_spread(values * factor, errors * factor) == pytest.approx(u * factor, rel=1e-8)
    assert typical_spread(values + shift, errors) == pytest.approx(u, rel=1e-8)
    assert typical_spread(values[order], errors[order]) == pytest.approx(u, rel=1e-8)
    assert typical_spread(np.tile(values, 3), np.tile(errors, 3)) == pytest.approx(u, rel=1e-8)


def test_closed_forms():
    assert typical_spread(np.array([7.0]), np.array([0.3])) == pytest.approx(0.3, rel=1e-12)
    equal = typical_spread(np.array([1.0, 2.0, 6.0]), np.full(3, 0.5))
    assert equal == pytest.approx(np.hypot(np.std([1.0, 2.0, 6.0]), 0.5), rel=1e-12)


@pytest.mark.parametrize("error", [5.0, 1e3, 1e9])
def test_an_imprecise_row_does_not_set_it(error):
    u = typical_spread(VALUES, ERRORS)
    assert typical_spread(np.append(VALUES, 0.3), np.append(ERRORS, error)) == pytest.approx(u, rel=2e-3)


def test_an_exact_row_does_not_set_it():
    found = [typical_spread(np.append(VALUES, 0.3), np.append(ERRORS, error)) for error in (1e-3, 1e-6, 1e-12)]
    assert found == pytest.approx([found[-1]] * 3, rel=1e-3)
    assert 0.5 < found[-1] / typical_spread(VALUES, ERRORS) < 1


@pytest.mark.parametrize(("n_imprecise", "expected"), [(8, 1.0), (9, 700.0)])
def test_imprecise_rows_set_it_where_more_than_eight_times_as_many(n_imprecise, expected):
    errors = np.append(np.ones(3), np.full(3 * n_imprecise, 1e3))
    assert typical_spread(np.zeros(len(errors)), errors) == pytest.approx(expected, rel=0.02)


def test_a_row_that_sets_it_is_found():
    values, errors = np.array([0.1, 0.2, 0.15, 9.0]), np.full(4, 0.1)
    (row, without), *others = rows_that_set_it(values, errors).items()
    assert (row, others) == (3, [])
    assert without == pytest.approx(typical_spread(values[:3], errors[:3]), rel=1e-12)
    assert rows_that_set_it(VALUES, ERRORS) == {}
    assert rows_that_set_it(values[2:], errors[2:]) == {}


def test_a_useless_row_leaves_every_slope_where_it_was(tmp_path):
    """The case of three provinces and one whose standard error is 5: nothing else moves by a hundredth of its sd."""
    rows = "label,estimate,se\neast,0.22,0.08\ncentral,0.751,0.328\nwest,0.074,0.109\n"
    (tmp_path / "three.csv").write_text(rows)
    (tmp_path / "useless.csv").write_text(rows + "tibet,0.3,5\n")
    model = load_summary_model("published_half_normal")
    three, more = (
        summarise(fit_summary(under_reading(read_estimates(tmp_path / name), "as_printed"), model))
        for name in ("three.csv", "useless.csv")
    )
    pairs = [(three.groups[label], more.groups[label]) for label in three.labels]
    for one, other in (*pairs, (three.common, more.common), (three.new, more.new), (three.tau, more.tau)):
        assert np.abs(np.subtract(other.numbers[:4], one.numbers[:4])).max() < 0.01 * one.sd
