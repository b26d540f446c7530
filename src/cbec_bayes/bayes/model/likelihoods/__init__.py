"""Kinds of residuals by the name that a model file has.

Those of the collapsed engine are normal given scales. A likelihood that PyMC samples is a file here, and an entry in
`SAMPLED`.
"""

from __future__ import annotations

from cbec_bayes.bayes.model.likelihoods.ar1 import Ar1
from cbec_bayes.bayes.model.likelihoods.likelihood import Likelihood
from cbec_bayes.bayes.model.likelihoods.normal import ByGroup, Normal
from cbec_bayes.bayes.model.likelihoods.residuals import Residuals
from cbec_bayes.bayes.model.likelihoods.sampled import Sampled
from cbec_bayes.bayes.model.likelihoods.student_t import StudentT

GAUSSIAN: dict[str, Residuals] = {"normal": Normal(), "by_group": ByGroup(), "ar1": Ar1()}
"""Kinds of residuals that the collapsed engine integrates."""

SAMPLED: dict[str, Likelihood] = {one.name: one for one in (StudentT(),)}
"""Likelihoods of independent residuals beside the normal ones, which the collapsed engine integrates."""


def residual_kinds() -> tuple[str, ...]:
    """Return the names of every kind."""
    return (*GAUSSIAN, *SAMPLED)


def residuals_of(kind: str) -> Residuals:
    """Return a kind of residuals by its name."""
    return Sampled(SAMPLED[kind]) if kind in SAMPLED else GAUSSIAN[kind]


__all__ = ["GAUSSIAN", "SAMPLED", "Likelihood", "Residuals", "residual_kinds", "residuals_of"]
