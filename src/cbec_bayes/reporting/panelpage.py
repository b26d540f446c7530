"""The report of a fit's folder: one HTML page of a user's own panel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.checks import Severity, by_severity
from cbec_bayes.checks.suite import CHECKS, title_of
from cbec_bayes.classical.tables import MOST_GROUPS
from cbec_bayes.estimands import leaves_zero_out
from cbec_bayes.jobs.check import CHECK_FILES
from cbec_bayes.jobs.compare import COMPARE_FILES
from cbec_bayes.jobs.fit_settings import POSTERIOR
from cbec_bayes.jobs.fit_tables import FILES, FittedPanel, tabulate
from cbec_bayes.jobs.report import ReportedFit, report_fit
from cbec_bayes.jobs.specifications import COMMAND
from cbec_bayes.jobs.specifications import FILES as TABLES
from cbec_bayes.panel import Panel
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.checkfigures import draw
from cbec_bayes.reporting.files import TABLE_FILES, figure_files, table_files
from cbec_bayes.reporting.paneltables import MOST_DRAWN, own_regressions, panel_tables, shown_groups
from cbec_bayes.reporting.specifications import CURVES, curve_files
from cbec_bayes.reporting.tables import probability, slope_decimals, with_interval
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.folder import OutFolder
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, NO_GROUPS, level
from cbec_bayes.runtime.manifest import FIT
from cbec_bayes.runtime.receipts import content_digest
from cbec_bayes.runtime.versions import versions
from cbec_bayes.specifications.conclusions import conclusion_sentences

FILE = "report.html"

SPECIFICATION_FILES = (*TABLES, *CURVES)
"""Files that the command `specifications` writes as well."""

PAGE_FILES = (FILE, "figures/*.svg", *TABLE_FILES)
"""Files that the page brings, by name or by pattern."""


def render_panel(found: ReportedFit) -> dict[str, str | bytes]:
    """Render everything that `report_folder` found; returns the files by name, the page first."""
    fitted = found.fitted
    design = fitted.fit.design
    tables = panel_tables(found, slope_decimals(fitted.effects))
    drawn = {
        "forest": _forest(fitted),
        "path": _path(found),
        "learned": figures.prior_posterior(found.learned, "Scales before and after the data")
        if len(found.learned)
        else None,
    }
    specified = found.specified
    curves = {} if specified is None else curve_files(specified.specifications, specified.exposure, prob=specified.ci)
    checks = {one.name: draw(one, title_of(one.name), design.terms[0]) for one in found.checks.results}
    html = render_template(
        "panel.html.j2",
        outcome=design.outcome,
        exposure=design.terms[0],
        model=fitted.fit.model,
        period_effects=_period_effects(fitted),
        origin=design.origin,
        n_obs=design.n_obs,
        n_units=len(design.units),
        n_times=len(design.times),
        n_groups=len(design.groups),
        answer=panel_answer(found),
        n_hidden=shown_groups(fitted.effects)[1],
        most_groups=MOST_GROUPS,
        tables=tables,
        **drawn,
        curves=list(curves.values()),
        lattice_sentences=() if specified is None else specified.sentences,
        path_gates="" if found.path is None else found.path.gates,
        check_figures=_of_checks(checks, shown=True),
        more_check_figures=_of_checks(checks, shown=False),
        notes=fitted.notes,
        ssc=fitted.ssc,
        ci=level(fitted.options.ci),
        data=Path(str(fitted.settings["data"])).name if "data" in fitted.settings else None,
        settings=dict(fitted.settings),
        versions=versions(),
    )
    return {
        FILE: html,
        **found.compared.files(),
        **found.checks.files(),
        **figure_files(drawn | checks),
        **({} if specified is None else specified.files() | curves),
        **table_files(tables),
    }


def _period_effects(fitted: FittedPanel) -> str:
    """Say which effects of periods the model has."""
    match fitted.fit.design.period_effects:
        case PeriodEffects.NONE:
            return "none"
        case PeriodEffects.BY_GROUP:
            return "fixed, of each group"
    return fitted.fit.model.choice("time_effect")


def _forest(fitted: FittedPanel) -> str:
    """Draw each group's own regression beside its posterior."""
    effects, _ = shown_groups(fitted.effects)
    exposure = fitted.fit.design.terms[0]
    own = own_regressions(fitted.classical, exposure, effects["group"])
    ci = fitted.options.ci
    beside = f"own regression, clustered {level(ci)} interval"
    return figures.forest(effects, own, f"slope of {exposure}", beside, prob=ci)


