"""The family of hierarchical panel models (MODEL.md section 2): which terms a member has, and its priors.

    y_it = alpha + (beta + b_r + c_i) d_it + x_it'(gamma + g_r) + mu_i + lambda_t + omega_rt + e_it

A model file switches each term off, fixed (flat prior, no pooling) or pooled (a scale of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cbec_bayes.bayes.model.likelihoods import SAMPLED, Likelihood
from cbec_bayes.bayes.model.prior import Prior, ScalePrior, SlopePrior
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.toml import (
    Text,
    find_toml,
    one_of,
    otherwise,
    read_table,
    shipped_names,
    table_of,
    validate_table,
    wrong_key,
)

_KIND = "panel"

Effect = Literal["fixed", "random", "correlated"]
Pooling = Literal["off", "fixed", "pooled"]

TERMS: Mapping[str, tuple[str, ...]] = {
    "unit_effect": ("fixed", "random", "correlated"),
    "time_effect": ("fixed", "random", "correlated"),
    "group_slope": ("off", "fixed", "pooled"),
    "group_control_slope": ("off", "fixed", "pooled"),
    "group_time_effect": ("off", "fixed", "pooled"),
    "unit_slope": ("off", "pooled"),
    "residual": ("normal", "by_group", "ar1"),
}
"""Terms with the choices that each has; residuals have those of `likelihoods.SAMPLED` as well."""

SCALES: Mapping[str, str] = {
    "sigma": "residual",
    "tau": "group_slope",
    "phi": "group_control_slope",
    "sigma_omega": "group_time_effect",
    "kappa": "unit_slope",
    "sigma_mu": "unit_effect",
    "sigma_lambda": "time_effect",
}
"""Symbol of each scale (MODEL.md section 1) and the term that has it."""

UNITS: Mapping[str, str] = {
    "slope": "slope",
    "control_slope": "control",
    "sigma": "outcome",
    "tau": "slope",
    "phi": "control",
    "sigma_omega": "outcome",
    "kappa": "slope",
    "sigma_mu": "outcome",
    "sigma_lambda": "outcome",
}
"""What a prior's scale is a multiple of: sd(y) / sd(d), sd(y) / sd(x_k), or sd(y)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelModel:
    """A member of the family; a name means one log density.

    Attributes
    ----------
    name
        Name of the file without its ending.
    question
        In one line, the question it answers.
    unit_effect, time_effect
        ``fixed``: flat prior. ``random``: one scale. ``correlated``: one scale about the Mundlak terms, the unit (or
        time) means of the regressors as they enter.
    group_slope, group_control_slope, group_time_effect
        Deviations by group: ``off``, ``fixed`` or ``pooled``.
    unit_slope
        A unit's own deviation in the slope of the exposure, ``off`` or ``pooled``.
    residual
        ``normal``, ``by_group`` (a scale per group), ``ar1`` within units, or one of
        `cbec_bayes.bayes.model.likelihoods.SAMPLED`.
    priors
        By name: slope, control_slope, and the scales that the member has; in units of `UNITS`.
    """

    name: str
    question: str
    unit_effect: Effect
    time_effect: Effect
    group_slope: Pooling
    group_control_slope: Pooling
    group_time_effect: Pooling
    unit_slope: Literal["off", "pooled"]
    residual: str
    priors: Mapping[str, Prior]

    @property
    def scales(self) -> tuple[str, ...]:
        """Symbols of the scales that the member has, the residual's first."""
        return tuple(symbol for symbol, term in SCALES.items() if symbol == "sigma" or self.has_scale(term))

    def has_scale(self, term: str) -> bool:
        """Whether a term other than the residual is pooled or random."""
        return str(getattr(self, term)) in ("pooled", "random", "correlated")

    @property
    def likelihood(self) -> Likelihood | None:
        """The likelihood where residuals are not normal, else None."""
        return SAMPLED.get(self.residual)

    @property
    def is_gaussian(self) -> bool:
        """Whether the collapsed engine can integrate its location parameters out."""
        return self.likelihood is None

    @property
    def eliminates_unit_slopes(self) -> bool:
        """Whether slopes of units can be integrated out like unit effects, so that any number of them can be had."""
        return self.unit_slope == "pooled" and self.unit_effect == "fixed" and self.residual in ("normal", "by_group")

    @property
    def uses_groups(self) -> bool:
        """Whether any term needs groups."""
        terms = (self.group_slope, self.group_control_slope, self.group_time_effect)
        return any(term != "off" for term in terms) or self.residual == "by_group"

    def without_groups(self) -> PanelModel:
        """Return what the member reduces to where a panel has no groups, or one: the common slope."""
        reduced = replace(
            self,
            group_slope="off",
            group_control_slope="off",
            group_time_effect="off",
            residual="normal" if self.residual == "by_group" else self.residual,
        )
        return replace(reduced, priors={k: p for k, p in self.priors.items() if k not in SCALES or k in reduced.scales})


def read_panel_model(path: Path) -> PanelModel:
    """Read a model from a TOML file, or raise `InputError` naming the file and the key."""
    terms = {name: Annotated[str, one_of(_choices(name), "choice")] for name in TERMS}
    tables = Annotated[Mapping[str, Any], otherwise("a table is needed")]
    file: Any = read_table(path, table_of({"kind": Text, "question": Text, **terms, "priors": tables}))
    if file.kind != _KIND:
        raise wrong_key(path, "kind", f"'{file.kind}' is not a model of panels; it must be '{_KIND}'")
    chosen = {name: getattr(file, name) for name in TERMS}
    model = PanelModel(name=path.stem, question=file.question, **chosen, priors={})
    needed = {name: ScalePrior if name in SCALES else SlopePrior for name in ("slope", "control_slope", *model.scales)}
    priors = validate_table(file.priors, table_of(needed), path, at=("priors",))
    return replace(model, priors={name: getattr(priors, name) for name in needed})


def _choices(term: str) -> tuple[str, ...]:
    return (*TERMS[term], *(SAMPLED if term == "residual" else ()))


def load_panel_model(model: str | Path) -> PanelModel:
    """Load a model by name, or from any TOML file by path.

    Raises
    ------
    InputError
        No such model (with a suggestion), or the file is malformed.
    """
    return read_panel_model(find_toml(model, asset_dir("models"), "model", kind=_KIND))


def panel_model_names() -> tuple[str, ...]:
    """Return the names of the models of panels that ship with the package."""
    return shipped_names(asset_dir("models"), kind=_KIND)
