"""The report of a fit's folder: one HTML page of a user's own panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.checks import CheckResult
from cbec_bayes.checks.suite import title_of
from cbec_bayes.classical.tables import MOST_GROUPS
from cbec_bayes.jobs.check import CHECK_FILES
from cbec_bayes.jobs.compare import COMPARE_FILES
from cbec_bayes.jobs.fit_settings import POSTERIOR
from cbec_bayes.jobs.fit_tables import FILES, FittedPanel, tabulate
from cbec_bayes.jobs.report import ReportedFit, report_fit
from cbec_bayes.jobs.specifications import COMMAND, Specified
from cbec_bayes.jobs.specifications import FILES as TABLES
from cbec_bayes.panel import Panel
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.checkfigures import check_drawings
from cbec_bayes.reporting.drawing import Drawing
from cbec_bayes.reporting.exports import EXPORTS, export_files
from cbec_bayes.reporting.files import IMAGE_FILES, TABLE_FILES, image_files, table_files
from cbec_bayes.reporting.pageoptions import DEFAULT, PageOptions, page_options
from cbec_bayes.reporting.paneltables import MOST_DRAWN, panel_tables, shown_groups
from cbec_bayes.reporting.panelwords import check_findings, groups_question, page_title, panel_answer
from cbec_bayes.reporting.plain import in_natural_order, natural_key, pairs_in_natural_order
from cbec_bayes.reporting.plots import effects_drawing
from cbec_bayes.reporting.specifications import CURVES, curve_files, curves
from cbec_bayes.reporting.tables import slope_decimals
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.folder import OutFolder
from cbec_bayes.runtime.labels import GROUP_AVERAGE, level
from cbec_bayes.runtime.manifest import FIT
from cbec_bayes.runtime.receipts import content_digest
from cbec_bayes.runtime.versions import versions

FILE = "report.html"

SPECIFICATION_FILES = (*TABLES, *CURVES)
"""Files that the command `specifications` writes as well."""

PAGE_FILES = (FILE, "figures/*.svg", *IMAGE_FILES, *TABLE_FILES, *EXPORTS)
"""Files that the page brings, by name or by pattern."""


def render_panel(found: ReportedFit, asked: PageOptions = DEFAULT) -> dict[str, str | bytes]:
    """Render everything that `report_folder` found; returns the files by name, the page first.

    Parameters
    ----------
    found
        The fit, and what was computed of it.
    asked
        Words for columns, and further formats.
    """
    found = in_order(found)
    shown = in_words(found, asked)
    fitted, specified = shown.fitted, shown.compared.specified
    design = fitted.fit.design
    title = page_title(fitted, asked)
    tables = panel_tables(shown, slope_decimals(fitted.effects))
    label = asked.label(design.terms[0])
    forest = effects_drawing(fitted.effects, fitted.classical, design.terms[0], label=label, ci=fitted.options.ci)
    drawn = {"forest": forest, "path": _path(shown, asked), "learned": _learned(shown)}
    curved: dict[str, Drawing] = {}
    if specified is not None:
        curved = curves(specified.specifications, specified.exposure, prob=specified.ci)
    checks = check_drawings(shown.checks.results, label)
    figures_of_page = image_files(drawn | checks, asked.images)
    svgs = {name: figures_of_page.get(f"figures/{name}.svg") for name in (*drawn, *checks)}
    curve_svgs = curve_files(curved, asked.images)
    html = render_template(
        "panel.html.j2",
        title=title,
        groups_question=groups_question(fitted, asked),
        answer=panel_answer(shown, asked),
        findings=check_findings(shown),
        n_hidden=shown_groups(fitted.effects)[1],
        most_groups=MOST_GROUPS,
        tables=tables,
        **{name: svgs[name] for name in drawn},
        curves=[curve_svgs[f"{name}.svg"] for name in curved],
        lattice_sentences=() if specified is None else specified.sentences,
        path_gates="" if found.compared.path is None else found.compared.path.gates,
        check_figures=[(title_of(name), svgs[name]) for name in checks],
        labels=asked.labels,
        **_about(fitted, asked),
    )
    return {
        FILE: html,
        **found.compared.files(),
        **found.checks.files(),
        **figures_of_page,
        **({} if found.compared.specified is None else found.compared.specified.files() | curve_svgs),
        **table_files(tables),
        **export_files(tables, asked.exports, title),
    }


def _about(fitted: FittedPanel, asked: PageOptions) -> dict[str, Any]:
    """Return what the page says of the panel, of the model and of how it was made."""
    design = fitted.fit.design
    return {
        "outcome": design.outcome,
        "exposure": design.terms[0],
        "model": fitted.fit.model,
        "period_effects": _period_effects(fitted),
        "origin": design.origin,
        "n_obs": design.n_obs,
        "n_units": len(design.units),
        "n_times": len(design.times),
        "n_groups": len(design.groups),
        "notes": tuple(asked.relabelled(note) for note in fitted.notes),
        "ssc": fitted.ssc,
        "ci": level(fitted.options.ci),
        "data": Path(str(fitted.settings["data"])).name if "data" in fitted.settings else None,
        "settings": dict(fitted.settings),
        "versions": versions(),
    }


def in_order(found: ReportedFit) -> ReportedFit:
    """Return what was found with its groups in natural order, 2 before 10."""
    fitted, compared = found.fitted, found.compared
    of_exposures = fitted.effects_of_exposures
    fitted = replace(
        fitted,
        effects=in_natural_order(fitted.effects),
        estimands=in_natural_order(fitted.estimands, "estimand"),
        effects_of_exposures=None if of_exposures is None else _by_exposure(of_exposures),
    )
    path = compared.path
    if path is not None:
        labels = path.labels
        order = sorted(range(len(labels)), key=lambda r: natural_key(labels[r]))
        shapes = {name: getattr(path, name)[:, order] for name in ("means", "sds", "low", "high")}
        path = replace(path, labels=tuple(labels[r] for r in order), **shapes)
    specified = compared.specified
    if specified is not None and len(specified.specifications):
        specified = _with_tables(specified, in_natural_order)
    compared = replace(compared, differences=pairs_in_natural_order(compared.differences))
    return replace(found, fitted=fitted, compared=replace(compared, path=path, specified=specified))


def _with_tables(specified: Specified, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Specified:
    """Return specifications with each table of slopes changed alike."""
    return replace(
        specified,
        specifications=change(specified.specifications),
        mixture=change(specified.mixture),
        conclusions=change(specified.conclusions),
    )


def in_words(found: ReportedFit, asked: PageOptions) -> ReportedFit:
    """Return what the page shows of what was found: columns in words, and of a panel without groups the average alone.

    Files beside the page keep the names of columns, and all rows.
    """
    results = tuple(_check_in_words(one, asked) for one in found.checks.results)
    found = replace(found, checks=replace(found.checks, results=results))
    fitted, compared = found.fitted, found.compared
    specified = compared.specified
    if specified is not None:
        specified = replace(specified, exposure=asked.label(specified.exposure))
    if len(fitted.fit.design.groups) < 2:
        fitted = replace(fitted, effects=_average(fitted.effects), estimands=_average(fitted.estimands, "estimand"))
        if specified is not None and len(specified.specifications):
            specified = _with_tables(specified, _average)
    return replace(found, fitted=fitted, compared=replace(compared, specified=specified))


def _average(rows: pd.DataFrame, column: str = "group") -> pd.DataFrame:
    return rows[rows[column] == GROUP_AVERAGE].reset_index(drop=True)


def _check_in_words(one: CheckResult, asked: PageOptions) -> CheckResult:
    table = one.table
    if asked.labels and "term" in table:
        table = table.assign(term=[asked.label(str(term)) for term in table["term"]])
    return replace(one, text=asked.relabelled(one.text), table=table)


def _by_exposure(effects: pd.DataFrame) -> pd.DataFrame:
    parts = [in_natural_order(own) for _, own in effects.groupby("exposure", sort=False)]
    return pd.concat(parts, ignore_index=True)


def _period_effects(fitted: FittedPanel) -> str:
    """Say which effects of periods the model has."""
    match fitted.fit.design.period_effects:
        case PeriodEffects.NONE:
            return "none"
        case PeriodEffects.BY_GROUP:
            return "fixed, of each group"
    return fitted.fit.model.choice("time_effect")


def _path(found: ReportedFit, asked: PageOptions) -> Drawing | None:
    """Draw the shrinkage path; None where there is none, or its lines are too many to be told apart."""
    path, density = found.compared.path, found.compared.tau_density
    if path is None or density is None or path.is_empty or len(path.labels) > MOST_DRAWN:
        return None
    return figures.path(
        labels=path.labels,
        tau=path.tau,
        means=path.means,
        density=density,
        complete=path.complete,
        xlabel=f"sd of slopes between groups, τ ({asked.label(found.fitted.fit.design.terms[0])})",
    )


def _learned(found: ReportedFit) -> Drawing | None:
    """Draw the scales before and after the data; None where no scale was sampled."""
    return figures.prior_posterior(found.learned, "Scales before and after the data") if len(found.learned) else None


def report(
    found: PanelFit,
    out: Path | str,
    ssc: str = "reghdfe",
    *,
    panel: Panel | None = None,
    seed: int = 1,
    executor: Executor = SERIAL,
    labels: Mapping[str, str] | None = None,
    images: Sequence[str] = (),
    exports: Sequence[str] = (),
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
    labels
        Name of a column to the words that readers know it by.
    images
        Formats in which figures are written beside SVG: ``"png"``, ``"pdf"``.
    exports
        Formats in which all tables are written as one file: ``"xlsx"``, ``"docx"``.

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
    given = [f"{name}={text}" for name, text in (labels or {}).items()]
    asked = page_options(given, ",".join(images), ",".join(exports))
    place.vet()
    page = render_panel(report_fit(fitted, executor=executor), asked)
    weighed = {name: held for name, held in page.items() if name in SPECIFICATION_FILES}
    page = {name: held for name, held in page.items() if name not in weighed}
    place.write({"report": page, COMMAND: weighed, FIT: files})
    return [place.path / name for name in (*page, *weighed, *files)]
