"""A fit from Python: of a design, of a panel, or of a formula and a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.bayes import fit as engines
from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel import Panel, make_panel, read_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.formula import Formula, read_formula
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.panel.weights import WeightsKind
from cbec_bayes.runtime.errors import InputError


def fit(
    what: Design | PanelMoments | Panel | Formula | str,
    model: str | PanelModel | None = None,
    *,
    data: pd.DataFrame | Path | str | None = None,
    exposure: str | Sequence[str] | None = None,
    unit: str | None = None,
    time: str | None = None,
    group: str | None = None,
    slope_on: Sequence[str] = (),
    weights: str | None = None,
    weights_kind: str = WeightsKind.ANALYTIC,
    reading: Reading = READING,
    **sampling: Any,
) -> PanelFit:
    """Fit a member of the family.

    Parameters
    ----------
    what
        A formula, as ``"log(y) ~ x + log(z) + i(sector) | firm + year"``, see `cbec_bayes.read_formula`; a panel; its
        design, from `cbec_bayes.make_design`; or its moments, from `cbec_bayes.gather`.
    model
        A model or the name of one; see `cbec_bayes.bayes.model.family`. Default `robust` as far as the panel carries
        it, and `partial_pooling` of moments; see `cbec_bayes.bayes.model.headline`.
    data
        With a formula: a frame, or a file. Units and periods that the formula does not name are those of its index.
    exposure, unit, time, group, slope_on
        With a formula: columns that it does not name, or that its order does not tell; see `cbec_bayes.read_formula`.
    weights, weights_kind
        With a formula: the column of the rows' weights, and whether they are ``"analytic"``, an error having the
        variance sigma^2 / w, or ``"frequency"``, a row standing for w equal ones. A panel has them among its roles.
    reading
        How the data is to be read; see `cbec_bayes.panel.Reading`.
    **sampling
        ``engine``, ``draws``, ``chains``, ``seed`` and ``on_progress``, as in `cbec_bayes.bayes.fit.fit`.

    Returns
    -------
    PanelFit
        Its gates are not yet enforced: call ``fit.diagnostics.require()``.

    Raises
    ------
    InputError
        The formula or the data cannot be used; a slope is not identified; the engine cannot carry the model.
    GateError
        The posterior of the scales has no mode.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> fit.diagnostics.require()
    >>> cb.effects(fit)[["group", "mean"]].round(1)
           group  mean
    0  (average)   0.8
    1       food   0.5
    2      metal   0.9
    3      paper   1.2
    4      (all)   0.9
    5      (new)   0.9
    """
    given: dict[str, object] = {"data": data, "exposure": exposure, "unit": unit, "time": time, "group": group}
    given |= {"slope_on": slope_on or None, "weights": weights}
    if isinstance(what, str):
        first, second = _of_index(data, what)
        unit, time = unit or first, time or second
        what = read_formula(what, exposure=exposure, unit=unit, time=time, group=group, slope_on=slope_on)
        what = replace(what, weights=weights, weights_kind=weights_kind)
        given = {}
    if isinstance(what, Formula):
        named = [name for name, value in given.items() if value is not None and name != "data"]
        if named:
            raise InputError(f"the formula states these itself; leave out {', '.join(named)}")
        if data is None:
            raise InputError("a formula needs a data frame: write fit(formula, data=frame)")
        if isinstance(data, pd.DataFrame):
            what = make_panel(data, what, reading=reading)
        else:
            what = read_panel(data, what, reading=reading)
    elif any(value is not None for value in given.values()):
        raise InputError("data, exposure, unit, time, group, slope_on and weights may be given with a formula only")
    return engines.fit(make_design(what) if isinstance(what, Panel) else what, model, **sampling)


def _of_index(data: object, formula: str) -> tuple[str | None, str | None]:
    """Return the levels of a frame's index as units and periods, unless the formula has other effects than these."""
    if not isinstance(data, pd.DataFrame) or not isinstance(data.index, pd.MultiIndex) or data.index.nlevels != 2:
        return None, None
    unit, time = (None if name is None else str(name) for name in data.index.names)
    _, bar, effects = formula.partition("|")
    named = [name.strip(" `") for name in effects.replace("^", "+").split("+")]
    return (unit, time) if not bar or unit in named else (None, None)
