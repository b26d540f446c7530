"""Many panels that print the same numbers, under several specifications each: what the print settles, and what not."""

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
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import Executor, Job, fan_out_together
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE, GROUP_NEW, Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress
from cbec_bayes.specifications.lattice import lattice

MEMBERS = 30
"""Panels of an ensemble."""

DRAWS, PILOT = 1_000, 1_000

QUANTILES = np.linspace(0.005, 0.995, 100)
"""Probabilities of the quantiles that each panel's posterior is kept as; the mixture over panels is made of them."""

SURVIVES = 0.95
"""Share of panels in which a conclusion must be settled, under each specification, for the print to settle it."""

PANEL_COLUMNS = (
    "panel",
    "quantity",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "not_met",
    "origin",
    "gate",
    "specification",
)

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
    "specifications",
    "lowest",
    "lowest_under",
    "no_lowest",
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
    "specifications_share",
)


@dataclass(frozen=True, slots=True)
class Member:
    """A piece of work: one panel of the ensemble.

    Attributes
    ----------
    problem
        What every panel shares.
    seed
        Seed of its targets and proxies.
    model
        A member of the family that is fitted; None for every member of the reduced lattice.
    """

    problem: Problem
    seed: int
    model: PanelModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Slopes on many panels, under each specification.

    Attributes
    ----------
    specifications
        Their names, the simplest first.
    panels
        One row per panel, specification and quantity, with columns `PANEL_COLUMNS`; `not_met` counts the printed cells
        that the panel does not meet. `gate` is `cbec_bayes.bayes.sampling.gates.PASSED`, or, in the only row of a fit
        that is left out, which has no quantity, the reason.
    sizes
        One row per quantity, with columns `SIZE_COLUMNS`: the mixture over panels and specifications, each counting
        alike, the range of the posterior means, and the shares of the mixture's variance that lie between panels, under
        one specification, and between specifications. What lies between panels the print does not settle.
    conclusions
        One row per conclusion, with columns `CONCLUSION_COLUMNS`: shares of panels and specifications under which it is
        settled (its posterior probability is above .975), its opposite is, or neither; `lowest` is the share of panels
        under the specification where it is settled in the fewest, `lowest_under`, and `no_lowest` the same of its
        opposite. `survives` is ``yes`` where it is settled in at least `SURVIVES` of the panels under every
        specification, ``opposite`` where its opposite is, and ``no`` otherwise.
    refused
        Fits that are left out, by the number of the panel and the specification, to the reason: the model could not be
        fitted, or the fit missed a gate.
    """

    specifications: tuple[str, ...]
    panels: pd.DataFrame
    sizes: pd.DataFrame
    conclusions: pd.DataFrame
    refused: Mapping[tuple[int, str], str]

    @property
    def failed(self) -> int:
        """How many fits are left out."""
        return len(self.refused)

    @property
    def gates(self) -> str:
        """How many fits passed their gates, in a sentence, and why the others are left out."""
        return sentence(self.n_fits, self._named(), "fits")

    @property
    def left_out(self) -> str:
        """The fits that are left out and why, in words; blank where none is."""
        return by_gate(self._named(), tabled=True)

    def _named(self) -> dict[str, str]:
        return {f"panel {number} under {name}": reason for (number, name), reason in self.refused.items()}

    @property
    def n_panels(self) -> int:
        """Panels that were built."""
        return int(self.panels["panel"].nunique())

    @property
    def n_fits(self) -> int:
        """Fits that were tried: of each panel under each specification."""
        return len(self.panels[["panel", "specification"]].drop_duplicates())

    @property
    def not_met(self) -> tuple[int, int]:
        """Fewest and most printed cells that one of the panels does not meet."""
        return int(self.panels["not_met"].min()), int(self.panels["not_met"].max())

    def concluded(self, survives: str) -> list[str]:
        """Return the conclusions with one value of `survives`: ``yes``, ``opposite`` or ``no``."""
        found = self.conclusions
        return found.loc[found["survives"] == survives, "conclusion"].tolist()


def fit_member(piece: Member) -> dict[str, Any]:
    """Reconstruct a panel and fit it under each specification.

    Returns
    -------
    dict
        ``not_met``, the printed cells not met, and ``fits``: by specification the quantiles, mean and probability of
        each quantity. A fit that cannot be used has no quantities, and a reason.
    """
    found = reconstruct(piece.problem, piece.seed)
    record = found.replication
    if piece.model is None:
        models = {one.name: one.model for one in lattice(record.design, reduced=True).specifications}
    else:
        models = {piece.model.name: piece.model}
    fits = {name: _fit(record.design, model, piece.seed % 2**31) for name, model in models.items()}
    return {"not_met": record.counts()["no"], "fits": fits}


def _fit(design: Design, model: PanelModel, seed: int) -> dict[str, Any]:
    try:
        posterior = refit(blocks_for(design, model), draws=DRAWS, seed=seed, pilot=PILOT)
        posterior.diagnostics.require()
    except (GateError, InputError) as error:
        return {"quantities": {}, "reason": str(error)}
    slopes = refitted_slopes(posterior)
    draws: dict[str, Array] = {label: slopes.groups[:, r] for r, label in enumerate(slopes.labels)}
    pairs = {f"{a} less {b}": draws[a] - draws[b] for a, b in combinations(slopes.labels, 2)}
    draws |= {GROUP_AVERAGE: slopes.average, GROUP_ALL: slopes.common}
    draws |= ({} if slopes.new is None else {GROUP_NEW: slopes.new}) | pairs
    if "tau" in posterior.draws:
        draws["tau"] = posterior.draws["tau"]
    quantities = {}
    for name, values in draws.items():
        s = summarise_draws(values)
        numbers = [s.mean, s.sd, s.ci_low, s.ci_high, s.p_positive]
        quantities[name] = {"summary": numbers, "quantiles": np.quantile(values, QUANTILES).tolist()}
    return {"quantities": quantities}


def run_ensemble(
    problem: Problem,
    executor: Executor,
    *,
    n: int = MEMBERS,
    model: str | None = None,
    seed: int = 1,
    journal: Journal | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Ensemble:
    """Fit each panel of an ensemble of reconstructions under the specifications of the reduced lattice.

    Parameters
    ----------
    problem
        From `cbec_bayes.jobs.reconstruct.load_problem`.
    executor
        From `cbec_bayes.runtime.fanout.open_executor`.
    n
        Panels.
    model
        A Gaussian member that is fitted in the place of the lattice.
    seed, journal, on_progress
        As in `fan_out`; panels are those of `cbec-bayes reconstruct --n N` with the same seed.

    Raises
    ------
    GateError
        A specification fits none of the panels, or every fit under it missed a gate.
    """
    job = ensemble_job(problem, n=n, model=model, seed=seed, journal=journal)
    return summarise_ensemble(fan_out_together(executor, [job], on_progress=on_progress)[0])


def ensemble_job(
    problem: Problem, *, n: int = MEMBERS, model: str | None = None, seed: int = 1, journal: Journal | None = None
) -> Job[Member, dict[str, Any]]:
    """Return the panels of an ensemble as pieces of work; parameters are those of `run_ensemble`."""
    spec = None if model is None else load_panel_model(model)
    pieces = [Member(problem, child, spec) for child in seeds_of(n, seed)]
    return Job(work=fit_member, pieces=pieces, journal=journal, named="panel")


def summarise_ensemble(found: Sequence[Mapping[str, Any]]) -> Ensemble:
    """Summarise what `fit_member` found, panel by panel."""
    names = tuple(dict.fromkeys(name for one in found for name in one["fits"]))
    fitted = {name: [one["fits"][name] for one in found if one["fits"][name]["quantities"]] for name in names}
    for name, fits in fitted.items():
        if not fits:
            why = "; ".join(dict.fromkeys(str(one["fits"][name]["reason"]) for one in found))
            raise GateError(f"the model {name} could be fitted to none of the panels: {why}")
    rows = [row for number, one in enumerate(found, 1) for row in _rows(number, one)]
    panels = pd.DataFrame(rows, columns=list(PANEL_COLUMNS))
    sizes, conclusions = [], []
    for quantity in fitted[names[0]][0]["quantities"]:
        own = panels[panels["quantity"] == quantity]
        quantiles = {name: [one["quantities"][quantity]["quantiles"] for one in fits] for name, fits in fitted.items()}
        sizes.append(_size(quantity, own, quantiles))
        if quantity != "tau":
            of = {name: own.loc[own["specification"] == name, "p_positive"].to_numpy() for name in names}
            conclusions.append(conclusion(quantity, of))
    return Ensemble(
        specifications=names,
        panels=panels,
        sizes=pd.DataFrame(sizes, columns=list(SIZE_COLUMNS)),
        conclusions=pd.DataFrame(conclusions, columns=list(CONCLUSION_COLUMNS)),
        refused={
            (number, name): str(fit["reason"])
            for number, one in enumerate(found, 1)
            for name, fit in one["fits"].items()
            if not fit["quantities"]
        },
    )


def _size(quantity: str, own: pd.DataFrame, quantiles: Mapping[str, Sequence[Sequence[float]]]) -> tuple[object, ...]:
    """Return a row of `Ensemble.sizes`; each specification counts alike, however many of its fits are left out."""
    values = np.concatenate([np.ravel(one) for one in quantiles.values()])
    weights = np.concatenate([np.full(np.size(one), 1 / np.size(one)) for one in quantiles.values()])
    levels = [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2]
    low, high = np.quantile(values, levels, weights=weights / weights.sum(), method="inverted_cdf")
    each = own.groupby("specification", sort=False)
    means, within = each["mean"].mean(), float((own["sd"] ** 2).groupby(own["specification"]).mean().mean())
    panels, across = float(each["mean"].var(ddof=0).mean()), float(means.var(ddof=0))
    total = panels + within + across
    ends = float(own["mean"].min()), float(own["mean"].max())
    moments = float(means.mean()), float(np.sqrt(total)), float(low), float(high)
    return (quantity, *moments, *ends, panels / total, str(Origin.RECONSTRUCTED), across / total)


def _rows(number: int, one: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of `Ensemble.panels` of a panel: by fit one per quantity, or one with why it is left out."""
    origin, not_met, found = str(Origin.RECONSTRUCTED), one["not_met"], []
    for name, fit in one["fits"].items():
        rows: list[tuple[object, ...]] = [
            (number, quantity, *own["summary"], not_met, origin, PASSED, name)
            for quantity, own in fit["quantities"].items()
        ]
        found += rows or [(number, "", *[np.nan] * 5, not_met, origin, str(fit.get("reason", "")), name)]
    return found


