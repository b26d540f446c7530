"""The term of the family that answers a finding, and what becomes of the slopes once the fitted model has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.sampling.gates import PASSED
from cbec_bayes.checks.refits import RefitSlopes, Refitted, fitted_slopes, is_grouped, refit_slopes_if_identified
from cbec_bayes.checks.severity import Change, Severity, Slope, changes, instead_of, severest
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.progress import OnProgress, ignore_progress


class Finding(StrEnum):
    """What the residuals of a panel may have that a model says they have not."""

    SERIAL = "serial correlation"
    SPREAD = "unequal spread between groups"
    TAILS = "heavy tails"
    DRIFT = "drift of units"
    UNITS = "slopes that differ between units"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """The term that answers a finding, added to a model.

    Attributes
    ----------
    finding
        What is answered.
    term
        As a model file says it.
    said
        The term in words.
    model
        The model with the term; None where it cannot be refitted at once.
    why_not
        Why it cannot; blank where it can.
    """

    finding: Finding
    term: str
    said: str
    model: PanelModel | None
    why_not: str = ""


_TERMS: Mapping[Finding, tuple[str, str, str, str]] = {
    Finding.SERIAL: ("correlation", "ar1", "AR(1) errors", ""),
    Finding.SPREAD: ("spread", "by_group", "a spread of its own for each group", ""),
    Finding.TAILS: ("residual", "student_t", "Student-t errors", ""),
    Finding.DRIFT: ("unit_trend", "pooled", "linear trends of units", "unit_trends"),
    Finding.UNITS: ("unit_slope", "pooled", "slopes of units", "nested"),
}
"""Key and choice of the term that answers each finding, its words, and the shipped model that has its prior."""


def term_of(finding: Finding) -> str:
    """Return the term that answers a finding, as a model file says it."""
    key, choice, *_ = _TERMS[finding]
    return f'{key} = "{choice}"'


def remedy(finding: Finding, model: PanelModel, design: Design) -> Remedy:
    """Return the term that answers a finding, added to a model on a design."""
    key, choice, said, from_model = _TERMS[finding]
    why = ""
    if model.choice(key) == choice:
        why = "the model has it already"
    elif finding is Finding.TAILS or not model.is_gaussian:
        why = "that model is sampled by PyMC and is not fitted in this check"
    elif finding is Finding.SERIAL and model.choice(key) != "off":
        why = f'the model has correlation = "{model.choice(key)}"'
    elif choice == "by_group" and len(design.groups) < 2:
        why = "there are no groups"
    other = None
    if not why:
        left_out = carried(model.choosing(**{key: choice}), design).left_out
        why = " ".join(one.rstrip(".") for one in left_out if one not in carried(model, design).left_out)
    if not why:
        priors = dict[str, Prior](load_panel_model(from_model).priors if from_model else {}) | dict(model.priors)
        other = model.choosing(**{key: choice})
        needed = {"slope", "control_slope", *other.scales}
        other = replace(other, priors={name: prior for name, prior in priors.items() if name in needed})
    return Remedy(finding=finding, term=term_of(finding), said=said, model=other, why_not=why)


@dataclass(frozen=True, slots=True)
class Answer:
    """A remedy, and what becomes of the slopes with it.

    Attributes
    ----------
    remedy
        The term.
    refit
        The slopes with it; None where the model is not refitted.
    changes
        Changes of the slopes that are shown, the severest first; empty where they are not known.
    grouped
        Whether groups differ in their slopes.
    """

    remedy: Remedy
    refit: RefitSlopes | None
    changes: tuple[Change, ...]
    grouped: bool

    @property
    def severity(self) -> Severity:
        """That of the severest change, and worth knowing in any case: the finding itself is."""
        return severest([Severity.KNOWING, *(one.severity for one in self.changes)])

    @property
    def text(self) -> str:
        """One sentence: what the slope that changes most is with the term, and what it is shown as."""
        one = self.remedy
        found, term = f"{str(one.finding).capitalize()} (term {one.term})", one.said
        if self.refit is None:
            return f"{found}: {one.why_not}."
        if not self.changes:
            return f"{found}: the refit with {term} cannot be used ({self.refit.gate})."
        first = self.changes[0]
        moved = first.severity is not Severity.FINE
        most = "" if moved else "no slope changes much; "
        return f"{found}: with {term} {most}{instead_of(first, grouped=self.grouped)}."


def answers(
    found: PanelFit,
    findings: Sequence[Finding],
    *,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> tuple[Answer, ...]:
    """Refit a model with the term that answers each finding, one at a time.

    Parameters
    ----------
    found
        A fit.
    findings
        What is to be answered.
    seed
        Seed of the refits.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.
    """
    remedies = [remedy(one, found.model, found.design) for one in findings]
    tried = [Refitted(found.design, one.model, seed) for one in remedies if one.model is not None]
    refits = iter(
        fan_out(executor, refit_slopes_if_identified, tried, on_progress=on_progress, named="refit with a term more")
        if tried
        else ()
    )
    own = fitted_slopes(found).shown if tried else {}
    grouped = is_grouped(found)
    return tuple(_answer(one, None if one.model is None else next(refits), own, grouped=grouped) for one in remedies)


def _answer(one: Remedy, refit: RefitSlopes | None, own: Mapping[str, Slope], *, grouped: bool) -> Answer:
    usable = refit is not None and refit.gate == PASSED
    return Answer(one, refit, changes(own, refit.shown) if usable and refit is not None else (), grouped)
