"""One member of the lattice fitted: its slopes as mixtures, its evidence, and what it predicts of each unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import blocks_for, coefficient_names
from cbec_bayes.bayes.refit import diagnose
from cbec_bayes.bayes.sampling.gates import KHAT_MAX
from cbec_bayes.bayes.whole_units import leave_out_units
from cbec_bayes.estimands.mixed_slopes import mixed_slopes
from cbec_bayes.estimands.summary import Mixed
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.specifications.lattice import Specification

DRAWS, PILOT = 1_000, 1_000
"""Draws of the scales of every member, and proposals of a pilot sample."""


@dataclass(frozen=True, slots=True)
class MemberTask:
    """A member to be fitted: with everything that a process elsewhere needs.

    Attributes
    ----------
    specification, design
        Member and rows.
    seed
        Seed of everything random.
    draws
        Number of draws of the scales.
    """

    specification: Specification
    design: Design
    seed: int
    draws: int = DRAWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A fitted member.

    Attributes
    ----------
    specification
        What was fitted.
    slopes
        By the names of `cbec_bayes.estimands.groups.slope_quantities`; empty where the fit missed a gate.
    averages
        By group, of the average over its units that are there; see `cbec_bayes.estimands.groups.unit_averages`.
    flat
        Names of the flat coefficients: evidence is comparable where they are the same.
    log_evidence, log_evidence_mcse
        See `cbec_bayes.bayes.sampling.evidence.Evidence`; NaN where it is not known.
    elpd
        Log density of the changes of each unit given the others', shape (N,); NaN where there is none.
    elpd_mcse
        Monte Carlo standard error of their sum.
    moved, unsure
        Units whose draws were moved, and of those the units whose Pareto shape stayed above the limit.
    gate
        Which gate was missed; blank where all passed.
    """

    specification: Specification
    slopes: Mapping[str, Mixed]
    averages: Mapping[str, Mixed]
    flat: tuple[str, ...] = ()
    log_evidence: float = float("nan")
    log_evidence_mcse: float = float("nan")
    elpd: Array
    elpd_mcse: float = float("nan")
    moved: int = 0
    unsure: int = 0
    gate: str = ""

    @property
    def passed(self) -> bool:
        """Whether the fit can be used."""
        return not self.gate


def fit_member(task: MemberTask) -> dict[str, Any]:
    """Fit a member of the lattice; returns what `member_of` reads, in what JSON can hold.

    A fit that cannot be made, or misses a gate, is a result: the reason stands under ``gate``.
    """
    try:
        return _fitted(task)
    except (GateError, InputError) as error:
        return {"gate": str(error)}


def _fitted(task: MemberTask) -> dict[str, Any]:
    blocks = blocks_for(task.design, task.specification.model)
    collapsed = make_collapsed(blocks)
    drawn = draw_scales(collapsed, draws=task.draws, chains=1, seed=task.seed, pilot=PILOT)
    measured = diagnose(drawn)
    measured.require()
    points = drawn.points[0]
    ess = float(task.draws) if np.isnan(drawn.ess) else min(drawn.ess, float(task.draws))
    found = mixed_slopes(blocks, collapsed, points, ess)
    left_out = leave_out_units(blocks, collapsed, points, task.seed)
    flat = [name for name, _ in zip(coefficient_names(blocks), range(blocks.n_flat), strict=False)]
    return {
        "slopes": {name: _packed(one) for name, one in found.slopes.items()},
        "averages": {name: _packed(one) for name, one in found.averages.items()},
        "flat": flat,
        "log_evidence": drawn.evidence.value,
        "log_evidence_mcse": drawn.evidence.mcse,
        "elpd": left_out.elpd.tolist(),
        "elpd_mcse": left_out.mcse,
        "moved": int(left_out.moved.sum()),
        "unsure": int((left_out.khat > KHAT_MAX).sum()),
        "gate": "",
    }


def _packed(one: Mixed) -> dict[str, Any]:
    return {"mean": one.mean.tolist(), "sd": one.sd.tolist(), "ess": one.ess}


def member_of(specification: Specification, found: Mapping[str, Any], n_units: int) -> Member:
    """Return a fitted member from what `fit_member` returned."""
    if found["gate"]:
        return Member(
            specification=specification, slopes={}, averages={}, elpd=np.full(n_units, np.nan), gate=found["gate"]
        )
    slopes, averages = (
        {name: Mixed(np.array(one["mean"]), np.array(one["sd"]), one["ess"]) for name, one in found[kind].items()}
        for kind in ("slopes", "averages")
    )
    evidence, error = (
        np.nan if found[f"log_evidence{end}"] is None else found[f"log_evidence{end}"] for end in ("", "_mcse")
    )
    return Member(
        specification=specification,
        slopes=slopes,
        averages=averages,
        flat=tuple(found["flat"]),
        elpd=np.array(found["elpd"], dtype=float),
        moved=found["moved"],
        unsure=found["unsure"],
        log_evidence=evidence,
        log_evidence_mcse=error,
        elpd_mcse=found["elpd_mcse"],
    )
