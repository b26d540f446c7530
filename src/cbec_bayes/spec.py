"""Frozen specifications read from TOML, validated with the file and key in the message."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, overload

from cbec_bayes.errors import InputError
from cbec_bayes.files import asset_dir, is_inside, read_toml

CI_PROB = 0.95
"""The one interval default: 95 %, equal-tailed."""

GROUP_ALL = "(all)"
GROUP_NEW = "(new)"


class Origin(StrEnum):
    """Where a number comes from; every result that leaves the program says so."""

    PRINTED = "printed"
    OBSERVED = "observed"
    RECONSTRUCTED = "reconstructed"
    SIMULATED = "simulated"


# Parameters of each family with the ones that scale with the unit of the slope; all scales are positive.
FAMILIES: Mapping[str, Mapping[str, bool]] = {
    "flat": {},
    "normal": {"mean": True, "sd": True},
    "half_normal": {"scale": True},
    "half_t": {"df": False, "scale": True},
    "half_cauchy": {"scale": True},
    "exponential": {"mean": True},
    "uniform": {"upper": True},
    "fixed": {"value": True},
}
SLOPE_FAMILIES = ("flat", "normal")
SCALE_FAMILIES = ("half_normal", "half_t", "half_cauchy", "exponential", "uniform", "fixed")


@dataclass(frozen=True, slots=True)
class Prior:
    """A prior by family and parameters.

    Attributes
    ----------
    dist
        One of `FAMILIES`.
    params
        Its parameters; in units of the slope where the model file says so, plain numbers once resolved.
    """

    dist: str
    params: Mapping[str, float]

    def scaled(self, unit: float) -> Prior:
        """Return the prior with its location and scale parameters multiplied by `unit`."""
        scales = FAMILIES[self.dist]
        return Prior(self.dist, {key: value * (unit if scales[key] else 1) for key, value in self.params.items()})

    def __str__(self) -> str:
        inside = ", ".join(f"{key} = {value:.4g}" for key, value in self.params.items())
        return f"{self.dist.replace('_', '-')}({inside})" if inside else self.dist


@dataclass(frozen=True, slots=True)
class SummaryModel:
    """The hierarchical model of printed estimates (MODEL.md section 5); a name means one log density.

    Attributes
    ----------
    name
        Name of the file without its ending.
    answers
        In one line, the question it answers.
    slope
        Prior of the common slope beta.
    between
        Prior of the between-group scale tau.
    unit
        What the priors' scales are multiplied by: a number, or ``"auto"`` for the spread of the estimates.
    """

    name: str
    answers: str
    slope: Prior
    between: Prior
    unit: float | str

    def resolved(self, unit: float) -> SummaryModel:
        """Return the model with priors in plain numbers on the data's own unit."""
        return replace(self, slope=self.slope.scaled(unit), between=self.between.scaled(unit), unit=1.0)


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """Which columns of which files are a panel, and where each of them comes from.

    Attributes
    ----------
    files
        Tables beside the study's file, or under the package's data/, joined on unit and time.
    outcome, exposure, controls, unit, time
        Names of columns.
    scheme
        Scheme that sorts units into groups, None for no groups.
    first, last
        Periods used, None for all there are.
    origins
        Column to origin; a column that is not named is observed.
    convention
        Convention of the clustered standard errors.
    labels
        Column to display name.
    proxies
        Role (``outcome``, ``exposure``) to the observed columns that a reconstruction of it stays close to.
    rounding
        Column to the column that has the half-width of its rounding: what was published coarsely.
    """

    files: tuple[str, ...]
    outcome: str
    exposure: str
    controls: tuple[str, ...]
    unit: str
    time: str
    scheme: str | None
    first: float | None
    last: float | None
    origins: Mapping[str, Origin]
    convention: str
    labels: Mapping[str, str]
    proxies: Mapping[str, tuple[str, ...]]
    rounding: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Published:
    """Printed tables and how their estimates are pooled.

    Attributes
    ----------
    tables
        Folder beside the study's file, or under the package's data/published.
    reading
        Scenario of the standard errors that leads.
    model
        Headline model: a name, or a TOML file beside the study's.
    sensitivity
        Models that it is held against, likewise.
    """

    tables: str
    reading: str
    model: str
    sensitivity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """What one run reports on: printed tables, a panel, or both.

    Attributes
    ----------
    path
        The file that it was read from.
    title
        In one line.
    published
        The printed tables, None where there are none.
    panel
        The panel, None where there is none.
    beside
        Another study, by name or file, whose classical tables are shown beside this one's, or None.
    """

    path: Path
    title: str
    published: Published | None
    panel: PanelSpec | None
    beside: str | None

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return self.path.stem


