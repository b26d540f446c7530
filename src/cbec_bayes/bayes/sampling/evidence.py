"""The integral of a density that is sampled: the evidence of a model, with its Monte Carlo error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbec_bayes.bayes.sampling.gates import KHAT_MAX
from cbec_bayes.panel.within import Array

NOT_INTEGRATED = "only the collapsed engine integrates the density"
"""Why PyMC's engine has no evidence: coefficients are among its draws, and there may be thousands of them."""

_UNSMOOTHED = 0.75  # Pareto smoothing leaves four fifths of the weights, the smaller ones, as they are


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log evidence: log p(y | member), the logarithm of the integral of likelihood times priors.

    Every constant is in it, and flat coefficients contribute the integral of the likelihood over all of the line
    (MODEL.md section 4). It is therefore comparable between members that have the same flat coefficients, and between
    no others: there the constants of flat priors, which do not exist, would be part of the difference.

    Attributes
    ----------
    value
        Its logarithm; None where it is not known.
    mcse
        Monte Carlo standard error of that; 0 where nothing was sampled.
    khat
        Pareto shape of the ratios that it is the mean of; None where nothing was sampled.
    reason
        Why it is not known; blank where it is.
    """

    value: float | None
    mcse: float | None
    khat: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, float | str | None]:
        """Return the entries of diagnostics.json."""
        return {
            "log_evidence": self.value,
            "log_evidence_mcse": self.mcse,
            "log_evidence_khat": self.khat if self.khat is not None and math.isfinite(self.khat) else None,
            "log_evidence_note": self.reason or None,
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Evidence:
        """Return what `as_dict` gave the entries of."""
        value, mcse, khat, note = (entries[f"log_evidence{end}"] for end in ("", "_mcse", "_khat", "_note"))
        return cls(value, mcse, khat, note or "")


NO_EVIDENCE = Evidence(None, None, reason=NOT_INTEGRATED)


def evidence_of_weights(ratios: Array, weights: Array, khat: float, proposals: int) -> Evidence:
    """Return the mean of importance ratios, as their smoothed weights have it.

    Parameters
    ----------
    ratios
        Log density less the proposal's, of the F proposals where the density is not zero, shape (F,).
    weights
        Weights of these, smoothed and adding up to one; see `cbec_bayes.bayes.sampling.weights.smoothed_weights`.
    khat
        Pareto shape. Above the limit of `cbec_bayes.bayes.sampling.gates` the mean cannot be told.
    proposals
        How many there are, those where the density is zero too.
    """
    if not khat <= KHAT_MAX:
        return Evidence(
            None, None, khat, f"Pareto k {khat:.2f} of the ratios that the evidence is the mean of is above {KHAT_MAX}"
        )
    # Weights are ratios over their sum: one that smoothing leaves as it is tells the sum.
    own = np.argsort(ratios)[int(_UNSMOOTHED * len(ratios))]
    value = float(ratios[own] - np.log(weights[own]) - np.log(proposals))
    variance = float(weights @ weights) - 1 / proposals
    return Evidence(value, math.sqrt(max(variance, 0.0)), khat)