def _path(found: ReportedFit) -> str | None:
    """Draw the shrinkage path; None where there is none, or its lines are too many to be told apart."""
    path, density = found.path, found.tau_density
    if path is None or density is None or path.is_empty or len(path.labels) > MOST_DRAWN:
        return None
    return figures.path(
        labels=path.labels,
        tau=path.tau,
        means=path.means,
        density=density,
        complete=path.complete,
        xlabel=f"sd of slopes between groups, τ ({found.fitted.fit.design.terms[0]})",
    )


def _of_checks(drawn: Mapping[str, str | None], *, shown: bool) -> list[tuple[str, str]]:
    """Return title and drawing of the checks whose figures are shown at once, or folded away."""
    at_once = {check.name for check in CHECKS if check.shown}
    return [(title_of(name), svg) for name, svg in drawn.items() if svg is not None and (name in at_once) is shown]


def report(
    found: PanelFit,
    out: Path | str,
    ssc: str = "reghdfe",
    *,
    panel: Panel | None = None,
    seed: int = 1,
    executor: Executor = SERIAL,
) -> list[Path]:
    """Write the report of a fit: one offline page and its parts; the Python form of `cbec-bayes report`.

    Parameters
    ----------
    found
        A fitted model, of either engine.
    out
        Folder, made if missing.
    ssc
        Convention of the clustered standard errors.
    panel
        That the design is of: the page then has its ledger and its notes.
    seed
        Seed of everything random.
    executor
        Who does the refits; see `cbec_bayes.runtime.fanout.open_executor`.

    Returns
    -------
    list of Path
        The files written, the page first.

    Raises
    ------
    GateError
        The fit misses one of its gates.
    InputError
        What is in the folder may not be replaced; see `cbec_bayes.runtime.folder.OutFolder`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> few = frame[frame["firm"] < "firm 07"]
    >>> fit = cb.fit("sales ~ price | firm + year", "complete_pooling", data=few)
    >>> files = cb.report(fit, "results")
    >>> files[0].name
    'report.html'
    """
    found.diagnostics.require()
    fitted = tabulate(found, ssc, panel=panel, seed=seed)
    files = fitted.files()
    place = OutFolder(
        path=Path(out),
        commands=("report", FIT, "check", "compare", COMMAND),
        names=[*PAGE_FILES, *COMPARE_FILES, *CHECK_FILES, *FILES, *SPECIFICATION_FILES],
        of=content_digest(files[POSTERIOR]),
    )
    place.vet()
    page = render_panel(report_fit(fitted, executor=executor))
    weighed = {name: held for name, held in page.items() if name in SPECIFICATION_FILES}
    page = {name: held for name, held in page.items() if name not in weighed}
    place.write({"report": page, COMMAND: weighed, FIT: files})
    return [place.path / name for name in (*page, *weighed, *files)]


def panel_answer(found: ReportedFit) -> tuple[str, ...]:
    """Say what holds under every specification, what the fitted member says, what checks say, and if groups differ.

    Each paragraph says under which model its numbers are, so that no two contradict each other.
    """
    beside = () if found.fitted.neighbours is None else found.fitted.neighbours.said
    first = " ".join([_average_sentence(found.fitted), *beside])
    groups = _groups_sentence(found.fitted)
    regressed = found.fitted.slope_regression
    characteristics = () if regressed is None else (" ".join(regressed.said),)
    differ = () if found.compared.differences.empty else (" ".join(found.compared.said),)
    return *_lattice_sentence(found), first, _checks_sentence(found), groups, *characteristics, *differ


