"""Two posteriors of one model, compared in units of the Monte Carlo error of their own draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import arviz as az
import numpy as np

VARIABLES = ("slope", "control_slope", "group_total_slope", "time_effect", "unit_effect", "sigma", "tau")
"""What the twin of partial pooling and the collapsed engine both draw."""


def assert_same_posterior(one: Any, other: Any, variables: Sequence[str] = VARIABLES) -> None:
    """Assert that means and standard deviations of two datasets of draws are the same within Monte Carlo error."""
    one, other = one[list(variables)], other[list(variables)]
    for measure, method in ((lambda d: d.mean(("chain", "draw")), "mean"), (lambda d: d.std(("chain", "draw")), "sd")):
        with np.errstate(invalid="ignore"):  # of a coefficient that is zero by convention
            errors = [az.mcse(d, method=method) for d in (one, other)]
        for variable in variables:
            apart = measure(one)[variable] - measure(other)[variable]
            unit = np.hypot(errors[0][variable], errors[1][variable])
            z = np.asarray(apart / unit.where(unit > 0, np.inf)).ravel()
            assert np.abs(z).max() < 4.5, variable  # of some 50 coefficients that move together
            if method == "mean":  # a deviation's own error is large where a tail is long, as tau's
                assert np.abs(apart).max() < 0.15 * one[variable].std(("chain", "draw")).max(), variable
