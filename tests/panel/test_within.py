from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.panel.within import TwoWay
from tests.support.regressions import dummies

# Any set of cells: with holes, with units and periods seen once, in one piece or in many.
cells = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40, unique=True)


def codes(pairs):
    unit, time = np.array(pairs).T
    return np.unique(unit, return_inverse=True)[1], np.unique(time, return_inverse=True)[1]


def random_codes(n_units, n_times, share, seed=0):
    rng = np.random.default_rng(seed)
    return codes(np.argwhere(rng.uniform(size=(n_units, n_times)) < share))


def normal(n, k=3, seed=1):
    return np.random.default_rng(seed).normal(size=(n, k))


def left_by_dummies(unit, time, values):
    x = dummies(unit, time)
    return values - x @ np.linalg.lstsq(x, values)[0]


def test_balanced_two_by_two_by_hand():
    # 1 2 | 5 10: means of rows 1.5, 7.5, of columns 3, 6, of all 4.5; what is left is +-1.
    effects = TwoWay(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(effects.within([1, 2, 5, 10]), [1, -1, -1, 1], atol=1e-14)
    assert (effects.n_obs, effects.n_units, effects.n_times, effects.rank) == (4, 2, 2, 3)


@given(cells, st.integers(0, 2**16))
def test_any_pattern_of_cells_is_the_dense_regression(pairs, seed):
    unit, time = codes(pairs)
    effects, values = TwoWay(unit, time), normal(len(unit), seed=seed)
    found, x = effects.within(values), dummies(unit, time)
    np.testing.assert_allclose(found, left_by_dummies(unit, time, values), atol=1e-12)
    assert effects.rank == np.linalg.matrix_rank(x)
    np.testing.assert_allclose(x.T @ found, 0, atol=1e-12)
    np.testing.assert_allclose(effects.within(found), found, atol=1e-13)


@given(cells, st.integers(0, 2**16), st.sampled_from([1e-6, 1.0, 1e6]))
def test_any_unit_effect_and_any_time_effect_vanish(pairs, seed, scale):
    unit, time = codes(pairs)
    effects, values = TwoWay(unit, time), normal(len(unit), seed=seed)
    rng = np.random.default_rng(seed)
    nothing = scale * (rng.normal(size=(unit.max() + 1, 3))[unit] + rng.normal(size=(time.max() + 1, 3))[time])
    np.testing.assert_allclose(effects.within(nothing), 0, atol=1e-13 * scale)
    np.testing.assert_allclose(effects.within(values + nothing), effects.within(values), atol=1e-12 * max(scale, 1))


@pytest.mark.parametrize("share", [1.0, 0.7, 0.2])
@pytest.mark.parametrize(("n_units", "n_times"), [(60, 5), (5, 60), (25, 25), (2, 40), (150, 2)])
def test_larger_panels_are_the_dense_regression(n_units, n_times, share):
    unit, time = random_codes(n_units, n_times, share)
    effects, values = TwoWay(unit, time), normal(len(unit))
    np.testing.assert_allclose(effects.within(values), left_by_dummies(unit, time, values), atol=1e-12)
    assert effects.rank == np.linalg.matrix_rank(dummies(unit, time))


def test_the_rank_counts_the_pieces_of_a_panel():
    def rank(*pairs):
        return TwoWay(*codes(pairs)).rank

    assert rank((0, 0), (0, 1), (1, 0), (1, 1)) == 2 + 2 - 1
    assert rank((0, 0), (0, 1), (1, 2), (1, 3)) == 2 + 4 - 2
    assert rank((0, 0), (0, 1), (1, 2), (1, 3), (2, 1), (2, 2)) == 3 + 4 - 1  # the third unit joins the two
    assert rank((0, 0), (1, 1), (2, 2), (3, 3)) == 4 + 4 - 4
    assert rank((0, 0)) == 1 + 1 - 1


def test_a_long_chain_is_one_piece():
    # Unit i is seen in periods i and i + 1 only; the first in the last one too, which closes a ring of 160 rows.
    unit, time = codes([*((i, i + step) for i in range(80) for step in (0, 1)), (0, 80)])
    effects, values = TwoWay(unit, time), normal(161)
    assert effects.rank == 80 + 81 - 1
    found = effects.within(values)
    assert (np.abs(found).max(axis=0) > 1e-4).all()
    np.testing.assert_allclose(found, left_by_dummies(unit, time, values), atol=1e-12)


def test_a_unit_seen_once_is_fitted_exactly_and_changes_nothing_else():
    unit, time = random_codes(6, 5, 1.0)
    values = normal(len(unit))
    once = TwoWay(np.append(unit, 6), np.append(time, 2)).within(np.vstack([values, [[7.0, -3.0, 1e3]]]))
    np.testing.assert_allclose(once[-1], 0, atol=1e-12)
    np.testing.assert_allclose(once[:-1], TwoWay(unit, time).within(values), atol=1e-12)


def test_labels_and_the_order_of_rows_do_not_matter():
    unit, time = random_codes(12, 9, 0.6)
    values = normal(len(unit))
    found = TwoWay(unit, time).within(values)
    rng = np.random.default_rng(3)
    renamed = TwoWay(rng.permutation(12)[unit], rng.permutation(9)[time])
    np.testing.assert_allclose(renamed.within(values), found, atol=1e-13)
    order = rng.permutation(len(unit))
    np.testing.assert_allclose(TwoWay(unit[order], time[order]).within(values[order]), found[order], atol=1e-13)
    np.testing.assert_allclose(TwoWay(time, unit).within(values), found, atol=1e-13)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_large_means_cost_no_digits(share):
    unit, time = random_codes(30, 7, share)
    small = normal(len(unit))
    large = small + 1e8
    centred = large - 1e8  # exact, and not quite `small`: the sum above was rounded
    effects = TwoWay(unit, time)
    np.testing.assert_allclose(effects.within(large), effects.within(centred), atol=1e-13)
    large_effects = small + 2.0 ** np.arange(27)[unit % 27][:, None]  # up to 7e7
    exact = large_effects - 2.0 ** np.arange(27)[unit % 27][:, None]
    np.testing.assert_allclose(effects.within(large_effects), effects.within(exact), atol=1e-13)


def test_one_column_or_many_and_the_input_is_left_alone():
    unit, time = random_codes(8, 6, 0.7)
    effects, values = TwoWay(unit, time), normal(len(unit))
    before = values.copy()
    found = effects.within(values)
    np.testing.assert_array_equal(values, before)
    assert effects.within(values[:, 0]).shape == (len(unit),)
    np.testing.assert_allclose(effects.within(values[:, 0]), found[:, 0], atol=1e-14)
    np.testing.assert_allclose(effects.within(np.arange(len(unit))), effects.within(np.arange(len(unit), dtype=float)))
    assert effects.within(values[:, :0]).shape == (len(unit), 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        effects.rank = 3
