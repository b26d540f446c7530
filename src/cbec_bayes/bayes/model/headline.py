"""The member that is fitted where none is named: as rich as the panel carries, and as can be fitted in minutes."""

from __future__ import annotations

from cbec_bayes.bayes.model.blocks import MANY_UNITS
from cbec_bayes.bayes.model.carried import Carried, carried
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.model.terms import TERMS
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.design import Design

HEADLINE = "robust"
"""Member that is fitted where none is named."""

HEADLINE_OF_MOMENTS = "partial_pooling"
"""The same where there are no rows, or very many: moments carry it, whatever the number of rows."""

MAX_GROUPS = 12
"""Groups up to which each has a spread, slopes of controls and effects of periods of its own: 20 took many minutes."""

MAX_OF_GROUPS = 250
"""Slopes of controls and effects of periods of all groups together, up to which there are any."""

MAX_WORK = 2e7
"""Units times squared coefficients up to which units have slopes, trends and correlated errors: some three minutes."""

MAX_TABULATED = 1e9
"""Units times squared columns of a group, up to which the same holds where `MANY_UNITS` are tabulated: minutes."""


def headline(panel: Design | PanelMoments) -> Carried:
    """Return the member that is fitted where none is named, and a sentence for all that it lacks.

    Parameters
    ----------
    panel
        Rows, or moments without rows.

    Notes
    -----
    It is `HEADLINE` without the terms that the panel cannot carry, see `cbec_bayes.bayes.model.carried`, and without
    those that would take hours. A member that is named is fitted whatever it takes.
    """
    if isinstance(panel, PanelMoments):
        said = (
            f"No model was named. The default '{HEADLINE}' needs rows, which moments do not hold; the model "
            f"fitted is '{HEADLINE_OF_MOMENTS}'."
        )
        return Carried(load_panel_model(HEADLINE_OF_MOMENTS), (said,))
    told = carried(load_panel_model(HEADLINE), panel)
    dear = _too_dear(told.model, panel)
    model = told.model.reduced(**{key: str(TERMS[key].default) for key in dear})
    n_units, n_groups = len(panel.units), len(panel.groups)
    if _takes_long(model, panel):
        said = (
            f"No model was named. The default '{HEADLINE}' takes long with {n_units} units in {len(panel.times)} "
            "periods; the "
            f"model fitted is '{HEADLINE_OF_MOMENTS}'."
        )
        return Carried(load_panel_model(HEADLINE_OF_MOMENTS), (said,))
    if not dear:
        return told
    names = " and ".join(TERMS[key].label for key in dear)
    said = (
        f"{names[0].upper()}{names[1:]} are left out, because they take long with {n_groups} groups in "
        f"{len(panel.times)} periods; --model {HEADLINE} includes them."
    )
    return Carried(model, (*told.left_out, said))


def _takes_long(model: PanelModel, design: Design) -> bool:
    """Whether a member takes more than some minutes; see `cbec_bayes.bayes.many_units` for what many units take."""
    n_units = float(len(design.units))
    own = [model.choice(key) for key in ("unit_slope", "unit_trend")]
    if n_units >= MANY_UNITS and "fixed" not in own and (model.residuals.correlated or "pooled" in own):
        return n_units * float(2 + len(design.terms) + len(design.times)) ** 2 > MAX_TABULATED
    return n_units * float(_n_coefficients(model, design)) ** 2 > MAX_WORK


def _too_dear(model: PanelModel, design: Design) -> tuple[str, ...]:
    """Return the keys of the terms of groups that would take hours."""
    many = len(design.groups) > MAX_GROUPS
    own = len(design.groups) * (len(design.times) + len(design.controls))
    found = ["group_control_slope", "group_time_effect"] if many or own > MAX_OF_GROUPS else []
    found += ["spread"] if many else []
    return tuple(key for key in found if model.choice(key) != TERMS[key].default)


def _n_coefficients(model: PanelModel, design: Design) -> int:
    """Return about how many coefficients a member has beside those of units."""
    n_groups, n_times, n_controls = len(design.groups), len(design.times), len(design.controls)
    own = {"group_slope": len(design.exposures), "group_control_slope": n_controls, "group_time_effect": n_times}
    return len(design.terms) + n_times + sum(n_groups * n for key, n in own.items() if model.choice(key) != "off")
