"""The terms of the family: one file each, and one entry here, which everything else reads."""

from __future__ import annotations

from cbec_bayes.bayes.model.terms.absorbed_effect import AbsorbedEffect
from cbec_bayes.bayes.model.terms.control_slope import ControlSlope
from cbec_bayes.bayes.model.terms.covariate_slope import CovariateSlope
from cbec_bayes.bayes.model.terms.exposure_slope import ExposureDeviation, ExposureSlope
from cbec_bayes.bayes.model.terms.group_control_slope import GroupControlSlope
from cbec_bayes.bayes.model.terms.group_slope import GroupSlope
from cbec_bayes.bayes.model.terms.group_time_effect import GroupTimeEffect
from cbec_bayes.bayes.model.terms.residual import ErrorCorrelation, Residual, Spread
from cbec_bayes.bayes.model.terms.slope import Slope
from cbec_bayes.bayes.model.terms.term import Choices, Parameter, Term
from cbec_bayes.bayes.model.terms.time_effect import TimeEffect
from cbec_bayes.bayes.model.terms.unit_effect import UnitEffect, unit_effects
from cbec_bayes.bayes.model.terms.unit_slope import UnitSlope
from cbec_bayes.bayes.model.terms.unit_trend import UnitTrend

TERMS: dict[str, Term] = {
    term.key: term
    for term in (
        Slope(),
        ControlSlope(),
        CovariateSlope(),
        ExposureSlope(),
        UnitEffect(),
        TimeEffect(),
        AbsorbedEffect(),
        GroupSlope(),
        ExposureDeviation(),
        GroupControlSlope(),
        GroupTimeEffect(),
        UnitSlope(),
        UnitTrend(),
        Residual(),
        ErrorCorrelation(),
        Spread(),
    )
}
"""Every term by its key, in the order in which coefficients stand: flat ones first, then pooled ones."""


def chosen_terms() -> dict[str, Term]:
    """Return the terms that a model file has a choice of, by key."""
    return {key: term for key, term in TERMS.items() if term.choices}


def parameters() -> dict[str, Parameter]:
    """Return everything that has a prior in a model file, by name: locations, then scales.

    The residual's scale comes first, then those of deviations that can be off, then those of effects. Draws depend on
    this order.
    """

    def rank(term: Term) -> int:
        assert term.parameter is not None
        if not term.parameter.is_scale:
            return 0
        return 1 if term.key == "residual" else 2 if "off" in term.choices else 3

    having = sorted((term for term in TERMS.values() if term.parameter is not None), key=rank)
    return {term.parameter.name: term.parameter for term in having if term.parameter is not None}


def scale_symbols() -> tuple[str, ...]:
    """Return the symbols of all scales, in the order of `parameters`."""
    return tuple(name for name, parameter in parameters().items() if parameter.is_scale)


def scales_between() -> tuple[str, ...]:
    """Return the symbols of the scales of deviations between groups or units, which a member may be without."""
    deviations = [term.parameter for term in TERMS.values() if "off" in term.choices and term.parameter is not None]
    return tuple(parameter.name for parameter in deviations if parameter.is_scale)


def is_scale(name: str) -> bool:
    """Whether a parameter of a fit, as ``tau`` or ``phi[lngdp]``, is a scale."""
    return name.partition("[")[0] in scale_symbols()


def term_of(variable: str) -> Term | None:
    """Return the term that a variable of the posterior belongs to, None where it is no term's."""
    name = variable.partition("[")[0]
    return next((term for term in TERMS.values() if name in term.variables), None)


__all__ = [
    "TERMS",
    "Choices",
    "Parameter",
    "Term",
    "chosen_terms",
    "is_scale",
    "parameters",
    "scale_symbols",
    "scales_between",
    "term_of",
    "unit_effects",
]
