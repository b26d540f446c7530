"""The mixture of members: each one's posterior by its weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.contrasts import rope_width
from cbec_bayes.estimands.summary import UNIT_EFFECT_COLUMNS, Mixed, Summary, effects_frame
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE, NO_GROUPS
from cbec_bayes.specifications.lattice import ALTERNATIVE, OUTCOME_SCALE
from cbec_bayes.specifications.members import Member

WEIGHTY = 0.01
"""Weight from which on a member counts."""

MIXTURE_COLUMNS = (
    *UNIT_EFFECT_COLUMNS,
    "sign_changes",
    OUTCOME_SCALE,
    "rope_half_width",
    "p_rope",
    ALTERNATIVE,
)
"""Those of effects.csv, the members with weight under which the sign is another, the scale of the outcome, the
half-width of what is practically zero with the probability of that, and the panel."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """A quantity under several members, each a mixture of normals given its scales.

    Attributes
    ----------
    parts
        The quantity under each of K members.
    weight
        Weights of the members, adding up to one, shape (K,).
    """

    parts: Sequence[Mixed]
    weight: Array

    def below(self, value: float) -> float:
        """Return the probability of at most a value."""
        return float(sum(w * part.below(value).mean() for w, part in zip(self.weight, self.parts, strict=True)))

    def summary(self, prob: float = CI_PROB) -> Summary:
        """Return mean, sd, equal-tailed interval, probability of a positive value, and Monte Carlo error.

        The error is of the draws of each member at the weights that they have.
        """
        means = np.array([part.mean.mean() for part in self.parts])
        squares = np.array([(part.sd**2 + part.mean**2).mean() for part in self.parts])
        mean = float(self.weight @ means)
        sd = math.sqrt(max(float(self.weight @ squares) - mean**2, 0.0))
        low, high = (self._quantile(p, prob) for p in ((1 - prob) / 2, (1 + prob) / 2))
        own = self._error(np.array([part.mean.std() for part in self.parts]))
        error = max(own, self._end_error(low), self._end_error(high))
        return Summary(mean=mean, sd=sd, ci_low=low, ci_high=high, p_positive=1 - self.below(0.0), mcse=error)

    def _quantile(self, p: float, prob: float) -> float:
        # Between the smallest and the largest of the members' own quantiles lies that of their mixture.
        ends = [part.summary(prob) for part, w in zip(self.parts, self.weight, strict=True) if w > 0]
        own = [end.ci_low if p < 0.5 else end.ci_high for end in ends]
        low, high = min(own), max(own)
        if not high > low:
            return low
        return float(optimize.brentq(lambda value: self.below(value) - p, *_widened(low, high), xtol=1e-12))

    def _error(self, spread: Array) -> float:
        """Return the error of a mean over draws that has these standard deviations under the members, shape (K,)."""
        worth = np.array([part.ess for part in self.parts])
        return math.sqrt(float(np.sum(self.weight**2 * spread**2 / worth)))

    def _end_error(self, end: float) -> float:
        """Return the error of the probability below an end over the density there."""
        density, spread = 0.0, np.zeros(len(self.parts))
        for k, (w, part) in enumerate(zip(self.weight, self.parts, strict=True)):
            there = part.sd > 0
            z = (end - part.mean[there]) / part.sd[there]
            density += w * float((np.exp(-(z**2) / 2) / part.sd[there]).sum()) / math.sqrt(2 * math.pi) / len(part.sd)
            spread[k] = part.below(end).std()
        return self._error(spread) / density if density > 0 else 0.0


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return an interval that is wider by what rounding may have cost its ends."""
    little = 1e-9 * (high - low)
    return low - little, high + little


def mixtures(members: Sequence[Member], weight: Array) -> dict[str, Mixture]:
    """Return the slopes of the mixture by name; `weight` is of the members, zero where one missed a gate."""
    there = [(member, w) for member, w in zip(members, weight, strict=True) if w > 0]
    if not there:
        return {}
    shares = np.array([w for _, w in there])
    names = there[0][0].slopes
    return {name: Mixture([member.slopes[name] for member, _ in there], shares / shares.sum()) for name in names}


def mixture_frame(
    members: Sequence[Member],
    weight: Array,
    design: Design,
    ssc: str,
    *,
    prob: float = CI_PROB,
    rope: float | None = None,
) -> pd.DataFrame:
    """Return mixture.csv: the rows of effects.csv under the mixture of members, with columns `MIXTURE_COLUMNS`.

    Parameters
    ----------
    members, weight
        Fitted members and their weights, shape (K,).
    design
        The rows.
    ssc
        Convention of the clustered standard errors of the classical columns.
    prob
        Probability of the intervals.
    rope
        Half-width of what is practically zero; see `cbec_bayes.estimands.contrasts.rope_width`.
    """
    width = rope_width(design, rope)
    own, averages = mixtures(members, weight), _averages(members, weight)
    counts = design.counts
    complete, _ = _slope(design, ssc)
    rows: list[dict[str, object]] = []
    changes: list[str] = []
    practically_zero: list[float] = []
    for name, one in own.items():
        row: dict[str, object] = {"group": name, "complete_pooling": complete, **asdict(one.summary(prob))}
        practically_zero.append(one.below(width) - one.below(-width))
        changes.append("; ".join(sign_changes(members, weight, name, one)))
        if name in (GROUP_AVERAGE, GROUP_ALL):
            row |= {"n_units": counts.n_units, "n_obs": counts.n_obs}
        if name not in NO_GROUPS:
            r = design.groups.index(name)
            row |= {"n_units": int(counts.group_units[r]), "n_obs": int(counts.group_obs[r])}
            row["no_pooling"], row["no_pooling_se"] = _slope(design.of_group(name), ssc)
        if name in averages:
            found = asdict(averages[name].summary(prob))
            row |= {f"units_{key}": found[key] for key in ("mean", "sd", "ci_low", "ci_high")}
        rows.append(row)
    frame = effects_frame(rows, UNIT_EFFECT_COLUMNS).assign(origin=str(design.origin))
    of_all = {OUTCOME_SCALE: "", ALTERNATIVE: ""}
    if members:
        first = members[0].specification
        of_all = {OUTCOME_SCALE: first.outcome_scale, ALTERNATIVE: first.alternative}
    frame = frame.assign(sign_changes=changes, rope_half_width=width, p_rope=practically_zero, **of_all)
    return frame[list(MIXTURE_COLUMNS)]


def _averages(members: Sequence[Member], weight: Array) -> dict[str, Mixture]:
    """Return by group the average over the units that are there under the mixture."""
    there = [(member, w) for member, w in zip(members, weight, strict=True) if w > 0]
    shares = np.array([w for _, w in there])
    names: Mapping[str, Mixed] = there[0][0].averages if there else {}
    return {name: Mixture([member.averages[name] for member, _ in there], shares / shares.sum()) for name in names}


def sign_changes(members: Sequence[Member], weight: Array, name: str, mixture: Mixture) -> list[str]:
    """Return the members with weight under which the mean of a slope has another sign than under the mixture."""
    sign = np.sign(mixture.summary().mean)
    counted = (member for member, w in zip(members, weight, strict=True) if w >= WEIGHTY)
    return [one.specification.name for one in counted if np.sign(one.slopes[name].mean.mean()) == -sign]


def _slope(design: Design, ssc: str) -> tuple[float | None, float | None]:
    try:
        found = twfe(design, ssc=ssc)
    except InputError:
        return None, None
    return float(found.estimate[0]), float(found.se[0])
