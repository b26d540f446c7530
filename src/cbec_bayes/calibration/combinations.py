"""Calibration of combinations of terms: each replication draws a member of its own, a panel, and data of it.

Members that ship are a few of the combinations that the family allows. Here any of `CHOICES` stands beside any other,
on small panels of which every second one has gaps. Ranks are uniform whatever the combination, so that those of one
quantity are judged together, and once more for each choice of each term, which tells where an error is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.calibration.sbc import DRAWS, LEVEL, rank_truth
from cbec_bayes.calibration.simulate import from_prior, simulated_regressors
from cbec_bayes.calibration.uniformity import uniformity
from cbec_bayes.panel.characteristics import Characteristics
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import Executor, fan_out
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

CHOICES: Mapping[str, tuple[str, ...]] = {
    "correlation": ("off", "ar1", "random_walk"),
    "spread": ("common", "by_group"),
    "unit_slope": ("off", "pooled"),
    "unit_trend": ("off", "pooled"),
    "unit_effect": ("fixed", "random"),
    "group_control_slope": ("off", "pooled"),
    "group_time_effect": ("off", "pooled"),
}
"""What a member may choose of each term, by the term's key; the slopes of groups are always pooled."""

GROUP_SIZES, N_TIMES, N_CONTROLS = (4, 3, 3), 6, 1
"""Units of each group, periods and controls of the panels."""

MISSING = 0.15
"""Share of the rows that every second panel lacks."""

CHARACTERISTIC = "characteristic of groups"
REGRESSED = 3
"""One panel in so many has a characteristic of groups, on which their slopes are regressed."""

FEWEST = 30
"""Ranks without which nothing is said of a quantity."""

EVERY = "(all)"
CHUNK = 10
COLUMNS = ("choice", "quantity", "replications", "z_mean", "z_square", "p_value", "passed", "origin")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A piece of work: replications, each of a combination that is drawn.

    Attributes
    ----------
    numbers
        Numbers of the replications.
    seed
        Seed of all together; each has its own from this and its number.
    choices
        What may be chosen of each term, by key; one choice alone holds the term.
    """

    numbers: tuple[int, ...]
    seed: int
    choices: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One replication that was fitted and passed its gates.

    Attributes
    ----------
    chosen
        What its member chose, by the key of the term, and whether there is a characteristic of groups.
    ranks
        By quantity, from 0 to `DRAWS`.
    """

    chosen: Mapping[str, str]
    ranks: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Combined:
    """Ranks of all replications.

    Attributes
    ----------
    ranked
        Replications that were fitted, in order.
    failed
        How many missed a gate; they are not ranked.
    """

    ranked: tuple[Ranked, ...]
    failed: int

    @property
    def combinations(self) -> int:
        """Number of different combinations among the replications."""
        return len({tuple(sorted(one.chosen.items())) for one in self.ranked})

    def verdicts(self) -> pd.DataFrame:
        """Return one row per choice and quantity, with columns `COLUMNS`, and none of a term that is held."""
        drawn = {pair for one in self.ranked for pair in one.chosen.items()}
        free = {key for key, _ in drawn if sum(other == key for other, _ in drawn) > 1}
        groups: dict[str, dict[str, list[int]]] = {EVERY: {}}
        for one in self.ranked:
            for choice in (EVERY, *(f"{key} = {value}" for key, value in one.chosen.items() if key in free)):
                own = groups.setdefault(choice, {})
                for quantity, rank in one.ranks.items():
                    own.setdefault(quantity, []).append(rank)
        return judged(groups)

    def require(self) -> None:
        """Raise `GateError` where ranks of a quantity are not uniform, or more than one in fifty missed a gate."""
        table = self.verdicts()
        wrong = table[table["passed"] == "no"]
        said = [f"ranks of {row.quantity} under {row.choice} are not uniform" for row in wrong.itertuples()]
        if 50 * self.failed > len(self.ranked) + self.failed:
            said.append(f"{self.failed} of {len(self.ranked) + self.failed} replications missed a gate")
        if said:
            raise GateError(f"calibration of combinations failed: {'; '.join(said)}")


