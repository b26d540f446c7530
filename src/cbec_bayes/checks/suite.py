"""Every check of one fitted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.checks.agreement import agreement
from cbec_bayes.checks.cells import Place, predictive_cells
from cbec_bayes.checks.influence import leave_out
from cbec_bayes.checks.prior import prior_predictive
from cbec_bayes.checks.residuals import predictive_residuals
from cbec_bayes.checks.result import CheckResult
from cbec_bayes.checks.sensitivity import between_group_prior
from cbec_bayes.classical.tables import ColumnSpec, own_columns
from cbec_bayes.spec import Origin

PREDICTIVE = ("predictive_cells", "predictive_cells_new", "predictive_residuals")
"""Names of the predictive checks."""


def predictive_checks(
    fit: PanelFit,
    how: str,
    *,
    origin: Origin,
    columns: Sequence[ColumnSpec] | None = None,
    printed: Mapping[Place, float] | None = None,
    seed: int = 1,
) -> tuple[CheckResult, ...]:
    """Run the predictive checks: the classical tables' cells for the same and for new units, and the residuals.

    Parameters
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
    seed
        Of everything random.

    Raises
    ------
    InputError
        The panel is too large; see `cbec_bayes.bayes.predictive.predictive_outcomes`.
    """
    design = fit.design
    chosen = own_columns(design) if columns is None else tuple(columns)
    known = dict(printed or {})
    same = predictive_outcomes(fit, seed=seed)
    new = predictive_outcomes(fit, new_units=True, seed=seed)
    return (
        predictive_cells(design, chosen, how, same, known, origin=origin),
        predictive_cells(design, chosen, how, new, known, origin=origin, new_units=True),
        predictive_residuals(design, same, origin=origin),
    )


def run_checks(
    fit: PanelFit,
    how: str,
    *,
    origin: Origin,
    columns: Sequence[ColumnSpec] | None = None,
    printed: Mapping[Place, float] | None = None,
    seed: int = 1,
) -> tuple[CheckResult, ...]:
    """Run every check: predictive ones, priors, agreement with the regressions, leave-one-out refits.

    Parameters and errors are those of `predictive_checks`.
    """
    chosen = own_columns(fit.design) if columns is None else tuple(columns)
    return (
        *predictive_checks(fit, how, origin=origin, columns=columns, printed=printed, seed=seed),
        prior_predictive(fit, chosen, how, dict(printed or {}), origin=origin, seed=seed),
        agreement(fit, how, origin=origin, seed=seed),
        between_group_prior(fit, origin=origin, seed=seed),
        leave_out(fit, "group", origin=origin, seed=seed),
        leave_out(fit, "unit", origin=origin, seed=seed),
    )
