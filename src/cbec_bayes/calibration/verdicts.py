"""What a calibration concludes, model by model: whose ranks are uniform, and how exact a coverage can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.calibration.sbc import DRAWS, LEVEL
from cbec_bayes.calibration.uniformity import band
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.labels import CI_PROB


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerdict:
    """What the ranks of one model say.

    Attributes
    ----------
    model, data_of
        Fitted, and drawn from.
    replications, quantities
        How many there are.
    smallest_p
        Smallest p-value of the tests of its quantities.
    missed
        Quantities whose ranks are not uniform.
    """

    model: str
    data_of: str
    replications: int
    quantities: int
    smallest_p: float
    missed: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether the model is fitted to data of its own."""
        return self.model == self.data_of


def model_verdicts(sbc: pd.DataFrame) -> tuple[ModelVerdict, ...]:
    """Return what a table of `cbec_bayes.calibration.sbc.verdicts` says of each model, in its order."""
    return tuple(
        ModelVerdict(
            model=str(model),
            data_of=str(data_of),
            replications=int(part["replications"].iloc[0]),
            quantities=len(part),
            smallest_p=float(part["p_value"].min()),
            missed=tuple(part.loc[part["passed"] == "no", "quantity"]),
        )
        for (model, data_of), part in sbc.groupby(["model", "data_of"], sort=False)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCurves:
    """Distribution functions of the ranks of one model's quantities, less the uniform one.

    Attributes
    ----------
    model, data_of
        Fitted, and drawn from.
    at
        Shares at which the functions are evaluated, shape (L,).
    low, high
        Ends of the simultaneous band, shape (L,).
    differences
        One row per quantity, shape (Q, L).
    outside
        Which quantities leave the band, shape (Q,).
    """

    model: str
    data_of: str
    at: Array
    low: Array
    high: Array
    differences: Array
    outside: NDArray[np.bool_]


def rank_curves(counts: pd.DataFrame) -> tuple[RankCurves, ...]:
    """Compare the ranks of every model with uniform ones.

    Parameters
    ----------
    counts
        One row per model and quantity; see `cbec_bayes.calibration.sbc.Calibration.counts`. The bands hold for all
        quantities of models that are fitted to data of their own together.
    """
    prob = 1 - LEVEL / max(int((counts["model"] == counts["data_of"]).sum()), 1)
    at = np.arange(1, DRAWS + 1) / (DRAWS + 1)
    found = []
    for model, data_of in dict.fromkeys(zip(counts["model"], counts["data_of"], strict=True)):
        rows = counts[(counts["model"] == model) & (counts["data_of"] == data_of)]
        own = rows[[f"rank_{k}" for k in range(DRAWS + 1)]].to_numpy()
        n = int(own[0].sum())
        low, high = band(n, DRAWS, prob)
        differences = own[:, :-1].cumsum(axis=1) / n - at
        outside = ((differences < low - 1e-12) | (differences > high + 1e-12)).any(axis=1)
        found.append(
            RankCurves(
                model=model, data_of=data_of, at=at, low=low, high=high, differences=differences, outside=outside
            )
        )
    return tuple(found)


def coverage_band(replications: int) -> tuple[float, float]:
    """Return two standard errors on either side of the nominal coverage, for so many replications."""
    error = 2 * np.sqrt(CI_PROB * (1 - CI_PROB) / replications)
    return float(CI_PROB - error), float(CI_PROB + error)