class Section:
    """A TOML table with typed access; every complaint names the file and the key."""

    def __init__(self, path: Path, values: Mapping[str, Any], prefix: str = "") -> None:
        self.path, self.values, self.prefix = path, values, prefix

    def wrong(self, key: str, message: str) -> InputError:
        """Return an `InputError` that names the file and the key."""
        return InputError(f"{self.prefix}{key}: {message}", file=self.path)

    def only(self, known: Sequence[str]) -> None:
        """Raise `InputError` where there is a key that is not known."""
        for key in self.values:
            if key not in known:
                raise self.wrong(key, f"unknown key; {suggest(key, known)}")

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text[Default: str | None](self, key: str, default: Default) -> str | Default: ...
    def text(self, key: str, default: Any = ...) -> Any:
        """Return a text that is not blank; where there is none, the default, if there is one."""
        if default is not ... and key not in self.values:
            return default
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text is needed")
        return value

    def inside(self, key: str) -> str:
        """Return the text of a path that stays within the folder it is looked for in."""
        return self._inside(key, self.text(key))

    def _inside(self, key: str, name: str) -> str:
        if not is_inside(name):
            raise self.wrong(key, f"'{name}' leads out of its folder")
        return name

    def found(self, key: str, own: str | None = None) -> str:
        """Return a path as text: of what lies beside this file, or else the name of what ships with the package.

        A name that ends with `own` is never that of what ships.
        """
        return self._found(key, self.text(key), own)

    def all_found(self, key: str, own: str | None = None, *, needed: bool = True) -> tuple[str, ...]:
        """Return several such paths."""
        return tuple(self._found(key, name, own) for name in self.texts(key, needed=needed))

    def _found(self, key: str, name: str, own: str | None) -> str:
        beside = self.path.parent.resolve() / self._inside(key, name)
        return str(beside) if beside.exists() or (own is not None and name.endswith(own)) else name

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.values.get(key)
        # Whole numbers of TOML may be larger than any float; the comparison is exact, and false for NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise self.wrong(key, "a finite number is needed")
        return float(value)

    def count(self, key: str) -> int | None:
        """Return a positive whole number, or None where there is none."""
        value = self.values.get(key)
        if value is not None and (type(value) is not int or value < 1):
            raise self.wrong(key, "a positive whole number is needed")
        return value

    def texts(self, key: str, *, needed: bool = True) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.wrong(key, "a list of texts is needed")
        if needed and not value:
            raise self.wrong(key, "a list of texts is needed, and it may not be empty")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        """Return a table of texts; one that is missing is empty."""
        value = self.values.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
            raise self.wrong(key, "a table of texts is needed")
        return dict(value)

    def section(self, key: str, *, needed: bool = True) -> Section:
        """Return a table within this one; one that is missing, and not needed, is empty."""
        value = self.values.get(key, None if needed else {})
        if not isinstance(value, Mapping):
            raise self.wrong(key, "a table is needed")
        return Section(self.path, value, f"{self.prefix}{key}.")

    def sections(self, key: str) -> tuple[Section, ...]:
        """Return a list of tables within this one, ``key[1]`` the first; one that is missing is empty."""
        values = self.values.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
            raise self.wrong(key, f"tables [[{self.prefix}{key}]] are needed")
        return tuple(Section(self.path, value, f"{self.prefix}{key}[{i}].") for i, value in enumerate(values, 1))


def suggest(name: str, known: Sequence[str]) -> str:
    """Say what there is, up to `MOST_NAMED`, and which of it was probably meant, in whatever case it was written."""
    folded = {one.casefold(): one for one in reversed(known)}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1)
    hint = f"did you mean '{folded[close[0]]}'? " if close else ""
    more = len(known) - MOST_NAMED
    return f"{hint}there are {', '.join(known[:MOST_NAMED])}" + (f" and {more} more" if more > 0 else "")


MOST_NAMED = 24
"""Names that a message lists."""


