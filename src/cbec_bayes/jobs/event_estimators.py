"""The classical estimators of an event study, each by itself: one that a panel is too small for leaves a note."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cbec_bayes.classical.events.gardner import gardner_path
from cbec_bayes.classical.events.paths import (
    GARDNER,
    SATURATED,
    SUN_ABRAHAM,
    TWFE,
    EffectPath,
    SaturatedFit,
    fit_saturated,
    path_of_cells,
    twfe_path,
)
from cbec_bayes.classical.events.pretrends import PretrendTest, bias_reduced_test, clustered_test
from cbec_bayes.classical.events.weights import TwoWayWeights, two_way_weights
from cbec_bayes.panel.adoption import Adoption
from cbec_bayes.runtime.errors import InputError

NAMES = {
    TWFE: "two-way fixed effects",
    SUN_ABRAHAM: "Sun and Abraham",
    GARDNER: "Gardner's two stages",
    SATURATED: "the saturated regression",
}
"""What sentences call the estimators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classical:
    """What the classical estimators say.

    Attributes
    ----------
    paths
        Effects of all units by event time, of the estimators that the panel is large enough for.
    of_groups
        Effects in each group, by its label, under the saturated regression.
    saturated
        That regression; None where the panel is too small for it.
    weights
        Weights of cells in the two-way coefficient.
    tests
        Tests of leads.
    notes
        Which estimators are missing, and why.
    """

    paths: tuple[EffectPath, ...]
    of_groups: tuple[tuple[str, EffectPath], ...]
    saturated: SaturatedFit | None
    weights: TwoWayWeights
    tests: tuple[PretrendTest, ...]
    notes: tuple[str, ...]


def classical_estimators(adoption: Adoption, ssc: str) -> Classical:
    """Run every classical estimator.

    Parameters
    ----------
    adoption
        The rows.
    ssc
        Convention of the clustered standard errors.

    Raises
    ------
    InputError
        None of them can be run.
    """
    missed: dict[str, str] = {}
    with_leads = _tried(SUN_ABRAHAM, lambda: fit_saturated(adoption, ssc, leads=True), missed)
    saturated = _tried(SATURATED, lambda: fit_saturated(adoption, ssc, leads=False), missed)
    paths = (
        _tried(TWFE, lambda: twfe_path(adoption, ssc), missed),
        None if with_leads is None else path_of_cells(SUN_ABRAHAM, with_leads),
        _tried(GARDNER, lambda: gardner_path(adoption), missed),
        None if saturated is None else path_of_cells(SATURATED, saturated),
    )
    found = tuple(path for path in paths if path is not None)
    if TWFE in missed and saturated is None:
        raise InputError(missed[TWFE])
    return Classical(
        paths=found,
        of_groups=_of_groups(adoption, ssc),
        saturated=saturated,
        weights=two_way_weights(adoption),
        tests=tuple(test for path in found for test in _tests(adoption, path, ssc)),
        notes=tuple(f"Left out is {NAMES[name]}: {why}." for name, why in missed.items()),
    )


def _tried[Result](name: str, run: Callable[[], Result], missed: dict[str, str]) -> Result | None:
    """Return what an estimator finds; None, with the reason in `missed`, where it cannot be run."""
    try:
        return run()
    except InputError as error:
        missed[name] = error.message
        return None


def _of_groups(adoption: Adoption, ssc: str) -> tuple[tuple[str, EffectPath], ...]:
    """Return the saturated regression's effects in every group with treated rows, where cells by group leave errors."""
    design = adoption.design
    if design.group is None or len(design.groups) < 2:
        return ()
    fit = _tried(SATURATED, lambda: fit_saturated(adoption, ssc, leads=False, by_group=True), {})
    if fit is None:
        return ()
    there = [r for r in range(len(design.groups)) if (fit.cells.group == r).any()]
    return tuple((design.groups[r], path_of_cells(SATURATED, fit, r)) for r in there)


def _tests(adoption: Adoption, path: EffectPath, ssc: str) -> tuple[PretrendTest, ...]:
    """Return the tests of a path's leads; those of the two stages are residuals of the rows that made them."""
    if path.estimator not in (TWFE, SUN_ABRAHAM):
        return ()
    return clustered_test(path, len(adoption.design.units)), bias_reduced_test(adoption, path.estimator, ssc)
