"""Models of printed estimates, read from TOML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cbec_bayes.bayes.model.prior import SCALE_FAMILIES, SLOPE_FAMILIES, Prior, read_prior
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import asset_dir, read_toml
from cbec_bayes.runtime.toml import Section


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
        What the priors' scales are multiplied by: a number, or ``"auto"`` for the spread of the estimates.
    """

    name: str
    question: str
    slope: Prior
    between: Prior
    unit: float | str

    def resolved(self, unit: float) -> SummaryModel:
        """Return the model with priors in plain numbers on the data's own unit."""
        return replace(self, slope=self.slope.scaled(unit), between=self.between.scaled(unit), unit=1.0)


def model_names() -> tuple[str, ...]:
    """Return the names of the models of printed estimates that ship with the package."""
    paths = sorted(asset_dir("models").glob("*.toml"))
    return tuple(path.stem for path in paths if read_toml(path).get("kind") == "published")


def load_summary_model(model: str | Path) -> SummaryModel:
    """Load a summary-level model by name, or from any TOML file by path.

    Raises
    ------
    InputError
        No such model (with a suggestion), or the file is malformed.
    """
    path = Path(model)
    if path.suffix != ".toml":
        if str(model) not in model_names():
            raise InputError(f"unknown model '{model}'; {suggest(str(model), model_names())}")
        path = asset_dir("models") / f"{model}.toml"
    return read_summary_model(path)


def read_summary_model(path: Path) -> SummaryModel:
    """Read a summary-level model from a TOML file, or raise `InputError` naming the file and the key."""
    top = Section(path, read_toml(path))
    top.only(("kind", "question", "unit", "slope", "between"))
    if top.text("kind") != "published":
        raise top.wrong("kind", f"'{top.text('kind')}' is not a model of published estimates; it must be 'published'")
    unit = top.values.get("unit", 1.0)
    if unit != "auto" and "unit" in top.values and top.number("unit") <= 0:
        raise top.wrong("unit", "must be 'auto' or a positive number")
    return SummaryModel(
        path.stem,
        top.text("question"),
        read_prior(top.section("slope"), SLOPE_FAMILIES),
        read_prior(top.section("between"), SCALE_FAMILIES),
        unit if unit == "auto" else float(unit),
    )
