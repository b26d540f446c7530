"""Every check of one fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.checks.agreement import agreement
from cbec_bayes.checks.cells import Place, predictive_cells
from cbec_bayes.checks.comparison import (
    gaussian_members,
    left_out_groups,
    left_out_rows,
    model_comparison,
    predictions,
)
from cbec_bayes.checks.influence import leave_out
from cbec_bayes.checks.prior import prior_predictive
from cbec_bayes.checks.residuals import predictive_residuals
from cbec_bayes.checks.result import CheckResult, checks_frame
from cbec_bayes.checks.sensitivity import between_group_prior, power_scaling
from cbec_bayes.classical.tables import ColumnSpec, own_columns
from cbec_bayes.errors import InputError
from cbec_bayes.fanout import SERIAL, Executor
from cbec_bayes.spec import Origin, suggest

PREDICTIVE = ("predictive_cells", "predictive_cells_new", "predictive_residuals")
"""Names of the predictive checks."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A fit, and what it is tried against.

    Attributes
    ----------
    fit
        A fitted model, of either engine.
    how
        Convention of the clustered standard errors.
    origin
        Of the data.
    columns
        Of the classical tables; default those of `cbec_bayes.classical.tables.own_columns`.
    printed
        Printed numbers by place.
    members
        Names of the models that it is compared with; default all that the collapsed engine fits.
    others
        Fits of members that it does not, by name, which are then compared as well.
    seed
        Of everything random.
    run_by
        Who does the refits; see `cbec_bayes.fanout.executor`.
    step
        Called with a line as each refit ends.
    """

    fit: PanelFit
    how: str
    origin: Origin
    columns: Sequence[ColumnSpec] | None = None
    printed: Mapping[Place, float] = field(default_factory=dict)
    members: Sequence[str] | None = None
    others: Mapping[str, PanelFit] = field(default_factory=dict)
    seed: int = 1
    run_by: Executor = SERIAL
    step: Callable[[str], None] = lambda _: None

    @property
    def tried_columns(self) -> tuple[ColumnSpec, ...]:
        """Columns of the classical tables."""
        return own_columns(self.fit.design) if self.columns is None else tuple(self.columns)


def predictive_checks(trial: Trial) -> tuple[CheckResult, ...]:
    """Run the predictive checks: the classical tables' cells for the same and for new units, and the residuals.

    Raises
    ------
    InputError
        The panel is too large; see `cbec_bayes.bayes.predictive.predictive_outcomes`.
    """
    fit, origin = trial.fit, trial.origin
    shared = fit.design, trial.tried_columns, trial.how
    same = predictive_outcomes(fit, seed=trial.seed)
    new = predictive_outcomes(fit, new_units=True, seed=trial.seed)
    return (
        predictive_cells(*shared, same, trial.printed, origin=origin),
        predictive_cells(*shared, new, trial.printed, origin=origin, new_units=True),
        predictive_residuals(fit.design, same, origin=origin),
    )


def run_checks(trial: Trial) -> tuple[CheckResult, ...]:
    """Run every check: predictive ones, priors, agreement with the regressions, what is left out, other members.

    Errors are those of `predictive_checks`.
    """
    fit, origin, seed = trial.fit, trial.origin, trial.seed
    shared: dict[str, Any] = {"seed": seed, "run_by": trial.run_by, "step": trial.step}
    members = [*(gaussian_members() if trial.members is None else trial.members), *trial.others]
    answers = predictions(fit, members, others=trial.others, **shared)
    return (
        *predictive_checks(trial),
        prior_predictive(fit, trial.tried_columns, trial.how, trial.printed, origin=origin, seed=seed),
        agreement(fit, trial.how, origin=origin, seed=seed),
        between_group_prior(fit, origin=origin, **shared),
        power_scaling(fit, origin=origin),
        leave_out(fit, "group", origin=origin, **shared),
        leave_out(fit, "unit", origin=origin, **shared),
        left_out_rows(fit, answers, origin=origin),
        left_out_groups(fit, answers, origin=origin),
        model_comparison(fit, answers, origin=origin),
    )


@dataclass(frozen=True, slots=True)
class Checks:
    """Every check of a fit, as a table in a notebook.

    Attributes
    ----------
    results
        One per check; by name also as an item: ``checks["left_out_rows"]``.
    """

    results: tuple[CheckResult, ...]

    def __getitem__(self, name: str) -> CheckResult:
        by_name = {result.name: result for result in self.results}
        if name not in by_name:
            raise InputError(f"unknown check '{name}'; {suggest(name, tuple(by_name))}")
        return by_name[name]

    def frame(self) -> pd.DataFrame:
        """Return one row per check: check, passed, text."""
        return checks_frame(self.results)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False))


def check(fit: PanelFit, how: str = "reghdfe", *, seed: int = 1, run_by: Executor = SERIAL) -> Checks:
    """Try a fit; the Python form of `cbec-bayes check`.

    Parameters
    ----------
    fit
        A fitted model, of either engine.
    how
        Convention of the clustered standard errors.
    seed
        Of everything random.
    run_by
        Who does the refits; see `cbec_bayes.fanout.executor`.

    Raises
    ------
    InputError
        The panel is too large; see `cbec_bayes.bayes.predictive.predictive_outcomes`.
    """
    return Checks(run_checks(Trial(fit, how, Origin(fit.tree.attrs["origin"]), seed=seed, run_by=run_by)))
