"""Members of the family predict what is left out of a panel: rows, units and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.loo import NOT_IDENTIFIED, Fold, LooTask, leave_one_out, parts
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.checks.result import there_are
from cbec_bayes.panel.design import Design, exact_groups
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

QUESTIONS: Mapping[Fold, str] = {
    "row": "How well is a period of a unit predicted from all other rows?",
    "unit": "How well are the changes of a unit not yet seen predicted from the other units?",
    "group": "How well are the changes of a group not yet seen predicted from the other groups?",
}
"""What leaving out each kind of part asks."""

MAX_ROWS = 5_000
MAX_PARTS = 200
MAX_SCALES = 16
MAX_SCALES_OF_GROUPS = 12
"""Rows of a panel, and parts of it, up to which each is left out; scales of a member up to which it takes part.

Without a group a member is fitted again, and one with very many scales to so few groups takes Markov chains of minutes.
"""

MAX_WORK = 2e7
"""Rows times squared coefficients of a member up to which it takes part: minutes, for a density per row and draw."""


type Refusal = Literal["", "gate", "input", "dear"]
"""Kinds of reasons why a member predicts nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a member predicts of each of F parts of a panel, given all the others.

    Attributes
    ----------
    elpd, khat, p
        As in `cbec_bayes.bayes.loo.LooResult`, each of shape (F,); empty where the member is refused.
    notes
        For every part, the reason why it has no density; blank where it has one.
    refused
        Why the member predicts nothing. Blank otherwise.
    kind
        What kind of reason that is: its fit missed a gate, it cannot be fitted to these rows, or it is too dear.
    """

    elpd: Array
    khat: Array
    p: Array
    notes: tuple[str, ...]
    refused: str = ""
    kind: Refusal = ""

    @property
    def refits(self) -> int:
        """Parts that were predicted by a fit of their own, which passed its gates."""
        return int((np.isnan(self.khat) & ~np.isnan(self.elpd)).sum())

    def missed(self, labels: Sequence[str]) -> dict[str, str]:
        """Return the parts whose own fit missed a gate, by their labels, and which gate."""
        notes = zip(labels, self.notes, strict=True)
        return {label: note for label, note in notes if note not in ("", NOT_IDENTIFIED)}


TOO_DEAR = "it has so many coefficients and scales that leaving out each part of this panel would take several minutes"
"""Why a member that is not `affordable` predicts nothing."""

type Predictions = Mapping[tuple[str, Fold], Predicted]
"""What each model predicts of what is left out."""


def gaussian_members() -> tuple[str, ...]:
    """Return the members that the collapsed engine fits."""
    return tuple(name for name in panel_model_names() if load_panel_model(name).is_gaussian)


def predict(task: LooTask) -> Predicted:
    """Predict what a task leaves out; where the model cannot be fitted, or misses a gate, that is the answer."""
    try:
        found = leave_one_out(task)
    except GateError as error:
        return refused(str(error), "gate")
    except InputError as error:
        return refused(str(error), "input")
    elpd, khat, p = (np.array(found[name], dtype=float) for name in ("elpd", "khat", "p"))
    return Predicted(elpd=elpd, khat=khat, p=p, notes=tuple(found["note"]))


def refused(reason: str, kind: Refusal) -> Predicted:
    """Return the prediction of a member that predicts nothing, and which kind of reason it is."""
    nothing = np.zeros(0)
    return Predicted(elpd=nothing, khat=nothing, p=nothing, notes=(), refused=reason, kind=kind)


def n_scales(model: PanelModel, design: Design) -> int:
    """Return how many scales a member samples on a design: one per group, or control, of some terms."""
    each = {"phi": len(design.controls), "sigma": len(design.groups) if model.residuals.by_group else 1}
    return sum(each.get(scale, 1) for scale in model.scales)


def affordable(model: PanelModel, design: Design, what: Fold) -> bool:
    """Whether a member predicts the parts of a panel in minutes.

    Raises
    ------
    InputError
        It cannot be laid out on it at all.
    """
    blocks = blocks_for(design, model)
    work = design.n_obs * float(blocks.n_coefficients) ** 2
    return work <= MAX_WORK and n_scales(model, design) <= (MAX_SCALES_OF_GROUPS if what == "group" else MAX_SCALES)


def _beside(name: str, design: Design) -> PanelModel:
    """Return a member that ships, without the spread of groups that have no errors: it has no size there."""
    model = load_panel_model(name)
    return carried(model, design).model if exact_groups(design) else model


def predictions(
    found: PanelFit,
    models: Sequence[str],
    *,
    others: Mapping[str, PanelFit] | None = None,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> Predictions:
    """Leave out every row, unit and group under several models.

    Parameters
    ----------
    found
        A fit by the collapsed engine.
    models
        Names of members beside it, but for those with more than `MAX_SCALES` scales, or work than `MAX_WORK`; those
        that are not Gaussian are taken from `others` if they are there.
    others
        Fits of members that are not Gaussian: of these rows alone are left out, by importance sampling of densities
        given effects, which their diagnostics can show to be unreliable.
    seed, executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.
    """
    own = found.model
    members = {own.name: own} | {name: _beside(name, found.design) for name in models if name != own.name}
    kinds = [what for what in QUESTIONS if not why_not(found, what)]
    predicted: dict[tuple[str, Fold], Predicted] = {}
    asked = []
    for model in (member for member in members.values() if member.is_gaussian and kinds):
        try:
            for what in kinds:
                if affordable(model, found.design, what):
                    asked.append(LooTask(found.design, model, what, seed))
                else:
                    predicted[model.name, what] = refused(TOO_DEAR, "dear")
        except InputError as error:
            predicted |= {(model.name, what): refused(str(error), "input") for what in kinds}
    answered = fan_out(executor, predict, asked, on_progress=on_progress, named="question to a member")
    predicted |= {(one.model.name, one.what): own for one, own in zip(asked, answered, strict=True)}
    for name, other in (others or {}).items():
        if name in members and not members[name].is_gaussian:
            predicted[name, "row"] = _given_effects(other)
    return predicted


def _given_effects(fit: PanelFit) -> Predicted:
    import warnings

    import arviz_stats as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of shapes above the limit, which are reported
        loo = az.loo(fit.tree, pointwise=True)
    elpd = np.asarray(loo.elpd_i.to_numpy(), dtype=float).ravel()
    khat = np.asarray(loo.pareto_k.to_numpy(), dtype=float).ravel()
    return Predicted(elpd=elpd, khat=khat, p=np.full(len(elpd), np.nan), notes=("",) * len(elpd))


def why_not(found: PanelFit, what: Fold) -> str:
    """Say why parts of one kind are not left out of a fit; blank where they are."""
    if found.collapsed is None:
        return f"Parts of the panel are left out by the collapsed engine only, and PyMC samples {found.model.name}."
    if found.design.n_obs > MAX_ROWS:
        return f"{there_are(found.design.n_obs, 'row')}; parts are left out only where there are at most {MAX_ROWS}."
    count = len(parts(found.blocks, what)[1])
    if count <= 1:
        return f"{there_are(count, what)}{'; at least two are needed to leave one out' if count else ''}."
    most = MAX_ROWS if what == "row" else MAX_PARTS
    return "" if count <= most else f"{there_are(count, what)}; each is left out only where there are at most {most}."
