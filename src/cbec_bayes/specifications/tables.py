"""The members of a lattice weighed, and specifications.csv: a row for each member and slope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cbec_bayes.classical.transformed import Transformation, interacted, regress
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE, Origin
from cbec_bayes.specifications.lattice import ALTERNATIVE, AXES, OUTCOME_SCALE
from cbec_bayes.specifications.members import Member
from cbec_bayes.specifications.stacking import Probabilities, Stacked, probabilities, stacked

SPECIFICATION_COLUMNS = (
    "member",
    *AXES,
    OUTCOME_SCALE,
    "group",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "log_evidence",
    "log_evidence_mcse",
    "elpd_unit",
    "weight",
    "probability",
    "origin",
    "mcse",
    "elpd_unit_se",
    "elpd_unit_mcse",
    "elpd_difference",
    "elpd_difference_se",
    "weight_se",
    "probability_mcse",
    "units_moved",
    "units_unsure",
    "classical",
    "classical_se",
    "gate",
    "assumes",
    ALTERNATIVE,
)
"""Columns of specifications.csv.

`elpd_unit` is the sum over units of the log density of a unit's changes given the other units, with its standard error
over units, `elpd_unit_se`, and that of its computation, `elpd_unit_mcse`; `elpd_difference` is that to the best
member. `weight` is by stacking, `probability` by the evidence, blank where that is not comparable. `units_moved` are
units for which weighting draws did not do, `units_unsure` those for which moving them did not either. `classical` is
the regression that makes the same assumptions, with CR2. `gate` says which gate was missed; such a member has neither
slopes nor weight. `alternative` is the panel that the rows are of; weights and probabilities add up to one within it.
"""

_TRANSFORMATIONS: Mapping[tuple[str, str], Transformation] = {
    ("off", "off"): "levels",
    ("off", "pooled"): "trends",
    ("random_walk", "off"): "differences",
}
"""Correlation and trends of a member to what its regression takes out; a regression has no AR(1) errors."""

type Classical = Mapping[str, tuple[float, float]]
"""Slope and standard error of a regression by the name of the slope."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The members of one scale of the outcome, and their weights.

    Attributes
    ----------
    members
        K of them.
    weight
        By stacking, shape (K,); zero of those that missed a gate.
    usable
        Positions of those that passed their gates.
    stacked, probabilities
        Stacking weights and posterior probabilities of the usable ones.
    """

    members: tuple[Member, ...]
    weight: Array
    usable: tuple[int, ...]
    stacked: Stacked
    probabilities: Probabilities


def weigh(members: Sequence[Member], *, seed: int) -> Weighed:
    """Weigh fitted members by what they predict and by their evidence; `seed` is that of the bootstrap."""
    usable = tuple(k for k, member in enumerate(members) if member.passed and not np.isnan(member.elpd).all())
    own = [members[k] for k in usable]
    density = np.stack([one.elpd for one in own], axis=1) if own else np.zeros((0, 0))
    found = stacked(density, seed=seed)
    weight = np.zeros(len(members))
    weight[list(usable)] = found.weight
    evidence = np.array([(one.log_evidence, one.log_evidence_mcse) for one in own]).reshape(-1, 2)
    chances = probabilities(evidence[:, 0], evidence[:, 1], [one.flat for one in own])
    return Weighed(tuple(members), weight, usable, found, chances)


def specifications_frame(
    weighed: Weighed, classical: Sequence[Classical], origin: Origin, prob: float = CI_PROB
) -> pd.DataFrame:
    """Return specifications.csv of one scale of the outcome, with columns `SPECIFICATION_COLUMNS`.

    Parameters
    ----------
    weighed
        The members.
    classical
        Classical slope of each member; see `classical_slopes`.
    origin
        Origin of the panel.
    prob
        Probability of the intervals.
    """
    rows: list[dict[str, object]] = []
    at = {k: j for j, k in enumerate(weighed.usable)}
    for k, member in enumerate(weighed.members):
        one, beside = member.specification, classical[k]
        shared: dict[str, object] = {"member": one.name, **one.chosen, OUTCOME_SCALE: one.outcome_scale}
        shared |= {"gate": member.gate, "assumes": one.assumes, "origin": str(origin)}
        shared |= {ALTERNATIVE: one.alternative}
        if k in at:
            shared |= _of_member(weighed, at[k], member)
        for name in member.slopes or [*beside]:
            row = shared | {"group": name}
            if name in member.slopes:
                s = member.slopes[name].summary(prob)
                row |= {"mean": s.mean, "sd": s.sd, "ci_low": s.ci_low, "ci_high": s.ci_high}
                row |= {"p_positive": s.p_positive, "mcse": s.mcse}
            if name in beside:
                row |= dict(zip(("classical", "classical_se"), beside[name], strict=True))
            rows.append(row)
    frame = pd.DataFrame(rows, columns=list(SPECIFICATION_COLUMNS))
    texts = ("member", *AXES, OUTCOME_SCALE, "group", "origin", "gate", "assumes", ALTERNATIVE)
    return frame.astype({name: float for name in SPECIFICATION_COLUMNS if name not in texts})


def _of_member(weighed: Weighed, j: int, member: Member) -> dict[str, object]:
    """Return the cells that are the same for all slopes of a member, the j-th of the usable ones."""
    found, chances = weighed.stacked, weighed.probabilities
    return {
        "log_evidence": member.log_evidence,
        "log_evidence_mcse": member.log_evidence_mcse,
        "elpd_unit": found.elpd[j],
        "elpd_unit_se": found.elpd_se[j],
        "elpd_unit_mcse": member.elpd_mcse,
        "elpd_difference": found.difference[j],
        "elpd_difference_se": found.difference_se[j],
        "weight": found.weight[j],
        "weight_se": found.weight_se[j],
        "probability": chances.value[j],
        "probability_mcse": chances.mcse[j],
        "units_moved": member.moved,
        "units_unsure": member.unsure,
    }


def classical_slopes(design: Design, members: Sequence[Member]) -> list[Classical]:
    """Return the regression that makes the assumptions of each member, one of all rows and one slope for each group.

    Slopes of groups are those of one regression with the exposure interacted where controls are common, and of one
    regression for each group where they are not. Members with AR(1) errors have none.
    """
    known: dict[tuple[Transformation, str], Classical] = {}
    found: list[Classical] = []
    for member in members:
        chosen = member.specification.chosen
        transformation = _TRANSFORMATIONS.get((chosen["correlation"], chosen["trends"]))
        if transformation is None:
            found.append({})
            continue
        key = (transformation, chosen["controls"])
        if key not in known:
            known[key] = _classical(design, *key)
        found.append(known[key])
    return found


def _classical(design: Design, transformation: Transformation, controls: str) -> Classical:
    found: dict[str, tuple[float, float]] = {}
    whole = _slopes(design, transformation, 1)
    found |= {name: slope for name in (GROUP_AVERAGE, GROUP_ALL) for slope in whole}
    if len(design.groups) > 1:
        if controls == "common":
            slopes = _slopes(interacted(design), transformation, len(design.groups))
            found |= dict(zip(design.groups, slopes, strict=False))
        else:
            alone = {group: _slopes(design.of_group(group), transformation, 1) for group in design.groups}
            found |= {group: slopes[0] for group, slopes in alone.items() if slopes}
    return found


def _slopes(design: Design, transformation: Transformation, count: int) -> list[tuple[float, float]]:
    """Return the first slopes of a regression with their standard errors; none where it cannot be run."""
    try:
        found = regress(design, transformation)
    except InputError:
        return []
    return [(float(found.estimate[k]), float(found.cr2_se[k])) for k in range(count)]