def conclusion(quantity: str, p_positive: Mapping[str, Array]) -> tuple[object, ...]:
    """Return the row of `Ensemble.conclusions` of a quantity.

    Parameters
    ----------
    quantity
        Whose sign is concluded.
    p_positive
        By specification, its probability of being positive in each panel.
    """
    sure = (1 + CI_PROB) / 2
    yes = {name: float((p > sure).mean()) for name, p in p_positive.items()}
    no = {name: float((p < 1 - sure).mean()) for name, p in p_positive.items()}
    lowest = min(yes, key=lambda name: yes[name])
    survives = "yes" if yes[lowest] >= SURVIVES else "opposite" if min(no.values()) >= SURVIVES else "no"
    every = np.concatenate(list(p_positive.values()))
    shares = float(np.mean(list(yes.values()))), float(np.mean(list(no.values())))
    ends = float(every.min()), float(every.max())
    last = str(Origin.RECONSTRUCTED), len(yes), yes[lowest], lowest, min(no.values())
    return (said(quantity), quantity, *shares, 1 - sum(shares), *ends, survives, *last)


def said(quantity: str) -> str:
    """Write the conclusion that a quantity is positive in words."""
    if quantity == GROUP_AVERAGE:
        return "the average slope over units is positive"
    if quantity == GROUP_ALL:
        return "the slope of groups in general is positive"
    if quantity == GROUP_NEW:
        return "the slope of a group not yet seen is positive"
    first, less, second = quantity.partition(" less ")
    return f"the slope of {first} is larger than that of {second}" if less else f"the slope of {first} is positive"
