"""Studies: which printed tables and which panel one run reports on, read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import asset_dir, read_toml
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.toml import Section


@dataclass(frozen=True, slots=True, kw_only=True)
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
        files=section.all_found("files"),
        outcome=outcome,
        exposure=exposure,
        controls=controls,
        unit=section.text("unit"),
        time=section.text("time"),
        scheme=section.found("scheme", ".csv") if "scheme" in section.values else None,
        first=section.number("first") if "first" in section.values else None,
        last=section.number("last") if "last" in section.values else None,
        origins=origins,
        convention=section.text("convention"),
        labels=section.mapping("labels"),
        proxies={role: proxies.texts(role) for role in proxies.values} if proxies is not None else {},
        rounding=section.mapping("rounding"),
    )
