"""The gates of every fit: their thresholds, what each kind of fit is measured by, and the sentence about many fits.

A fit that is shown by itself is measured on every variable that it stores (`SamplingDiagnostics`). A fit that is one of
many keeps no more than draws, and is measured on those of its scales (`RefitDiagnostics`): given the scales everything
else is drawn exactly.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cbec_bayes.bayes.sampling.convergence import convergence
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import chi2_isf
from cbec_bayes.runtime.errors import GateError

RHAT_MAX = 1.01
ESS_MIN = 400.0
EBFMI_MIN = 0.3
KHAT_MAX = 0.7

PASSED = "passed"
"""What a table says of a fit that passed its gates; of another it says the reason."""

_CHANCE = 1e-3  # that independent draws miss the limit of R-hat, over all quantities
_HALVES = 2
_SPLIT = 2  # pieces that rank-normalised R-hat itself makes of a chain
_MOST_NAMED = 4  # fits that a sentence names for each gate where a table names all

_BEFORE = r"(\bR-hat |\bESS |\bPareto k |\bE-BFMI |\beffective size |\b)"
_NUMBER = r"(-?\d+(?:\.\d+)?|nan|-?inf)"
_AFTER = r"( is (?:not )?(?:below|above)| of the importance weights is below| divergent)"
_MEASURED = re.compile(_BEFORE + _NUMBER + _AFTER)
"""What was measured in a reason, with the words on either side; the limit is none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingDiagnostics:
    """How well a posterior was sampled, over all the variables asked for.

    Attributes
    ----------
    engine
        Sampler.
    rhat_max, ess_bulk_min, ess_tail_min
        Worst rank-normalised R-hat and effective sizes (Vehtari et al., 2021).
    divergences
        Divergent transitions after warm-up.
    ebfmi_min
        Smallest energy fraction of missing information over chains.
    seconds
        Wall time per phase.
    draws
        Draws kept, all chains together.
    khat
        Pareto shape of importance ratios (Vehtari et al., 2024), None where draws are of a Markov chain; with it there
        is no energy to speak of.
    """

    engine: str
    rhat_max: float
    ess_bulk_min: float
    ess_tail_min: float
    divergences: int
    ebfmi_min: float
    seconds: dict[str, float]
    draws: int
    khat: float | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """The gates that were failed, each in words; NaN fails."""
        gates = {
            f"R-hat {self.rhat_max:.3f} is not below {RHAT_MAX}": self.rhat_max < RHAT_MAX,
            f"bulk ESS {self.ess_bulk_min:.0f} is not above {ESS_MIN:.0f}": self.ess_bulk_min > ESS_MIN,
            f"tail ESS {self.ess_tail_min:.0f} is not above {ESS_MIN:.0f}": self.ess_tail_min > ESS_MIN,
            f"{self.divergences} divergent transitions": self.divergences == 0,
        }
        if self.khat is None:
            gates[f"E-BFMI {self.ebfmi_min:.2f} is not above {EBFMI_MIN}"] = self.ebfmi_min > EBFMI_MIN
        else:
            gates[f"Pareto k {self.khat:.2f} is above {KHAT_MAX}"] = self.khat <= KHAT_MAX
        return tuple(text for text, held in gates.items() if not held)

    def require(self) -> None:
        """Raise `GateError` naming every failed gate."""
        if self.failures:
            raise GateError(f"the sampler did not converge: {'; '.join(self.failures)}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as they stand in diagnostics.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitDiagnostics:
    """How well the scales of a fit that is one of many were sampled.

    Importance draws are independent, so that R-hat and the effective size of the draws say nothing about them: what can
    go wrong is the weights, which the Pareto shape and their effective size tell. That also makes the gates free of
    cost where thousands of fits are made.

    Attributes
    ----------
    draws
        Draws asked for, all chains together.
    khat
        Pareto shape of the importance ratios; None where draws are of a Markov chain.
    ess
        Effective size of the importance weights; of several chains the smallest bulk size over the scales; None of a
        single chain.
    rhat, rhat_max
        Largest rank-normalised R-hat over the scales, of one chain between its halves, and its limit; see
        `rhat_limit`. None of importance draws.
    divergences
        Divergent transitions after warm-up.
    ebfmi
        Smallest energy fraction of missing information over chains; None of importance draws.
    """

    draws: int
    khat: float | None = None
    ess: float | None = None
    rhat: float | None = None
    rhat_max: float = RHAT_MAX
    divergences: int = 0
    ebfmi: float | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """The gates that were failed, each in words; NaN fails."""
        gates = {f"{self.divergences} divergent transitions": self.divergences == 0}
        if self.khat is not None:
            gates[f"Pareto k {self.khat:.2f} is above {KHAT_MAX}"] = self.khat <= KHAT_MAX
            if self.ess is not None:
                said = (
                    f"the effective size {self.ess:.0f} of the importance weights is below the {self.draws} draws "
                    "asked for"
                )
                gates[said] = self.ess >= self.draws
        elif self.ess is not None:
            gates[f"bulk ESS {self.ess:.0f} is not above {ESS_MIN:.0f}"] = self.ess > ESS_MIN
        if self.rhat is not None:
            gates[f"R-hat {self.rhat:.3f} is not below {self.rhat_max:.4g}"] = self.rhat < self.rhat_max
        if self.ebfmi is not None:
            gates[f"E-BFMI {self.ebfmi:.2f} is not above {EBFMI_MIN}"] = self.ebfmi > EBFMI_MIN
        return tuple(text for text, held in gates.items() if not held)

    def require(self) -> None:
        """Raise `GateError` naming every failed gate."""
        if self.failures:
            raise GateError("; ".join(self.failures))


def chain_diagnostics(points: Array, *, divergences: int, ebfmi: float) -> RefitDiagnostics:
    """Measure Markov chains.

    Parameters
    ----------
    points
        Draws of k quantities, shape (chain, draw, k). A single chain is held against itself: R-hat is between its
        halves.
    divergences, ebfmi
        Divergences and E-BFMI that the sampler reports.
    """
    chains, draws, k = points.shape
    half = draws // _HALVES
    halved = points if chains > 1 else points[:, : _HALVES * half].reshape(_HALVES, half, k)
    # Draws that do not move at all have no R-hat, which no gate lets through.
    found = convergence(np.moveaxis(halved, 2, 0))
    return RefitDiagnostics(
        draws=chains * draws,
        ess=float(found.bulk.min()) if chains > 1 else None,
        rhat=float(found.rhat.max()),
        rhat_max=RHAT_MAX if chains > 1 else rhat_limit(draws, k),
        divergences=divergences,
        ebfmi=ebfmi,
    )


def rhat_limit(draws: int, quantities: int) -> float:
    """Return the limit of R-hat between the halves of one chain.

    It is `RHAT_MAX`, or, of a chain too short for that, what independent draws would exceed once in a thousand chains:
    with m pieces of n draws R-hat squared is about 1 + (F - 1) / n, where (m - 1) F is chi-squared with m - 1 degrees
    of freedom. Each quantity is tested twice, for its place and for its spread.
    """
    pieces = _HALVES * _SPLIT
    ratio = float(chi2_isf(_CHANCE / (2 * max(quantities, 1)), pieces - 1)) / (pieces - 1)
    return max(RHAT_MAX, math.sqrt(1 + (ratio - 1) / max(draws // pieces, 1)))


def sentence(total: int, refused: Mapping[str, str], what: str = "refits", *, tabled: bool = False) -> str:
    """Say how many of many fits passed their gates, and why the others are left out.

    Parameters
    ----------
    total
        Fits.
    refused
        Name of each fit that is left out, to the reason.
    what
        What the fits are called, in the plural, which the first word has.
    tabled
        Whether a table beside the sentence has every reason, so that not every fit need be named.
    """
    first, *rest = what.split(" ")
    one = " ".join([first.removesuffix("s"), *rest])
    if total == 1:
        said = f"The one {one} {'did not pass' if refused else 'passed'} its gates"
    else:
        said = f"{total - len(refused)} of {total} {what} passed their gates"
    return f"{said}{left_out(refused, tabled=tabled)}."


def left_out(refused: Mapping[str, str], said: str = "left out", *, tabled: bool = False) -> str:
    """Return the end of a `sentence`, without its stop: which fits are left out, gate by gate; blank where none is."""
    return f"; {said}: {by_gate(refused, tabled=tabled)}" if refused else ""


def by_gate(refused: Mapping[str, str], *, tabled: bool = False) -> str:
    """Name the fits that are left out, gate by gate, with the range of what was measured."""
    gates: dict[str, dict[str, str]] = {}
    for name, reason in refused.items():
        gates.setdefault(_MEASURED.sub(r"\1#\3", reason), {})[name] = reason
    return "; ".join(f"{_names(list(own), tabled=tabled)} ({_ranged(list(own.values()))})" for own in gates.values())


def _ranged(reasons: list[str]) -> str:
    """Return reasons that differ by what was measured alone as one, which has the range of that."""
    columns = zip(*([found[1] for found in _MEASURED.findall(reason)] for reason in reasons), strict=True)
    ranges = (sorted(set(column), key=_size) for column in columns)
    said = iter([ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}" for ends in ranges])
    return _MEASURED.sub(lambda found: f"{found[1]}{next(said)}{found[3]}", reasons[0])


def _size(number: str) -> tuple[bool, float]:
    return math.isnan(float(number)), float(number)


def _names(names: list[str], *, tabled: bool) -> str:
    more = len(names) - _MOST_NAMED if tabled else 0
    return ", ".join(names[:_MOST_NAMED] if more > 0 else names) + (f" and {more} more" if more > 0 else "")
