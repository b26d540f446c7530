"""Which columns a user asks for: by options, or by a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cbec_bayes.panel import Roles
from cbec_bayes.panel.expressions import Piece
from cbec_bayes.panel.formula import Formula, read_formula, with_shifts
from cbec_bayes.panel.levels import require_sets
from cbec_bayes.panel.weights import WeightsKind
from cbec_bayes.panel.weights import weights_kind as weights_kind_of
from cbec_bayes.runtime.errors import InputError

COLUMNS: Mapping[str, Any] = {
    "outcome": None,
    "exposure": None,
    "controls": (),
    "unit": None,
    "time": None,
    "group": None,
    "formula": None,
    "lags": 0,
    "leads": 0,
    "slope_on": (),
    "further": (),
    "weights": None,
    "weights_kind": "analytic",
    "clusters": (),
}
"""What says which columns are meant, and what each is where it is not given."""


def asked_columns(
    *,
    outcome: str | None = None,
    exposure: str | None = None,
    controls: Sequence[str] = (),
    unit: str | None = None,
    time: str | None = None,
    group: str | None = None,
    formula: str | None = None,
    lags: int = 0,
    leads: int = 0,
    slope_on: Sequence[str] = (),
    further: Sequence[str] = (),
    weights: str | None = None,
    weights_kind: str = WeightsKind.ANALYTIC,
    clusters: Sequence[str] = (),
) -> Roles | Formula:
    """Return the columns that options name.

    Parameters
    ----------
    outcome, exposure, controls, unit, time, group
        Columns; with a formula, the exposure is one of its regressors, and unit and time are two of its effects.
    formula
        See `cbec_bayes.panel.formula.read_formula`.
    lags, leads
        How many of the exposure stand beside it.
    further
        Exposures beside the first, whose slopes are pooled as its are.
    slope_on
        Columns of characteristics of groups, on which the slopes of groups are regressed.
    weights, weights_kind
        Column of the rows' weights, and what these say; see `cbec_bayes.panel.weights.WeightsKind`.
    clusters
        Columns that standard errors are clustered by, one or two; none for the units.

    Raises
    ------
    InputError
        A column that is needed is not named, or one is named twice; the formula cannot be read; weights are of no known
        kind, or a kind is given and no weights.
    """
    require_sets(clusters)
    more: dict[str, Any] = {"weights": weights, "weights_kind": _kind(weights_kind, weights)}
    more |= {"clusters": tuple(clusters)}
    if formula is not None:
        twice = [name for name, value in {"--outcome": outcome, "--controls": controls}.items() if value]
        if twice:
            raise InputError(f"the formula names these columns already; leave out {', '.join(twice)}")
        found = read_formula(
            formula,
            exposure=None if exposure is None else (exposure, *further),
            unit=unit,
            time=time,
            group=group,
            lags=lags,
            leads=leads,
            slope_on=slope_on,
        )
        return replace(found, **more)
    if outcome is None or exposure is None or unit is None or time is None:
        named = {"--outcome": outcome, "--exposure": exposure, "--unit": unit, "--time": time}
        lacking = ", ".join(name for name, value in named.items() if value is None)
        raise InputError(f"missing options: {lacking}; give them, or a --formula")
    named_columns: dict[str, Any] = {"outcome": outcome, "exposure": exposure, "controls": tuple(controls)}
    named_columns |= {"slope_on": tuple(slope_on), "further": tuple(further)}
    roles = Roles(**named_columns, unit=unit, time=time, group=group, **more)
    return formula_of_roles(roles, lags=lags, leads=leads) if lags or leads else roles


def _kind(name: str, weights: str | None) -> WeightsKind:
    kind = weights_kind_of(name)
    if weights is None and kind is not WeightsKind.ANALYTIC:
        raise InputError("--weights-kind needs --weights as well; name the column of weights")
    return kind


def columns_of(settings: Mapping[str, Any]) -> Roles | Formula:
    """Return the columns that fit.json names; errors as `asked_columns`."""
    return asked_columns(**{name: settings.get(name, default) for name, default in COLUMNS.items()})


def formula_of_roles(roles: Roles, *, lags: int = 0, leads: int = 0) -> Formula:
    """Return columns that have roles as a formula, with lags and leads of the exposure."""
    terms = tuple((Piece(name, is_name=True),) for name in roles.regressors)
    outcome = Piece(roles.outcome, is_name=True)
    found = Formula(
        outcome=outcome,
        terms=terms,
        unit=roles.unit,
        time=roles.time,
        group=roles.group,
        slope_on=roles.slope_on,
        n_exposures=len(roles.exposures),
        weights=roles.weights,
        weights_kind=roles.weights_kind,
        clusters=roles.clusters,
        absorbed=roles.absorbed,
    )
    return with_shifts(found, lags=lags, leads=leads)
