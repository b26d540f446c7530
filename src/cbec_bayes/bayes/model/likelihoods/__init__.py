"""Residuals by what a model file says of them: their shape, their correlation over time, and their spread.

The collapsed engine integrates normal ones, whatever their correlation and spread. A shape that PyMC samples is a file
here, and an entry in `SAMPLED`; a correlation is a class of `cbec_bayes.bayes.moments.lags`.
"""

from __future__ import annotations

from cbec_bayes.bayes.model.likelihoods.likelihood import Likelihood
from cbec_bayes.bayes.model.likelihoods.normal import Normal
from cbec_bayes.bayes.model.likelihoods.residuals import Residuals
from cbec_bayes.bayes.model.likelihoods.student_t import StudentT
from cbec_bayes.bayes.moments.lags import CORRELATIONS

NORMAL = Normal()
"""The shape that the collapsed engine integrates."""

SAMPLED: dict[str, Likelihood] = {one.name: one for one in (StudentT(),)}
"""The other shapes, by name."""


def shapes() -> tuple[str, ...]:
    """Return the names of every shape."""
    return (NORMAL.name, *SAMPLED)


def residuals_of(shape: str, correlation: str, *, by_group: bool) -> Residuals:
    """Return residuals by the names of their shape and correlation, of one scale or of one for each group."""
    return Residuals(SAMPLED.get(shape, NORMAL), CORRELATIONS[correlation], by_group)


__all__ = ["CORRELATIONS", "NORMAL", "SAMPLED", "Likelihood", "Residuals", "residuals_of", "shapes"]
