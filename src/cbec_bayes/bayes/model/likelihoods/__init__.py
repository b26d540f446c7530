"""Likelihoods that PyMC samples, by the name that a model file has; a new one is a file here, and an entry."""

from __future__ import annotations

from cbec_bayes.bayes.model.likelihoods.likelihood import Likelihood
from cbec_bayes.bayes.model.likelihoods.student_t import StudentT

SAMPLED: dict[str, Likelihood] = {one.name: one for one in (StudentT(),)}
"""Likelihoods of independent residuals beside the normal ones, which the collapsed engine integrates."""

__all__ = ["SAMPLED", "Likelihood"]