def read_prior(section: Section, families: Sequence[str]) -> Prior:
    """Read a prior of one of some families from a TOML table."""
    dist = section.text("dist")
    if dist not in families:
        raise section.wrong("dist", f"unknown prior '{dist}'; {suggest(dist, families)}")
    names = tuple(FAMILIES[dist])
    section.only(("dist", *names))
    params = {name: section.number(name) for name in names}
    for name, value in params.items():
        may_be_any = dist == "normal" and name == "mean"
        if not may_be_any and (value < 0 or (value == 0 and dist != "fixed")):
            raise section.wrong(name, f"must be positive, not {value:g}")
    return Prior(dist, params)


def read_summary_model(path: Path) -> SummaryModel:
    """Read a summary-level model from a TOML file, or raise `InputError` naming the file and the key."""
    top = Section(path, read_toml(path))
    top.only(("kind", "answers", "unit", "slope", "between"))
    if top.text("kind") != "published":
        raise top.wrong("kind", f"'{top.text('kind')}' is not a model of published estimates; it must be 'published'")
    unit = top.values.get("unit", 1.0)
    if unit != "auto" and "unit" in top.values and top.number("unit") <= 0:
        raise top.wrong("unit", "must be 'auto' or a positive number")
    return SummaryModel(
        path.stem,
        top.text("answers"),
        read_prior(top.section("slope"), SLOPE_FAMILIES),
        read_prior(top.section("between"), SCALE_FAMILIES),
        unit if unit == "auto" else float(unit),
    )


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


def study_names() -> tuple[str, ...]:
    """Return the names of the studies that ship with the package."""
    return tuple(sorted(path.stem for path in (asset_dir("data") / "studies").glob("*.toml")))


def load_study(study: str | Path) -> Study:
    """Load a study by name, or from any TOML file by path.

    Raises
    ------
    InputError
        No such study (with a suggestion), or the file is malformed.
    """
    path = Path(study)
    if path.suffix != ".toml":
        if str(study) not in study_names():
            raise InputError(f"unknown study '{study}'; {suggest(str(study), study_names())}, or name a TOML file")
        path = asset_dir("data") / "studies" / f"{study}.toml"
    return read_study(path)


def read_study(path: Path) -> Study:
    """Read a study from a TOML file, or raise `InputError` naming the file and the key."""
    top = Section(path, read_toml(path))
    top.only(("title", "beside", "published", "panel"))
    published = _published(top.section("published")) if "published" in top.values else None
    panel = _panel(top.section("panel")) if "panel" in top.values else None
    if published is None and panel is None:
        raise top.wrong("published", "a study needs printed tables, a [panel], or both")
    beside = top.found("beside", ".toml") if "beside" in top.values else None
    return Study(path, top.text("title"), published, panel, beside)


def _published(section: Section) -> Published:
    section.only(("tables", "reading", "model", "sensitivity"))
    return Published(
        section.found("tables"),
        section.text("reading"),
        section.found("model", ".toml"),
        section.all_found("sensitivity", ".toml", needed=False),
    )


def _panel(section: Section) -> PanelSpec:
    section.only(tuple(PanelSpec.__dataclass_fields__))
    origins = {}
    for column, origin in section.mapping("origins").items():
        if origin not in tuple(Origin):
            raise section.wrong(
                f"origins.{column}", f"unknown origin '{origin}'; {suggest(str(origin), tuple(Origin))}"
            )
        origins[column] = Origin(origin)
    proxies = section.section("proxies") if "proxies" in section.values else None
    if proxies is not None:
        proxies.only(("outcome", "exposure"))
    outcome, exposure, controls = (
        section.text("outcome"),
        section.text("exposure"),
        section.texts("controls", needed=False),
    )
    for table in ("origins", "rounding"):
        if table in section.values:
            section.section(table).only((outcome, exposure, *controls))
    return PanelSpec(
        section.all_found("files"),
        outcome,
        exposure,
        controls,
        section.text("unit"),
        section.text("time"),
        section.found("scheme", ".csv") if "scheme" in section.values else None,
        section.number("first") if "first" in section.values else None,
        section.number("last") if "last" in section.values else None,
        origins,
        section.text("convention"),
        section.mapping("labels"),
        {role: proxies.texts(role) for role in proxies.values} if proxies is not None else {},
        section.mapping("rounding"),
    )
