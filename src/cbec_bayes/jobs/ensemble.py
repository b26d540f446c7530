"""The headline model on many panels that all print the same numbers: what the print settles, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.refit import refit
from cbec_bayes.bayes.sampling.gates import PASSED, by_gate, sentence
from cbec_bayes.estimands.groups import refitted_slopes
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.jobs.reconstruct import Problem, reconstruct, seeds_of
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import Executor, fan_out
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_NEW, Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

MEMBERS = 100
"""Panels of an ensemble."""

DRAWS = 2_000

QUANTILES = np.linspace(0.005, 0.995, 100)
"""Of each panel's posterior, equally probable: from them the mixture over panels is made."""

SURVIVES = 0.95
"""Share of panels in which a conclusion must be settled, for the print to settle it."""

PANEL_COLUMNS = ("panel", "quantity", "mean", "sd", "ci_low", "ci_high", "p_positive", "not_met", "origin", "gate")

CONCLUSION_COLUMNS = (
    "conclusion",
    "quantity",
    "yes",
    "no",
    "open",
    "p_low",
    "p_high",
    "survives",
    "origin",
)

SIZE_COLUMNS = (
    "quantity",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "mean_low",
    "mean_high",
    "between_share",
    "origin",
)


@dataclass(frozen=True, slots=True)
class Member:
    """A piece of work: one panel of the ensemble.

    Attributes
    ----------
    problem
        What every panel shares.
    seed
        Of its targets and proxies.
    model
        That is fitted.
    """

    problem: Problem
    seed: int
    model: PanelModel


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The headline on many panels.

    Attributes
    ----------
    model
        Its name.
    panels
        One row per panel and quantity, with columns `PANEL_COLUMNS`; `not_met` counts the printed cells that the panel
        does not meet. `gate` is `cbec_bayes.bayes.sampling.gates.PASSED`, or, in the only row of a panel that is left
        out, which has no quantity, the reason.
    sizes
        One row per quantity, with columns `SIZE_COLUMNS`: the mixture over panels, the range of the panels' means, and
        the share of the mixture's variance that lies between panels, which the print does not settle.
    conclusions
        One row per conclusion, with columns `CONCLUSION_COLUMNS`: shares of panels in which it is settled (its
        posterior probability is above .975), its opposite is, or neither; `survives` is ``yes`` where it is settled in
        at least `SURVIVES` of them, ``opposite`` where its opposite is, and ``no`` otherwise.
    refused
        Panels that are left out, by their number, to the reason: the model could not be fitted to them, or the fit
        missed a gate.
    """

    model: str
    panels: pd.DataFrame
    sizes: pd.DataFrame
    conclusions: pd.DataFrame
    refused: Mapping[int, str]

    @property
    def failed(self) -> int:
        """How many panels are left out."""
        return len(self.refused)

    @property
    def gates(self) -> str:
        """How many fits passed their gates, in a sentence, and why the others are left out."""
        return sentence(self.n_built, self._named(), "fits")

    @property
    def left_out(self) -> str:
        """The panels that are left out and why, in words; blank where none is."""
        return by_gate(self._named(), tabled=True)

    def _named(self) -> dict[str, str]:
        return {f"panel {number}": reason for number, reason in self.refused.items()}

    @property
    def n_built(self) -> int:
        """Panels that were built."""
        return int(self.panels["panel"].nunique())

    @property
    def n_panels(self) -> int:
        """Panels to which the model was fitted, with every gate passed."""
        return self.n_built - self.failed

    @property
    def not_met(self) -> tuple[int, int]:
        """Fewest and most printed cells that one of them does not meet."""
        own = self.panels.loc[self.panels["gate"] == PASSED, "not_met"]
        return int(own.min()), int(own.max())

    def concluded(self, survives: str) -> list[str]:
        """Return the conclusions with one value of `survives`: ``yes``, ``opposite`` or ``no``."""
        found = self.conclusions
        return found.loc[found["survives"] == survives, "conclusion"].tolist()


def fit_member(piece: Member) -> dict[str, Any]:
    """Reconstruct a panel and fit the model: quantiles, mean and probability by quantity, and the cells not met.

    Where the fit cannot be used there are no quantities, and a reason.
    """
    found = reconstruct(piece.problem, piece.seed)
    record = found.replication
    not_met = record.counts()["no"]
    try:
        posterior = refit(blocks_for(record.design, piece.model), draws=DRAWS, seed=piece.seed % 2**31)
        posterior.diagnostics.require()
    except (GateError, InputError) as error:
        return {"not_met": not_met, "quantities": {}, "reason": str(error)}
    slopes = refitted_slopes(posterior)
    draws: dict[str, Array] = {label: slopes.groups[:, r] for r, label in enumerate(slopes.labels)}
    pairs = {f"{a} less {b}": draws[a] - draws[b] for a, b in combinations(slopes.labels, 2)}
    draws |= {GROUP_ALL: slopes.common} | ({} if slopes.new is None else {GROUP_NEW: slopes.new}) | pairs
    if "tau" in posterior.draws:
        draws["tau"] = posterior.draws["tau"]
    quantities = {}
    for name, values in draws.items():
        s = summarise_draws(values)
        numbers = [s.mean, s.sd, s.ci_low, s.ci_high, s.p_positive]
        quantities[name] = {"summary": numbers, "quantiles": np.quantile(values, QUANTILES).tolist()}
    return {"not_met": not_met, "quantities": quantities}


def run_ensemble(
    problem: Problem,
    executor: Executor,
    *,
    n: int = MEMBERS,
    model: str = "partial_pooling",
    seed: int = 1,
    journal: Journal | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Ensemble:
    """Fit the headline to each panel of an ensemble of reconstructions.

    Parameters
    ----------
    problem
        From `cbec_bayes.jobs.reconstruct.load_problem`.
    executor
        From `cbec_bayes.runtime.fanout.open_executor`.
    n
        Panels.
    model
        A Gaussian member.
    seed, journal, on_progress
        As in `fan_out`; panels are those of `cbec-bayes reconstruct --n N` with the same seed.

    Raises
    ------
    GateError
        The model fits none of the panels, or every fit missed a gate.
    """
    spec = load_panel_model(model)
    pieces = [Member(problem, child, spec) for child in seeds_of(n, seed)]
    found = fan_out(executor, fit_member, pieces, journal=journal, on_progress=on_progress, named="panel")
    return summarise_ensemble(model, found)


def summarise_ensemble(model: str, found: Sequence[Mapping[str, Any]]) -> Ensemble:
    """Summarise what `fit_member` found, panel by panel."""
    fitted = [(number, one) for number, one in enumerate(found, 1) if one["quantities"]]
    if not fitted:
        why = "; ".join(dict.fromkeys(str(one["reason"]) for one in found))
        raise GateError(f"the model {model} could be fitted to none of the panels: {why}")
    origin = str(Origin.RECONSTRUCTED)
    rows = [row for number, one in enumerate(found, 1) for row in _rows(number, one)]
    panels = pd.DataFrame(rows, columns=list(PANEL_COLUMNS))
    sizes, conclusions = [], []
    for quantity in fitted[0][1]["quantities"]:
        own = panels[panels["quantity"] == quantity]
        mixture = np.array([one["quantities"][quantity]["quantiles"] for _, one in fitted])
        low, high = np.quantile(mixture, [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2])
        between, within = float(own["mean"].var(ddof=0)), float((own["sd"] ** 2).mean())
        ends = float(own["mean"].min()), float(own["mean"].max())
        total = between + within
        moments = float(own["mean"].mean()), float(np.sqrt(total)), float(low), float(high)
        sizes.append((quantity, *moments, *ends, between / total, origin))
        if quantity != "tau":
            conclusions.append((*conclusion(quantity, own["p_positive"].to_numpy()), origin))
    return Ensemble(
        model,
        panels,
        pd.DataFrame(sizes, columns=list(SIZE_COLUMNS)),
        pd.DataFrame(conclusions, columns=list(CONCLUSION_COLUMNS)),
        {number: str(one["reason"]) for number, one in enumerate(found, 1) if not one["quantities"]},
    )


def _rows(number: int, one: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of `Ensemble.panels` of a panel: one per quantity, or one with the reason that it is left out."""
    origin, kept = str(Origin.RECONSTRUCTED), one["quantities"].items()
    rows = [(number, quantity, *own["summary"], one["not_met"], origin, PASSED) for quantity, own in kept]
    return rows or [(number, "", *[np.nan] * 5, one["not_met"], origin, str(one["reason"]))]


def conclusion(quantity: str, p_positive: Array) -> tuple[object, ...]:
    """Return the row of `Ensemble.conclusions` of a quantity, from its probability of being positive in each panel."""
    sure = (1 + CI_PROB) / 2
    yes, no = float((p_positive > sure).mean()), float((p_positive < 1 - sure).mean())
    survives = "yes" if yes >= SURVIVES else "opposite" if no >= SURVIVES else "no"
    ends = float(p_positive.min()), float(p_positive.max())
    return (said(quantity), quantity, yes, no, 1 - yes - no, *ends, survives)


def said(quantity: str) -> str:
    """Write the conclusion that a quantity is positive in words."""
    if quantity == GROUP_ALL:
        return "the common slope is positive"
    if quantity == GROUP_NEW:
        return "the slope of a group not yet seen is positive"
    first, less, second = quantity.partition(" less ")
    return f"the slope of {first} is larger than that of {second}" if less else f"the slope of {first} is positive"
