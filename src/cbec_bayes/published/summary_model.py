"""Models of printed estimates, read from TOML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cbec_bayes.bayes.model.prior import Prior, ScalePrior, SlopePrior
from cbec_bayes.published.between_shape import NORMAL, BetweenShape, ShapeTable
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.toml import Table, Text, find_toml, otherwise, read_table, shipped_names, wrong_key

_KIND = "published"


@dataclass(frozen=True, slots=True)
class SummaryModel:
    """The hierarchical model of printed estimates (MODEL.md section 5); a name means one log density.

    Attributes
    ----------
    name
        Name of the file without its ending.
    question
        In one line, the question it answers.
    slope
        Prior of the common slope beta.
    between
        Prior of the between-group scale tau.
    unit
        What the priors' scales are multiplied by: a number, or ``"auto"`` for twice the typical deviation of the
        estimates from their mean (`cbec_bayes.published.spread.typical_spread`).

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> cb.load_summary_model("published_half_t").name
    'published_half_t'
    """

    name: str
    question: str
    slope: Prior
    between: Prior
    unit: float | str

    def resolved(self, unit: float) -> SummaryModel:
        """Return the model with priors in plain numbers on the data's own unit."""
        return replace(self, slope=self.slope.scaled(unit), between=self.between.scaled(unit), unit=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustModel(SummaryModel):
    """The same with a distribution of slopes between groups that is not normal.

    Attributes
    ----------
    shape
        Its shape; tau is its scale.
    """

    shape: BetweenShape


def between_shape(model: SummaryModel) -> BetweenShape:
    """Return the shape of the distribution between groups."""
    return model.shape if isinstance(model, RobustModel) else NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelFile(Table):
    """The file of a model of printed estimates; see `SummaryModel`."""

    kind: Text
    question: Text
    unit: Annotated[
        Literal["auto"] | Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)],
        otherwise("'auto' or a positive number is needed"),
    ] = 1.0
    slope: SlopePrior
    between: ScalePrior
    between_shape: ShapeTable = NORMAL


def model_names() -> tuple[str, ...]:
    """Return the names of the models of printed estimates that ship with the package."""
    return shipped_names(asset_dir("models"), kind=_KIND)


def load_summary_model(model: str | Path) -> SummaryModel:
    """Load a summary-level model by name, or from any TOML file by path.

    Raises
    ------
    InputError
        No such model (with a suggestion), or the file is malformed.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> print(cb.load_summary_model("published_half_normal").between)
    half-normal(scale = 0.5)
    """
    return read_summary_model(find_toml(model, asset_dir("models"), "model", kind=_KIND))


def read_summary_model(path: Path) -> SummaryModel:
    """Read a summary-level model from a TOML file, or raise `InputError` naming the file and the key."""
    file = read_table(path, _ModelFile)
    if file.kind != _KIND:
        raise wrong_key(path, "kind", f"'{file.kind}' is not a model of published estimates; it must be '{_KIND}'")
    if file.between_shape == NORMAL:
        return SummaryModel(path.stem, file.question, file.slope, file.between, file.unit)
    return RobustModel(path.stem, file.question, file.slope, file.between, file.unit, shape=file.between_shape)
