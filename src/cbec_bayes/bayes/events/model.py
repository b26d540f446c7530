"""What the hierarchical event study assumes, its columns, and its density with all coefficients integrated out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.blocks import FLAT, LAID_OUT_MAX, Blocks, blocks_for
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.panel.adoption import Adoption, EventTimes
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError

PATH, COHORTS, GROUPS, PLACEBO = "psi", "zeta", "tau", "chi"
"""Scales of the steps of the common path after adoption, of cohorts, of groups, and of effects before adoption."""

PRIORS: Mapping[str, float] = {PATH: 0.25, COHORTS: 0.25, GROUPS: 0.25, PLACEBO: 0.25}
"""Scale of the half-normal prior of each, in standard deviations of the outcome over those of adoption, both within.

Effects move by one step a period, so that after four periods they have moved by half such a unit or so.
"""

INDEPENDENT = "independent"
CORRELATIONS = {INDEPENDENT: "off", "ar1": "ar1"}
"""Errors that the model can have, by the name that a model file has for them."""


MAX_STEPS = 500
"""Steps up to which they are sampled: work grows with their third power, and so many take minutes."""

type Rows = NDArray[np.bool_]
"""Which rows, shape (n,)."""


@dataclass(frozen=True, slots=True)
class EventBlocks:
    """The columns of the hierarchical event study.

    Attributes
    ----------
    blocks
        ``slope`` is the effect in the period of adoption; with controls and effects of periods it is flat. Pooled are
        ``path_step``, ``cohort_step``, ``group_step`` and ``placebo_step``, as far as the panel has them.
    priors
        Resolved, by parameter.
    """

    blocks: Blocks
    priors: Mapping[str, Prior]

    def loadings(self, rows: Array) -> Array:
        """Return the coefficients that make up mean effects over rows, shape (m, p), for weights of rows, (m, n)."""
        found = np.zeros((len(rows), self.blocks.n_coefficients))
        for block in self.effects:
            found[:, self.blocks.positions[block.name]] = rows @ block.columns[:, list(block.kept)]
        return found

    @property
    def effects(self) -> tuple[Block, ...]:
        """Blocks that effects of adoption are made of."""
        own = (block for block in self.blocks.flat if block.name == "slope")
        return (*own, *self.blocks.pooled)

    def collapsed(self) -> Collapsed:
        """Return the density of the scales; errors as `make_collapsed`."""
        return make_collapsed(self.blocks, self.priors)


def event_model(errors: str = "ar1") -> PanelModel:
    """Return what the model assumes of everything but effects of adoption: flat unit and period effects, and controls.

    Parameters
    ----------
    errors
        One of `CORRELATIONS`.
    """
    return PanelModel(
        name="events",
        question="How do effects of adoption unfold if cohorts and groups share a smooth path?",
        choices={
            "unit_effect": "fixed",
            "time_effect": "fixed",
            "group_slope": "off",
            "group_control_slope": "off",
            "group_time_effect": "off",
            "unit_slope": "off",
            "residual": "normal",
            "correlation": CORRELATIONS[errors],
        },
        priors={"slope": FLAT, "control_slope": FLAT, "sigma": Prior("half_normal", {"scale": 1.0})},
        assumes=(
            "Without adoption all units would have moved alike; effects move by steps of a spread that is learned, and "
            "cohorts and groups deviate from a common path by steps of their own."
        ),
    )


def event_blocks(adoption: Adoption, errors: str = "ar1", prior_scale: float = 1.0) -> EventBlocks:
    """Lay out the columns of the hierarchical event study.

    Parameters
    ----------
    adoption
        The rows.
    errors
        One of `CORRELATIONS`.
    prior_scale
        Factor of the priors of the steps' scales.

    Raises
    ------
    InputError
        The columns are too many to be laid out; a control is not identified.

    Notes
    -----
    The effect of cohort c at event time e >= 0 in group r is theta_e + a_ce + g_re. The common path begins at the
    coefficient ``slope``, theta_0 = beta, and moves by steps theta_e - theta_(e-1) ~ N(0, psi^2); a_c0 and the steps of
    a_ce are N(0, zeta^2), g_r0 and the steps of g_re N(0, tau^2). Before the reference effects move away from zero by
    steps of N(0, chi^2), common ones and those of cohorts. A column is thus the indicator of all rows that a step has
    moved. Without scales that vary it is the two-way regression on adoption; with unlimited ones, the saturated one.
    """
    base = blocks_for(adoption.design, event_model(errors))
    design = base.design
    pooled = tuple(_pooled(adoption, base))
    n_steps = sum(block.size for block in pooled)
    if n_steps > MAX_STEPS or design.n_obs * float(n_steps) > LAID_OUT_MAX:
        raise InputError(
            f"{n_steps} steps of cohorts and groups in {design.n_obs} rows are too many for the hierarchical event "
            "study; take longer periods, or fewer of them"
        )
    spread = design.spread.within
    unit = prior_scale * float(spread[0] / spread[1])
    own = {block.scale: Prior("half_normal", {"scale": unit * PRIORS[str(block.scale)]}) for block in pooled}
    priors = resolve(base.model, design) | {str(name): prior for name, prior in own.items()}
    return EventBlocks(replace(base, pooled=pooled), priors)


def _pooled(adoption: Adoption, base: Blocks) -> list[Block]:
    """Return the blocks of steps that the panel has: of one cohort and one group there are no deviations."""
    treated, event = adoption.treated, adoption.event_time
    labels, group = adoption.cohort_labels(), base.design.group
    code = adoption.cohort[adoption.design.unit]
    cohorts = {label: code == c for c, label in enumerate(labels)} if len(labels) > 1 else {}
    groups = {} if group is None else {label: group == r for r, label in enumerate(base.design.groups)}
    last = int(event[treated].max())
    found = [_steps("path_step", PATH, {f"{k}": treated & (event >= k) for k in range(1, last + 1)})]
    found.append(_steps("cohort_step", COHORTS, _from_adoption(cohorts, treated, event)))
    found.append(_steps("group_step", GROUPS, _from_adoption(groups, treated, event)))
    before = adoption.has_cohort & ~treated
    first = int(event[before].min(initial=-1))
    steps = {f"{k}": before & (event <= k) for k in range(-2, first - 1, -1)}
    for label, own in cohorts.items():
        there = before & own
        start = int(event[there].min(initial=-1))
        steps |= {f"{label}, {k}": there & (event <= k) for k in range(-2, start - 1, -1)}
    found.append(_steps("placebo_step", PLACEBO, steps))
    return [block for block in found if block is not None]


def _from_adoption(of: Mapping[str, Rows], treated: Rows, event: EventTimes) -> dict[str, Rows]:
    """Return the rows that each step of a cohort or group has moved, from the period of adoption on."""
    found: dict[str, Rows] = {}
    for label, own in of.items():
        last = int(event[treated & own].max(initial=-1))
        found |= {f"{label}, {k}": treated & own & (event >= k) for k in range(last + 1)}
    return found


def _steps(name: str, scale: str, moved: Mapping[str, Rows]) -> Block | None:
    """Return steps of one scale as a block; None where there are none."""
    if not moved:
        return None
    columns = np.column_stack([rows.astype(float) for rows in moved.values()])
    return make_block(name, columns, axes={name.replace("step", "at"): tuple(moved)}, scale=scale)
