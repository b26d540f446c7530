"""Studies: which printed tables and which panel one run reports on, read from TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from cbec_bayes.panel.alternative import Alternative, PeriodName
from cbec_bayes.panel.derived import Derived, origin_of
from cbec_bayes.panel.formula import Formula, label, read_formula
from cbec_bayes.panel.levels import require_sets
from cbec_bayes.panel.weights import WeightsKind
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.toml import (
    CsvPath,
    Flag,
    OneOrMoreTomlPaths,
    PathText,
    SomePaths,
    SomeTexts,
    Table,
    Text,
    Texts,
    TextTable,
    TomlPath,
    TomlPaths,
    find_toml,
    one_of,
    otherwise,
    read_table,
    shipped_names,
    wrong_key,
)

ROLES = ("outcome", "exposure")

MAIN = "main"
"""Name of the panel that a study asks about first, among its alternatives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSpec(Table):
    """Which columns of which files are a panel, and where each of them comes from.

    Attributes
    ----------
    files
        Tables beside the study's file, or under the package's data/, joined on unit and time.
    unit, time
        Names of columns.
    outcome, exposure, controls
        Names of columns; or what a formula says, once the study is read.
    formula
        In the place of these three, as `cbec_bayes.panel.formula.read_formula` has it; None where there is none.
    weights, weights_kind
        Column of the rows' weights, and what these say; see `cbec_bayes.panel.weights.WeightsKind`.
    cluster
        Columns that standard errors are clustered by, one or two; none for the units.
    absorb
        Effects beside those of units and periods: columns, or several at once as ``state^year``.
    scheme
        Scheme that sorts units into groups, None for no groups.
    first, last
        Periods used, None for all there are: numbers of years or of periods, or texts such as 2014Q1.
    without
        Units of the files that are left out.
    derived
        Name of a column to how it is computed from others, in the order in which they are computed.
    alternatives
        Other panels that the same question is asked of, each as what differs.
    origins
        Column to origin; a column that is not named is observed.
    convention
        Convention of the clustered standard errors.
    logarithm
        Whether the specifications of the study have the logarithm of the outcome as well.
    labels
        Column to display name.
    proxies
        Role (``outcome``, ``exposure``) to the observed columns that a reconstruction of it stays close to.
    rounding
        Column to the column that has the half-width of its rounding: what was published coarsely.
    """

    files: SomePaths
    outcome: Text = ""
    exposure: Text = ""
    controls: Texts = ()
    formula: Text | None = None
    unit: Text
    time: Text
    weights: Text | None = None
    weights_kind: Annotated[WeightsKind, one_of(tuple(WeightsKind), "kind of weights")] = WeightsKind.ANALYTIC
    cluster: Texts = ()
    absorb: Texts = ()
    scheme: CsvPath | None = None
    first: PeriodName | None = None
    last: PeriodName | None = None
    without: Texts = ()
    derived: Annotated[Mapping[str, Derived], otherwise("a table of tables is needed")] = field(default_factory=dict)
    alternatives: Annotated[tuple[Alternative, ...], otherwise("a list of tables is needed")] = ()
    origins: Annotated[
        Mapping[str, Annotated[Origin, one_of(tuple(Origin), "origin")]], otherwise("a table of texts is needed")
    ] = field(default_factory=dict)
    convention: Text
    logarithm: Flag = False
    labels: TextTable = field(default_factory=dict)
    proxies: Annotated[Mapping[str, SomeTexts], otherwise("a table is needed")] = field(default_factory=dict)
    rounding: TextTable = field(default_factory=dict)

    @property
    def panels(self) -> Mapping[str, PanelSpec]:
        """The panel and its alternatives by name, the panel itself first; none has alternatives of its own."""
        return {MAIN: replace(self, alternatives=())} | {one.name: self.under(one) for one in self.alternatives}

    @property
    def labels_of_panels(self) -> Mapping[str, str]:
        """What differs in each of `panels`, by name; of the panel itself, that it is the one that is asked about."""
        return {MAIN: "as asked"} | {one.name: one.label for one in self.alternatives}

    @property
    def is_logarithm(self) -> bool:
        """Whether the outcome is the logarithm of another column."""
        return self.outcome in self.derived and self.derived[self.outcome].log is not None

    def under(self, one: Alternative) -> PanelSpec:
        """Return the panel of an alternative; rounding is kept of the columns that it still has."""
        names = ("files", "outcome", "exposure", "controls", "formula", "first", "last")
        changed = replace(self, alternatives=(), **{k: v for k in names if (v := getattr(one, k)) is not None})
        columns = changed.columns
        return replace(changed, rounding={k: v for k, v in self.rounding.items() if k in columns})

    @property
    def measured(self) -> tuple[str, ...]:
        """Columns of the outcome, the exposure and the controls."""
        return (self.outcome, self.exposure, *self.controls)

    @property
    def absorbed(self) -> tuple[tuple[str, ...], ...]:
        """The columns of each further set of effects."""
        return tuple(tuple(part.strip() for part in names.split("^")) for names in self.absorb)

    @property
    def labelled(self) -> tuple[str, ...]:
        """Columns of the files that hold names: of units, clusters and further effects."""
        own = (name for names in (self.cluster, *self.absorbed) for name in names)
        return tuple(dict.fromkeys([self.unit, *(name for name in own if name != self.time)]))

    @property
    def regression(self) -> Formula | None:
        """What the formula says; None where there is none.

        Raises
        ------
        InputError
            It cannot be read.
        """
        if self.formula is None:
            return None
        found = read_formula(self.formula, unit=self.unit, time=self.time)
        return replace(found, weights=self.weights, weights_kind=self.weights_kind, clusters=self.cluster)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the files, or derived ones, that outcome, exposure and controls are, or are computed from."""
        formula = self.regression
        if formula is None:
            return self.measured
        every = [*formula.numeric, *formula.categories]
        return tuple(dict.fromkeys(name for name in every if name != self.weights))

    @property
    def derived_here(self) -> Mapping[str, Derived]:
        """The derived columns that this panel needs, in the order in which they are computed."""
        needed = {*self.columns, *([] if self.weights is None else [self.weights])}
        for name in reversed(tuple(self.derived)):
            if name in needed:
                needed |= set(self.derived[name].sources)
        return {name: how for name, how in self.derived.items() if name in needed}

    def origin_of(self, column: str) -> Origin:
        """Return where a column comes from; see `cbec_bayes.panel.derived.origin_of`."""
        return origin_of(column, self.derived, self.origins)


@dataclass(frozen=True, slots=True)
class Published(Table):
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
        Models that it is held against, likewise; none for the headline alone, under every reading.
    """

    tables: PathText
    reading: Text
    model: TomlPath
    sensitivity: TomlPaths = ()


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
        Other studies of the same question, by name or file, that are reported beside this one.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> cb.load_study("public").name
    'public'
    """

    path: Path
    title: str
    published: Published | None
    panel: PanelSpec | None
    beside: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return self.path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class _StudyFile(Table):
    """The file of a study; see `Study`."""

    title: Text
    beside: OneOrMoreTomlPaths = ()
    published: Published | None = None
    panel: PanelSpec | None = None


def _folder() -> Path:
    return asset_dir("data") / "studies"


def study_names() -> tuple[str, ...]:
    """Return the names of the studies that ship with the package."""
    return shipped_names(_folder())


def load_study(study: str | Path) -> Study:
    """Load a study by name, or from any TOML file by path.

    Raises
    ------
    InputError
        No such study (with a suggestion), or the file is malformed.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> study = cb.load_study("circulation")
    >>> study.panel.outcome, study.panel.exposure
    ('ln_circulation', 'zones')
    """
    return read_study(find_toml(study, _folder(), "study"))


def read_study(path: Path) -> Study:
    """Read a study from a TOML file, or raise `InputError` naming the file and the key."""
    file = read_table(path, _StudyFile)
    if file.published is None and file.panel is None:
        raise wrong_key(path, "published", "a study needs printed tables, a [panel], or both")
    panel = file.panel
    if panel is not None:
        for key, message in (*_unnamed(panel), *_unfit_columns(panel)):
            raise wrong_key(path, f"panel.{key}", message)
        panel = _with_columns(panel, path)
        for key, message in _unknown_columns(panel):
            raise wrong_key(path, f"panel.{key}", message)
    return Study(path, file.title, file.published, panel, file.beside)


def _unnamed(panel: PanelSpec) -> Iterator[tuple[str, str]]:
    """Yield the keys of columns that a panel or an alternative lacks, or has twice, and what is wrong with each."""
    if panel.formula is None:
        yield from ((key, "a text is needed") for key in ROLES if not getattr(panel, key))
    else:
        yield from ((key, "the formula says it already") for key in (*ROLES, "controls") if getattr(panel, key))
    for place, one in enumerate(panel.alternatives, 1):
        if panel.formula is not None or one.formula is not None:
            twice = [key for key in (*ROLES, "controls") if getattr(one, key) is not None]
            yield from ((f"alternatives[{place}].{key}", "the formula says it already") for key in twice)


def _with_columns(panel: PanelSpec, path: Path) -> PanelSpec:
    """Return a panel, and its alternatives, with outcome, exposure and controls as formulas say them."""

    def said(formula: str, key: str) -> tuple[str, str, tuple[str, ...]]:
        try:
            found = read_formula(formula, unit=panel.unit, time=panel.time)
        except InputError as error:
            raise wrong_key(path, f"panel.{key}", error.message) from None
        exposure, *controls = map(label, found.terms)
        return found.outcome.text, exposure, tuple(controls)

    alternatives = list(panel.alternatives)
    for place, one in enumerate(alternatives):
        if one.formula is not None:
            outcome, exposure, controls = said(one.formula, f"alternatives[{place + 1}].formula")
            alternatives[place] = replace(one, outcome=outcome, exposure=exposure, controls=controls)
    panel = replace(panel, alternatives=tuple(alternatives))
    if panel.formula is None:
        return panel
    outcome, exposure, controls = said(panel.formula, "formula")
    return replace(panel, outcome=outcome, exposure=exposure, controls=controls)


def _unfit_columns(panel: PanelSpec) -> Iterator[tuple[str, str]]:
    """Yield the keys of weights, clusters and further effects that make no sense, and what is wrong with each."""
    if panel.weights is None and panel.weights_kind is not WeightsKind.ANALYTIC:
        yield "weights_kind", "it says what the weights are, and none are named"
    try:
        require_sets(panel.cluster)
    except InputError as error:
        yield "cluster", error.message
    if panel.absorb and panel.formula is not None:
        yield "absorb", "the formula says after | of what there are effects"
    for names in panel.absorbed:
        if "" in names or set(names) <= {panel.unit, panel.time}:
            yield "absorb", f"'{'^'.join(names)}' is no set of effects beside those of units and periods"


def _unknown_columns(panel: PanelSpec) -> Iterator[tuple[str, str]]:
    """Yield the keys of a panel's tables that are no column or role of it, and what is wrong with each."""
    columns = tuple(dict.fromkeys(column for one in panel.panels.values() for column in one.columns))
    sources = (*columns, *(source for how in panel.derived.values() if how.index is None for source in how.sources))
    for name, known in (("origins", sources), ("rounding", columns), ("proxies", ROLES)):
        for key in getattr(panel, name):
            if key not in known:
                yield f"{name}.{key}", f"unknown key; {suggest(key, known)}"
    for key, how in panel.derived.items():
        if not how.is_one:
            yield f"derived.{key}", "exactly one of log, ratio and index is needed"
    if panel.logarithm and panel.is_logarithm:
        yield "logarithm", f"the outcome '{panel.outcome}' is a logarithm already"
    names = [one.name for one in panel.alternatives]
    for place, name in enumerate(names):
        if name == MAIN or name in names[:place]:
            yield f"alternatives[{place + 1}].name", f"'{name}' is the name of another panel of the study"
