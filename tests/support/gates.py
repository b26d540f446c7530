"""Fits among many that miss their gates on purpose."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cbec_bayes.bayes import fit
from cbec_bayes.bayes import refit as refits
from cbec_bayes.bayes.sampling.importance import Draws

WIDE: dict[str, Any] = {"khat": 1.2}
"""Weights of too heavy a tail."""

FEW: dict[str, Any] = {"ess": 7.0}
"""Weights worth too few draws."""

DIVERGED: dict[str, Any] = {"method": "nutpie", "khat": np.nan, "ess": np.nan, "divergences": 3, "ebfmi": 1.0}
"""A chain with divergent transitions."""

SAID = {"khat": "Pareto k 1.20 is above 0.7", "divergences": "3 divergent transitions"}
"""The reasons that a table gives for `WIDE` and `DIVERGED`."""


def missing_gates(
    monkeypatch: pytest.MonkeyPatch, which: Container[int], changed: dict[str, Any], where: Any = refits
) -> None:
    """Change what is told of the draws of some fits, by their number from 0; draws themselves stay as they are."""
    count = -1

    def drawn(*arguments: Any, **options: Any) -> Draws:
        nonlocal count
        count += 1
        found = fit.draw_scales(*arguments, **options)
        return replace(found, **changed) if count in which else found

    monkeypatch.setattr(where, "draw_scales", drawn)
