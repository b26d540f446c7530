"""The family of hierarchical panel models (MODEL.md section 2): which terms a member has, and its priors.

    y_it = alpha + (beta + b_r + c_i) d_it + x_it'(gamma + g_r) + mu_i + h_i t + lambda_t + omega_rt + e_it

A model file switches each term off, fixed (flat prior, no pooling) or pooled (a scale of its own). The terms are in
`cbec_bayes.bayes.model.terms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from cbec_bayes.bayes.model.likelihoods import NORMAL, Likelihood, Residuals, residuals_of
from cbec_bayes.bayes.model.prior import Prior, ScalePrior, SlopePrior
from cbec_bayes.bayes.model.terms import TERMS, chosen_terms, parameters, scale_symbols, scales_between
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.toml import (
    Text,
    find_toml,
    one_of,
    otherwise,
    read_table,
    refusing,
    shipped_names,
    table_of,
    validate_table,
    wrong_key,
)

_KIND = "panel"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelModel:
    """A member of the family; a name means one log density.

    Attributes
    ----------
    name
        Name of the file without its ending.
    question
        In one line, the question it answers.
    choices
        By the key of the term, what the member chooses of it; see `choice`.
    priors
        By name: slope, control_slope, and the scales that the member has; in units of their parameters' `Unit`.
    assumes
        In a sentence or two, what it takes for granted, and what biases it where that does not hold; blank where the
        file does not say. It is shown beside results.
    """

    name: str
    question: str
    choices: Mapping[str, str]
    priors: Mapping[str, Prior]
    assumes: str = ""

    def choice(self, term: str) -> str:
        """Return what the member chooses of a term, by the term's key.

        Raises
        ------
        KeyError
            There is no such term; the member lacks a choice that has no default.
        """
        chosen = self.choices.get(term, TERMS[term].default)
        if chosen is None:
            raise KeyError(term)
        return chosen

    def choosing(self, **choices: str) -> PanelModel:
        """Return the member with other choices of some terms, and the same priors."""
        return replace(self, choices={**self.choices, **choices})

    def widened(self, factor: float) -> PanelModel:
        """Return the member with the priors of what sets groups and units apart multiplied by a factor.

        These are the scales between groups and between units, and the changes of slopes with characteristics of groups.
        A scale that its prior fixes stays as it is.
        """
        apart = {*scales_between(), COVARIATE_SLOPE}
        priors = self.with_prior_of(COVARIATE_SLOPE).priors
        wider = {n: prior.scaled(factor) for n, prior in priors.items() if n in apart and prior.dist != "fixed"}
        return replace(self, priors={**priors, **wider})

    @property
    def every_choice(self) -> dict[str, str]:
        """What the member chooses of every term, by key."""
        return {key: self.choice(key) for key in chosen_terms()}

    @property
    def scales(self) -> tuple[str, ...]:
        """Symbols of the scales that the member has, the residual's first."""
        there = set()
        for key, choice in self.every_choice.items():
            parameter = TERMS[key].parameter
            if parameter is not None and TERMS[key].has_scale(choice):
                there.add(parameter.name)
        return tuple(symbol for symbol in scale_symbols() if symbol in there)

    @property
    def residuals(self) -> Residuals:
        """Shape, correlation and spread of the residuals."""
        by_group = self.choice("spread") == "by_group"
        return residuals_of(self.choice("residual"), self.choice("correlation"), by_group=by_group)

    @property
    def likelihood(self) -> Likelihood | None:
        """The shape of the residuals where they are not normal, else None."""
        shape = self.residuals.shape
        return None if shape is NORMAL else shape

    @property
    def is_gaussian(self) -> bool:
        """Whether the collapsed engine can integrate its location parameters out."""
        return self.likelihood is None

    @property
    def eliminated(self) -> tuple[str, ...]:
        """Keys of the terms that are integrated out of units like their effects, so that any number can be had."""
        choices = self.every_choice.items()
        return tuple(key for key, choice in choices if self.is_gaussian and TERMS[key].is_integrated(choice))

    @property
    def has_unit_coefficients(self) -> bool:
        """Whether each unit has a coefficient of its own that is not integrated out before others are."""
        return any(TERMS[key].by_unit(choice) for key, choice in self.every_choice.items())

    @property
    def uses_groups(self) -> bool:
        """Whether any term needs groups."""
        return self.every_choice != self._choices_without_groups()

    def without_groups(self) -> PanelModel:
        """Return what the member reduces to where a panel has no groups, or one: the common slope."""
        return self.reduced(**self._choices_without_groups())

    def with_period_effects(self, effects: PeriodEffects) -> PanelModel:
        """Return what the member is where a regression has no effects of periods, or flat ones of each group."""
        if effects is PeriodEffects.COMMON:
            return self
        return self.reduced(time_effect="fixed", group_time_effect="off" if effects is PeriodEffects.NONE else "fixed")

    def with_prior_of(self, name: str, otherwise: Prior | None = None) -> PanelModel:
        """Return the member with the prior that a parameter has where a model file states none, or another one."""
        otherwise = otherwise or parameters()[name].otherwise
        return (
            self if name in self.priors or otherwise is None else replace(self, priors={**self.priors, name: otherwise})
        )

    def without_prior_of(self, name: str) -> PanelModel:
        """Return the member without the prior of a parameter that a panel has no place for."""
        return replace(self, priors={own: prior for own, prior in self.priors.items() if own != name})

    def reduced(self, **choices: str) -> PanelModel:
        """Return the member with other choices of some terms, and without the priors of scales that it loses."""
        reduced = self.choosing(**choices)
        lost = set(scale_symbols()) - set(reduced.scales)
        return replace(reduced, priors={name: prior for name, prior in self.priors.items() if name not in lost})

    def _choices_without_groups(self) -> dict[str, str]:
        return {key: TERMS[key].without_groups(choice) for key, choice in self.every_choice.items()}