def judged(groups: Mapping[str, Mapping[str, Sequence[int]]]) -> pd.DataFrame:
    """Compare ranks with uniform ones.

    Parameters
    ----------
    groups
        Ranks of quantities, by choice and quantity.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. ``z_mean`` and ``z_square`` are how far the mean of the ranks, and that of their squared
        distance from the middle, lie from those of uniform ranks, in Monte Carlo standard errors: a bias, and a
        posterior that is too narrow (above zero) or too wide. A quantity passes where its p-value is above `LEVEL`
        over the number of tests.
    """
    every = [
        (choice, quantity, np.array(ranks))
        for choice, own in groups.items()
        for quantity, ranks in sorted(own.items())
        if len(ranks) >= FEWEST
    ]
    level = LEVEL / max(1, len(every))
    rows = []
    for choice, quantity, ranks in every:
        p = uniformity(ranks, DRAWS).p
        said = "yes" if p > level else "no"
        rows.append((choice, quantity, len(ranks), *_distances(ranks), p, said, str(Origin.SIMULATED)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _distances(ranks: NDArray[np.int64]) -> tuple[float, float]:
    """Return `z_mean` and `z_square` of `judged`."""
    u = (ranks + 0.5) / (DRAWS + 1) - 0.5
    grid = (np.arange(DRAWS + 1) + 0.5) / (DRAWS + 1) - 0.5
    n = len(ranks)
    return (
        float(u.mean() / (grid.std() / math.sqrt(n))),
        float(((u**2).mean() - (grid**2).mean()) / ((grid**2).std() / math.sqrt(n))),
    )


def combination(rng: np.random.Generator, choices: Mapping[str, Sequence[str]] = CHOICES) -> PanelModel:
    """Draw a member: each term's choice is equally likely, and priors are those of the members that ship."""
    base = load_panel_model("robust")
    scale = {"sigma_mu": load_panel_model("correlated_effects").priors["sigma_mu"]}
    chosen = {key: str(rng.choice(list(values))) for key, values in choices.items()}
    return replace(base, priors={**base.priors, **scale}).reduced(**chosen)


def small_panel(rng: np.random.Generator, *, gaps: bool, regressed: bool = False) -> Design:
    """Return a small panel with regressors and zeros for an outcome.

    Parameters
    ----------
    rng
        Source of the draws.
    gaps
        Whether some rows are missing.
    regressed
        Whether the slopes of groups are regressed on a characteristic of theirs.
    """
    design = simulated_regressors(rng, group_sizes=GROUP_SIZES, n_times=N_TIMES, n_controls=N_CONTROLS)
    design = design.rows(rng.random(design.n_obs) > MISSING) if gaps else design
    if not regressed:
        return design
    measured = rng.normal(size=(len(design.groups), 1))
    return replace(design, characteristics=Characteristics(names=("z",), groups=design.groups, measured=measured))


def rank_combinations(piece: Drawn) -> dict[str, Any]:
    """Return what every replication chose and its ranks, and how many missed a gate."""
    found, failed = [], 0
    for number in piece.numbers:
        rng = np.random.default_rng([piece.seed, number])
        model = combination(rng, piece.choices)
        regressed = number % REGRESSED == REGRESSED - 1
        blocks = blocks_for(small_panel(rng, gaps=number % 2 == 1, regressed=regressed), model)
        simulated = from_prior(blocks, rng)
        try:
            ranks = rank_truth(blocks, simulated, int(rng.integers(2**31)))
        except GateError:
            failed += 1
            continue
        chosen = {key: model.choice(key) for key in piece.choices} | {CHARACTERISTIC: "yes" if regressed else "no"}
        found.append({"chosen": chosen, "ranks": ranks})
    return {"found": found, "failed": failed}


def calibrate_combinations(
    executor: Executor,
    n: int,
    *,
    choices: Mapping[str, Sequence[str]] = CHOICES,
    seed: int = 1,
    journal: Journal | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Combined:
    """Calibrate members that are drawn, one for each of n replications.

    Parameters
    ----------
    executor
        From `cbec_bayes.runtime.fanout.open_executor`.
    n
        Replications.
    choices
        What may be chosen of each term; `CHOICES` unless some are to be held.
    seed, journal, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.
    """
    held = {key: tuple(values) for key, values in choices.items()}
    pieces = [Drawn(tuple(range(i, min(i + CHUNK, n))), seed, held) for i in range(0, n, CHUNK)]
    parts = fan_out(executor, rank_combinations, pieces, journal=journal, on_progress=on_progress, named="replications")
    ranked = tuple(Ranked(one["chosen"], one["ranks"]) for part in parts for one in part["found"])
    return Combined(ranked, sum(part["failed"] for part in parts))