def _lattice_sentence(found: ReportedFit) -> tuple[str, ...]:
    """Say what becomes of the average slope under every specification; nothing where these were not weighed."""
    if found.specified is None or found.specified.conclusions.empty:
        return ()
    table = found.specified.conclusions
    own = table[table["group"] == GROUP_AVERAGE]
    return (" ".join(conclusion_sentences(own, found.specified.exposure, found.specified.ci)),)


def _row(fitted: FittedPanel, group: str) -> Mapping[Hashable, Any]:
    return next(row for row in fitted.effects.to_dict("records") if row["group"] == group)


def _slope(fitted: FittedPanel, group: str) -> str:
    row = _row(fitted, group)
    return with_interval(row["mean"], row["ci_low"], row["ci_high"], row["mcse"])


def _average_sentence(fitted: FittedPanel) -> str:
    average = probability(_row(fitted, GROUP_AVERAGE)["p_positive"])
    exposure, model = fitted.fit.design.terms[0], fitted.fit.model.name
    return (
        f"Under the model {model} the slope of {exposure}, averaged over the units of the panel, is "
        f"{_slope(fitted, GROUP_AVERAGE)}, with {level(fitted.options.ci)} interval; the probability that it is "
        f"positive is {average}."
    )


def _groups_sentence(fitted: FittedPanel) -> str:
    effects = fitted.effects.dropna(subset=["mean"]).set_index("group")
    groups = effects.drop(index=[group for group in NO_GROUPS if group in effects.index])
    if len(groups) < 2 or fitted.fit.model.choice("group_slope") == "off":
        return "All rows share one slope: there are no groups, or the model does not let them differ."
    general = ""
    if fitted.fit.model.choice("group_slope") == "pooled":
        general = f" Of groups in general, of which those here are a few, the slope is {_slope(fitted, GROUP_ALL)}."
    largest, smallest = str(groups["mean"].idxmax()), str(groups["mean"].idxmin())
    return (
        f"Of {len(groups)} groups the largest slope is that of {largest}, {_slope(fitted, largest)}, the smallest that "
        f"of {smallest}, {_slope(fitted, smallest)}; {int(leaves_zero_out(groups).sum()) or 'none'} of the intervals "
        f"leave zero out.{general}"
    )


def _checks_sentence(found: ReportedFit) -> str:
    results = by_severity(found.checks.results)
    tried = [one for one in results if one.severity is not Severity.IDLE]
    words = {
        Severity.CHANGES: ("changes the answer", "change the answer"),
        Severity.WIDENS: ("widens it", "widen it"),
        Severity.KNOWING: ("is worth knowing", "are worth knowing"),
        Severity.FINE: ("is fine", "are fine"),
    }
    parts = []
    for severity, (one, many) in words.items():
        names = [title_of(result.name).lower() for result in tried if result.severity is severity]
        listed = f" ({'; '.join(names)})" if names and severity is not Severity.FINE else ""
        parts += [f"{len(names)} {one if len(names) == 1 else many}{listed}"] if names else []
    said = f"Of {len(tried)} check{'' if len(tried) == 1 else 's'} {', '.join(parts) or 'none applies'}."
    if tried and tried[0].severity in (Severity.CHANGES, Severity.WIDENS, Severity.KNOWING):
        verb = "widens the answer" if tried[0].severity is Severity.WIDENS else words[tried[0].severity][0]
        said = f"{title_of(tried[0].name)} {verb}: {tried[0].text} {said}"
    idle = len(results) - len(tried)
    if idle:
        do, say = ("does", "says") if idle == 1 else ("do", "say")
        said += f" {idle} more {do} not apply to this model or to this panel, and {say} why."
    return said