def read_panel_model(path: Path) -> PanelModel:
    """Read a model from a TOML file, or raise `InputError` naming the file and the key."""
    terms = {
        key: Annotated[str, one_of(term.choices, "choice"), refusing(term.moved)]
        for key, term in chosen_terms().items()
    }
    defaults = {key: term.default for key, term in chosen_terms().items() if term.default is not None} | {"assumes": ""}
    tables = Annotated[Mapping[str, Any], otherwise("a table is needed")]
    said = {"kind": Text, "question": Text, "assumes": Text}
    file: Any = read_table(path, table_of({**said, **terms, "priors": tables}, defaults))
    if file.kind != _KIND:
        raise wrong_key(path, "kind", f"'{file.kind}' is not a model of panels; it must be '{_KIND}'")
    choices = {key: getattr(file, key) for key in terms}
    model = PanelModel(name=path.stem, question=file.question, choices=choices, priors={}, assumes=file.assumes)
    needed = [name for name, one in parameters().items() if not one.is_scale or name in model.scales]
    types = {name: ScalePrior if parameters()[name].is_scale else SlopePrior for name in needed}
    stated = [name for name in needed if parameters()[name].otherwise is None or name in file.priors]
    priors = validate_table(file.priors, table_of({name: types[name] for name in stated}), path, at=("priors",))
    return replace(model, priors={name: getattr(priors, name) for name in stated})


def load_panel_model(model: str | Path) -> PanelModel:
    """Load a model by name, or from any TOML file by path.

    Raises
    ------
    InputError
        No such model (with a suggestion), or the file is malformed.
    """
    if Path(model).suffix == ".toml":
        return read_panel_model(Path(model))
    return _shipped(str(model), asset_dir("models"), tuple(TERMS))


def panel_model_names() -> tuple[str, ...]:
    """Return the names of the models of panels that ship with the package."""
    return _names(asset_dir("models"))


@cache
def _shipped(model: str, folder: Path, terms: tuple[str, ...]) -> PanelModel:
    """Read a model that ships, once for the terms that there are: refits ask for the same ones again and again."""
    return read_panel_model(find_toml(model, folder, "model", kind=_KIND))


@cache
def _names(folder: Path) -> tuple[str, ...]:
    return shipped_names(folder, kind=_KIND)
