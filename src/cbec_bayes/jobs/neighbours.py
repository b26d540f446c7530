"""What the neighbours of a fitted member would say: the average slope without each of its terms, by quick refits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit, draw_scales
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.refit import diagnose
from cbec_bayes.bayes.sampling.gates import PASSED
from cbec_bayes.checks.severity import Change, Severity, Slope, numbers_of
from cbec_bayes.checks.without import Neighbour, named, without_each_term
from cbec_bayes.estimands.groups import slope_quantities
from cbec_bayes.estimands.mixed_slopes import mixed_slopes
from cbec_bayes.estimands.summary import Summary
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_AVERAGE
from cbec_bayes.runtime.opening import read_json
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

FILE = "neighbours.csv"

COLUMNS = ("term", "member", "mean", "sd", "ci_low", "ci_high", "p_positive", "log_evidence", "gate", "origin")

DRAWS, PILOT = 500, 1_000
"""Draws of the scales of a refit, and proposals of its pilot samples."""

MAX_WORK = 3e6
"""Rows times coefficients up to which members are refitted: 100,000 rows of 30."""

PERSISTENT, LIKELY = 0.9, 0.5
"""Correlation above which errors hardly fade, and its probability from which on that is said."""

FITTED, DIFFERENCES, TRENDS = "as fitted", "first differences", "with trends of units"
NOT_LEFT_OUT = (FITTED, DIFFERENCES, TRENDS)
"""Terms of the rows that lack none: the fitted member, and what else errors that hardly fade may be."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The average slope under a fitted member and its neighbours.

    Attributes
    ----------
    table
        As neighbours.csv has it, the fitted member first; empty where no neighbour was fitted.
    said
        Sentences: whether the sign stays, and what changes; then, of errors that hardly fade, what else they may be.
    """

    table: pd.DataFrame
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refitted:
    """The average slope under a member, None where a gate was missed; its log evidence; and the gate."""

    slope: Summary | None
    log_evidence: float
    gate: str


def refits_without(design: Design, model: PanelModel, prob: float = CI_PROB, seed: int = 1) -> tuple[Refitted, ...]:
    """Refit a member without each of its terms; the draws of the member itself are not needed for it.

    Parameters
    ----------
    design, model
        What is fitted.
    prob
        Probability of the intervals.
    seed
        Seed of everything random.

    Returns
    -------
    tuple
        A refit for each of `cbec_bayes.checks.without.without_each_term`, in its order.
    """
    return tuple(_refitted(design, one.model, prob, seed) for one in without_each_term(model, design))


def neighbours(
    found: PanelFit,
    *,
    prob: float = CI_PROB,
    seed: int = 1,
    ahead: Callable[[], Sequence[Refitted]] | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Neighbours | None:
    """Refit a member without each of its terms, and say what becomes of the average slope over units.

    Where the errors of the member hardly fade (their correlation is above `PERSISTENT` with a probability above
    `LIKELY`) it is also refitted with what else they may be: a random walk, and trends of units if it has none.

    Parameters
    ----------
    found
        The fit, with its gates passed or not.
    prob
        Probability of the intervals.
    seed
        Seed of everything random.
    ahead
        Returns what `refits_without` has already found for this fit; None where nothing was begun.
    on_progress
        Called with every refit.

    Returns
    -------
    Neighbours or None
        None where the member has no such term, or is not collapsed, or there are no rows.
    """
    if found.collapsed is None or found.blocks.gathered is not None:
        return None
    persistent = _persistent(found)
    without = without_each_term(found.model, found.design)
    asked = [*without, *(_instead(found) if persistent > LIKELY else ())]
    if not asked:
        return None
    if found.design.n_obs * float(found.blocks.n_coefficients) > MAX_WORK:
        too_many = f"{found.design.n_obs} rows are too many to fit the model again without each of its terms."
        return Neighbours(pd.DataFrame(columns=list(COLUMNS)), (too_many,))
    refits = [] if ahead is None else list(ahead())
    for k, one in enumerate(asked[len(refits) :], start=len(refits)):
        on_progress(Progress("refit without a term", k, len(asked)))
        refits.append(_refitted(found.design, one.model, prob, seed))
    return _compared(found, asked, refits, prob, persistent)


def _compared(
    found: PanelFit, asked: Sequence[Neighbour], refits: Sequence[Refitted], prob: float, persistent: float
) -> Neighbours:
    """Return the table of a fit and its refits, and what follows from it."""
    own = slope_quantities(found)[GROUP_AVERAGE].summary(prob)
    evidence = np.nan if found.log_evidence is None else found.log_evidence
    itself = Refitted(own, evidence, "; ".join(found.diagnostics.failures) or PASSED)
    rows = [_row(FITTED, found.model, itself)]
    rows += [_row(one.term, one.model, refit) for one, refit in zip(asked, refits, strict=True)]
    changes = {
        one.term: Change(GROUP_AVERAGE, Slope.of(own), Slope.of(refit.slope))
        for one, refit in zip(asked, refits, strict=True)
        if refit.slope is not None
    }
    terms = [one.term for one in asked if one.is_without]
    said = [said_of_sign(Slope.of(own), changes, terms)] if terms else []
    said += [_said_of_persistence(found, persistent, changes, asked)] if persistent > LIKELY else []
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(origin=str(found.design.origin))
    return Neighbours(table, tuple(said))


def read_neighbours(folder: Path) -> Neighbours | None:
    """Return what a fit left in its folder; None where it left nothing, or what is there cannot be read."""
    try:
        said = read_json(folder / "diagnostics.json")["neighbours"]
        path = folder / FILE
        table = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else pd.DataFrame()
    except (InputError, OSError, ValueError, KeyError, TypeError):
        return None
    return Neighbours(table.reindex(columns=list(COLUMNS)), tuple(map(str, said))) if said else None


def _instead(found: PanelFit) -> tuple[Neighbour, ...]:
    """Return the members that have something else in the place of AR(1) errors that hardly fade."""
    model = found.model
    keys = ["correlation", "unit_trend"]
    walk = Neighbour(
        DIFFERENCES, named(model, model.reduced(correlation="random_walk", unit_trend="off"), keys), is_without=False
    )
    with_trends = model.choosing(unit_trend="pooled")
    if model.choice("unit_trend") != "off" or carried(with_trends, found.design).model.choice("unit_trend") == "off":
        return (walk,)
    prior = load_panel_model("unit_trends").priors["xi"]
    with_trends = replace(with_trends, priors={**model.priors, "xi": prior})
    return (walk, Neighbour(TRENDS, named(model, with_trends, ["unit_trend"]), is_without=False))


def _persistent(found: PanelFit) -> float:
    """Return the probability that AR(1) errors hardly fade; zero for other errors."""
    if found.model.choice("correlation") != "ar1":
        return 0.0
    return float((found.tree["posterior"][RHO].to_numpy() > PERSISTENT).mean())


def _refitted(design: Design, model: PanelModel, prob: float, seed: int) -> Refitted:
    try:
        blocks = blocks_for(design, model)
        collapsed = make_collapsed(blocks)
        drawn = draw_scales(collapsed, draws=DRAWS, chains=1, seed=seed, pilot=PILOT)
        measured = diagnose(drawn)
        measured.require()
    except (GateError, InputError) as error:
        return Refitted(None, np.nan, str(error))
    ess = float(DRAWS) if np.isnan(drawn.ess) else min(drawn.ess, float(DRAWS))
    slope = mixed_slopes(blocks, collapsed, drawn.points[0], ess).slopes[GROUP_AVERAGE].summary(prob)
    return Refitted(slope, np.nan if drawn.evidence.value is None else drawn.evidence.value, PASSED)


def _row(term: str, model: PanelModel, refit: Refitted) -> dict[str, object]:
    numbers = (np.nan,) * 5 if refit.slope is None else refit.slope.numbers
    named = dict(zip(("mean", "sd", "ci_low", "ci_high", "p_positive"), numbers, strict=True))
    return {"term": term, "member": model.name, **named, "log_evidence": refit.log_evidence, "gate": refit.gate}


def said_of_sign(own: Slope, changes: Mapping[str, Change], terms: Sequence[str]) -> str:
    """Say first whether the sign of the average slope stays without each term, and then what else changes.

    Parameters
    ----------
    own
        The slope under the fitted member.
    changes
        By term, what the slope is without it; a term whose refit cannot be used is not among them.
    terms
        All that were tried, in order.
    """
    known = [term for term in terms if term in changes]
    if not known:
        return f"The average slope without {_listed(terms, 'or')} is not known, because no refit passed its gates."
    sign = {1: "positive", -1: "negative", 0: "not settled"}
    moved = [term for term in known if changes[term].other.sign != own.sign]
    if own.sign and not moved:
        said = f"The average slope stays {sign[own.sign]} when the model is fitted without {_any_of(known)}"
    elif own.sign:
        said = f"The average slope does not stay {sign[own.sign]}: "
        said += "; ".join(
            f"without {term} it is {sign[changes[term].other.sign]}, {_numbers(changes[term])}" for term in moved
        )
    elif moved:
        said = "The sign of the average slope is not settled under this model, but it is without one of the terms: "
        said += "; ".join(
            f"without {term} it is {sign[changes[term].other.sign]}, {_numbers(changes[term])}" for term in moved
        )
    else:
        said = (
            "The sign of the average slope is not settled. It is not settled either when the model is fitted "
            f"without {_any_of(known)}"
        )
    rest = [term for term in known if term not in moved]
    large = [term for term in rest if changes[term].severity is not Severity.FINE]
    small = [term for term in rest if term not in large]
    parts = [f"without {term} the slope would be {_numbers(changes[term])}" for term in large]
    if small and (moved or large):
        parts.append(f"without {_listed(small, 'or')} the slope changes little")
    elif small:
        parts.append("the slope changes little" if len(small) == 1 else "the slope changes little in each case")
    unknown = [term for term in terms if term not in changes]
    parts += (
        [f"without {_listed(unknown, 'or')} the slope is not known, because the refit missed a gate"] if unknown else []
    )
    return f"{said}; {'; '.join(parts)}." if parts else f"{said}."


def _said_of_persistence(
    found: PanelFit, persistent: float, changes: Mapping[str, Change], asked: Sequence[Neighbour]
) -> str:
    """Say what errors that hardly fade may be, and what the average slope is then."""
    said = (
        f"The correlation of errors from one period to the next is above {PERSISTENT:g} with a probability of "
        f"{persistent:.2f}: errors that hardly fade may in truth be trends of units or a random walk."
    )
    names = {DIFFERENCES: "Estimated from first differences,", TRENDS: "With trends of units,"}
    parts = []
    for term in (one.term for one in asked if not one.is_without):
        slope = f"is {_numbers(changes[term])}" if term in changes else "is not known, because the refit missed a gate"
        parts.append(f"{names[term]} the average slope {slope}.")
    has = found.model.choice("unit_trend") != "off"
    return " ".join([said, *parts, *(["The fitted model already has trends of units."] if has else [])])


def _numbers(change: Change) -> str:
    return numbers_of(change.other, change.own)


def _listed(terms: Sequence[str], last: str) -> str:
    return f" {last} ".join([", ".join(terms[:-1]), terms[-1]] if len(terms) > 1 else terms)


def _any_of(terms: Sequence[str]) -> str:
    return terms[0] if len(terms) == 1 else f"any single one of these terms ({', '.join(terms)})"
