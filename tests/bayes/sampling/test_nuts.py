"""What is measured of a Markov chain."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cbec_bayes.bayes.sampling.nuts import ebfmi


def test_ebfmi_is_betancourts_ratio_of_sums_for_each_chain():
    """Squared steps over squared distances from the mean, by plain loops; chains differ in level, spread and memory."""
    rng = np.random.default_rng(2)
    steps = rng.normal(size=(4, 500))
    energy = np.array([steps[0], 1e6 + 1e3 * steps[1], np.cumsum(steps[2]), -40 + 0.01 * np.cumsum(steps[3])])
    expected = []
    for chain in energy.tolist():
        mean = sum(chain) / len(chain)
        moves = sum((after - before) ** 2 for before, after in pairwise(chain))
        expected.append(moves / sum((value - mean) ** 2 for value in chain))
    found = ebfmi(energy)
    assert found.shape == (4,)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[0] > 1.5
    assert found[2] < 0.3


def test_ebfmi_of_independent_energies_is_two():
    energy = np.random.default_rng(1).normal(size=(3, 20_000))
    assert ebfmi(energy) == pytest.approx([2, 2, 2], abs=0.05)
