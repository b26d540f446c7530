"""What the priors say before the data: slopes, R2 and the range of the outcome, as the classical tables have them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cbec_bayes.bayes.before_data import before_data
from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.checks.cells import Place
from cbec_bayes.checks.refits import fitted_slopes
from cbec_bayes.checks.result import CheckResult, against
from cbec_bayes.checks.severity import Severity
from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.tables import ColumnSpec
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_ALL

PRIOR_COLUMNS = ("statistic", "of", "replicated", "printed", "mean", "ci_low", "ci_high", "verdict", "origin")

EXCLUDED = 0.002
"""A value with a smaller tail probability under the prior is excluded by it."""

ABSURD = 10.0
"""A prior allows the absurd if more than half of its outcomes have a range of more than this many times the data's."""


def prior_predictive(
    found: PanelFit,
    columns: tuple[ColumnSpec, ...],
    ssc: str,
    printed: Mapping[Place, float],
    *,
    draws: int = 2_000,
    seed: int = 1,
) -> CheckResult:
    """Draw outcomes from the priors and run the classical regressions on them.

    Parameters
    ----------
    found
        A fitted model. Flat priors have no draws, so that parameters with one (effects, and slopes in common unless
        their prior is normal) are held at their posterior means: what is tried is what all other priors add.
    columns, ssc, printed
        As for `cbec_bayes.checks.cells.predictive_cells`; the exposure's coefficients are taken from every column.
    seed
        Seed of the data, and of everything random.
    draws
        From the priors.

    Returns
    -------
    CheckResult
        It is *fine* where no statistic, replicated or printed, has a tail probability below `EXCLUDED`, and the
        outcome's range is not beyond `ABSURD`; otherwise it is *worth knowing*. It *changes the answer* where the
        priors exclude a coefficient of the exposure that the posterior's interval does not have either: they then
        stand against the data.

    Raises
    ------
    InputError
        The panel is too large; see `predictive_outcomes`.
    """
    design = found.design
    outcomes = predictive_outcomes(before_data(found, draws, seed), own_levels=False, draws=draws, seed=seed)
    rows: list[tuple[object, ...]] = []
    posterior = fitted_slopes(found).shown
    against_data = False
    for column in columns:
        try:
            prepared = prepare(design, column.terms, group=column.group, ssc=ssc)
        except InputError:
            continue
        many, own = prepared.fit(outcomes), prepared.fit(design.y[None])
        where = column.said
        exposure = design.terms[0]
        if exposure in column.terms:
            k = column.terms.index(exposure)
            there = printed.get((column.table, column.name, exposure, "estimate"), float("nan"))
            values = float(own.estimate[0, k]), there
            if np.isfinite(many.estimate[:, k]).all():
                rows.append(_row("coefficient of the exposure", where, many.estimate[:, k], values))
                slope = posterior[GROUP_ALL if column.group is None else column.group]
                outside = any(value < slope.low or value > slope.high for value in values)
                against_data |= rows[-1][-1] == "excluded" and outside
        there = printed.get((column.table, column.name, "", "r2"), float("nan"))
        rows.append(_row("R2", where, many.r2, (float(own.r2[0]), there)))
    spread = np.ptp(outcomes, axis=1) / np.ptp(design.y)
    rows.append(_row("range of the outcome over the data's", "", spread, (1.0, float("nan"))))
    table = pd.DataFrame(rows, columns=list(PRIOR_COLUMNS[:-1]))
    absurd = float(np.median(spread)) > ABSURD
    table.loc[table.index[-1], "verdict"] = "absurd" if absurd else "possible"
    table["origin"] = str(found.design.origin)
    out = table[table["verdict"] == "excluded"]
    excluded = [f"{row['statistic']}, {row['of']}" for row in out.to_dict("records")]
    low, high = table.iloc[-1][["ci_low", "ci_high"]]
    named = "; ".join(excluded) or "no replicated or printed cell"
    text = (
        f"Under the priors alone the range of the outcome is {low:.1f} to {high:.1f} times the observed range"
        f"{', which is absurdly wide' if absurd else ''}. The priors exclude {named}."
    )
    severity = Severity.CHANGES if against_data else Severity.KNOWING if absurd or excluded else Severity.FINE
    return CheckResult("prior_predictive", severity, table, "prior_predictive", text)


def _row(statistic: str, of: str, replicated: Array, values: tuple[float, float]) -> tuple[object, ...]:
    held = [against(replicated[:, None], np.array([value])) for value in values]
    out = any(np.isfinite(value) and one.p[0] < EXCLUDED for value, one in zip(values, held, strict=True))
    moments = float(held[0].mean[0]), float(held[0].low[0]), float(held[0].high[0])
    return (statistic, of, *values, *moments, "excluded" if out else "possible")
