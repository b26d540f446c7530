"""The page of pooled estimates: the answer in sentences, a forest, a funnel, the path of tau, other priors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cbec_bayes.classical.meta.pooling import ESTIMATORS, SHOWN
from cbec_bayes.jobs.classical_pooling import told
from cbec_bayes.jobs.pooled_report import ReportedPooling
from cbec_bayes.published.shrinkage import PooledPath
from cbec_bayes.reporting.drawing import GROUP_TITLES, Drawing
from cbec_bayes.reporting.exports import EXPORTS, export_files
from cbec_bayes.reporting.figures import path as draw_path
from cbec_bayes.reporting.files import IMAGE_FILES, TABLE_FILES, image_files, table_files
from cbec_bayes.reporting.pageoptions import DEFAULT, PageOptions
from cbec_bayes.reporting.poolfigures import funnel, pooled_forest
from cbec_bayes.reporting.tables import ReportTable, interval, number, p_value, probability, slope_decimals, whole
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_NEW, GROUP_TAU, Origin
from cbec_bayes.runtime.versions import versions

FILE = "report.html"

PAGE_FILES = (FILE, "figures/*.svg", *IMAGE_FILES, *TABLE_FILES, *EXPORTS)
"""Files that the page brings, by name or by pattern."""

MOST_ROWS = 40
"""Groups of a forest and of a table that is not folded; of more, the lowest and the highest are shown."""

METHOD_NAMES = {
    "egger": "Egger's test, weighted regression",
    "egger_random_effects": "Egger's test, random effects",
    "selection_model": "selection model, one step at p = .025",
}


def render_pooled(found: ReportedPooling, asked: PageOptions = DEFAULT) -> dict[str, str | bytes]:
    """Render the page of pooled estimates; returns the files by name, the page first.

    Parameters
    ----------
    found
        What was pooled.
    asked
        Further formats of figures and tables.
    """
    tables = pooled_page_tables(found)
    shown = _shown(found.tables.effects)
    own = found.own[found.own["group"].isin(shown["group"])]
    drawn: dict[str, Drawing | None] = {
        "forest": pooled_forest(shown, own, _classical_row(found)),
        "funnel": funnel(found.own, found.region, found.centre) if len(found.own) > 1 else None,
        "path": None if found.path is None else _path(found.path, found.tau_name),
    }
    figures = image_files(drawn, asked.images)
    html = render_template(
        "pooled.html.j2",
        file=found.name,
        n=len(found.own),
        n_hidden=len(found.tables.effects) - len(shown),
        methods=found.methods,
        tau_name=found.tau_name,
        of_t=found.of_t,
        answer=found.tables.answer,
        notes=found.tables.notes,
        assumes=list(found.tables.small_studies["assumes"]),
        tables=tables,
        figures={name: figures.get(f"figures/{name}.svg") for name in drawn},
        origin=Origin.PRINTED,
        settings=dict(found.settings),
        versions=versions(),
    )
    exports = export_files(tables, asked.exports, found.name)
    return {FILE: html, **figures, **table_files(tables), **exports}


def _classical_row(found: ReportedPooling) -> pd.Series | None:
    table = found.tables.classical
    rows = table[(table["estimator"] == SHOWN) & table["estimate"].notna()]
    return rows.iloc[0] if len(rows) else None


def _shown(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of effects that are drawn: of many groups the lowest and the highest, in their order."""
    last = effects["group"].isin([GROUP_ALL, GROUP_NEW])
    groups = effects[~last]
    if len(groups) > MOST_ROWS:
        order = groups["mean"].sort_values().index
        groups = groups.loc[[*order[: MOST_ROWS // 2], *order[-(MOST_ROWS // 2) :]]]
    return pd.concat([groups, effects[last]])


def _path(found: PooledPath, tau_name: str) -> Drawing:
    return draw_path(
        labels=found.labels,
        tau=found.tau,
        means=found.means,
        density=found.density,
        complete=found.complete,
        xlabel=f"{tau_name} τ of slopes between groups",
    )


def pooled_page_tables(found: ReportedPooling) -> dict[str, ReportTable]:
    """Return every table of the page, by name."""
    decimals = slope_decimals(found.tables.effects)
    tables = [
        _effects(found, decimals),
        _classical(found.tables.classical, decimals),
        _small_studies(found.tables.small_studies, decimals),
        _contrasts(found.tables.contrasts, decimals),
    ]
    if found.tables.sensitivity is not None:
        tables += [
            _sensitivity(found.tables.sensitivity, decimals, whole_table=False),
            _sensitivity(found.tables.sensitivity, decimals, whole_table=True),
        ]
    tables += [further(name, table, decimals) for name, table in found.tables.further.items()]
    return {table.name: table for table in tables if table.rows}


def _effects(found: ReportedPooling, decimals: int) -> ReportTable:
    rows = tuple(
        (
            GROUP_TITLES.get(row["group"], row["group"]),
            whole(row["n_obs"]) or "–",
            number(row["no_pooling"], decimals) or "–",
            number(row["no_pooling_se"], decimals) or "–",
            number(row["mean"], decimals) or "–",
            interval(row["ci_low"], row["ci_high"], decimals),
            probability(row["p_positive"]),
            number(row["pooling_factor"], 2) or "–",
        )
        for row in found.tables.effects.to_dict("records")
    )
    columns = ("Group", "n", "As given", "Standard error", "Pooled", "95 % interval", "P(slope > 0)", "Pooling")
    return _without_blanks(
        ReportTable(
            name="pooled_effects",
            caption="Each slope as given and after pooling; pooling 0 keeps it, 1 replaces it by the common slope.",
            origin=Origin.PRINTED,
            columns=columns,
            rows=rows,
        )
    )


def _without_blanks(table: ReportTable) -> ReportTable:
    """Return a table without the columns in which there is nothing."""
    kept = [k for k in range(len(table.columns)) if k == 0 or any(row[k] not in ("", "–") for row in table.rows)]
    return ReportTable(
        name=table.name,
        caption=table.caption,
        origin=table.origin,
        columns=tuple(table.columns[k] for k in kept),
        rows=tuple(tuple(row[k] for k in kept) for row in table.rows),
    )


def _classical(table: pd.DataFrame, decimals: int) -> ReportTable:
    rows = []
    for row in table.to_dict("records"):
        name = ESTIMATORS[row["estimator"]].name
        if pd.isna(row["estimate"]):
            rows.append((name, str(row["note"]), *[""] * 6))
            continue
        rows.append(
            (
                name,
                f"{number(row['estimate'], decimals)} ({interval(row['ci_low'], row['ci_high'], decimals)})",
                p_value(row["p"]),
                _with_ends(row["tau2"], row["tau2_low"], row["tau2_high"]),
                _q(row["q"], row["q_p"]),
                number(row["i2"], 0) + " %" if pd.notna(row["i2"]) else "–",
                number(row["h"], 2) or "–",
                "–" if pd.isna(row["pi_low"]) else interval(row["pi_low"], row["pi_high"], decimals),
            )
        )
    return ReportTable(
        name="classical",
        caption="The classical answers to the same estimates, with 95 % intervals in brackets.",
        origin=Origin.PRINTED,
        columns=("Estimator", "Slope", "p", "τ²", "Q", "I²", "H", "A new group"),
        rows=tuple(rows),
    )


def _with_ends(value: Any, low: Any, high: Any) -> str:
    if pd.isna(value):
        return "–"
    return told(value) if pd.isna(low) else f"{told(value)} ({told(low)} to {told(high)})"


def _q(value: Any, p: Any) -> str:
    return "–" if pd.isna(value) else f"{number(value, 1)} (p {'' if p < 0.0005 else '= '}{p_value(p)})"


def _small_studies(table: pd.DataFrame, decimals: int) -> ReportTable:
    rows = []
    for row in table.to_dict("records"):
        there = not pd.isna(row["estimate"])
        slope = f"{number(row['estimate'], decimals)} ({interval(row['ci_low'], row['ci_high'], decimals)})"
        rows.append(
            (
                METHOD_NAMES[row["method"]],
                number(row["statistic"], 2) or "–",
                p_value(row["p"]),
                slope if there else "–",
                number(row["delta"], 2) or "–",
                str(row["note"]),
            )
        )
    return ReportTable(
        name="small_studies",
        caption="Do small studies differ? The slope is that of a study without error, or of all studies.",
        origin=Origin.PRINTED,
        columns=("Method", "Statistic", "p", "Slope", "δ", "Note"),
        rows=tuple(rows),
    )


def _contrasts(table: pd.DataFrame, decimals: int) -> ReportTable:
    return ReportTable(
        name="pooled_contrasts",
        caption="Differences between groups after pooling.",
        origin=Origin.PRINTED,
        columns=("Difference", "Mean", "95 % interval", "P(difference > 0)"),
        rows=tuple(
            (
                f"{row['group']} − {row['minus']}",
                number(row["mean"], decimals),
                interval(row["ci_low"], row["ci_high"], decimals),
                probability(row["p_positive"]),
            )
            for row in table.to_dict("records")
        ),
    )


def _sensitivity(table: pd.DataFrame, decimals: int, *, whole_table: bool) -> ReportTable:
    """Return slopes under other priors and readings: of groups in general and a new one, or of every group."""
    last = [GROUP_TAU, GROUP_ALL, GROUP_NEW]
    groups = [group for group in dict.fromkeys(table["group"]) if group not in last][:MOST_ROWS] if whole_table else []
    marks = [name for name in ("reading", "model", "between_prior", "unit") if name in table.columns]
    several = len(dict.fromkeys(table["reading"])) > 1
    readings = "every reading of the standard errors and " if several else ""
    rows = []
    for _, part in table.groupby(marks, sort=False, dropna=False):
        records: list[dict[Any, Any]] = part.to_dict("records")
        named, by_group = records[0], {row["group"]: row for row in records}
        prior = _prior(named, alike=len(set(table.loc[table["between_prior"] == named["between_prior"], "model"])) > 1)
        cells = [_cell(by_group[group], decimals) for group in (*groups, *([] if whole_table else last))]
        rows.append((*([str(named["reading"]).replace("_", " ")] if several else []), prior, *cells))
    heads = {GROUP_TAU: "τ", **GROUP_TITLES}
    return ReportTable(
        name="pooled_sensitivity_groups" if whole_table else "pooled_sensitivity",
        caption=f"Posterior mean and 95 % interval under {readings}every prior of τ.",
        origin=Origin.PRINTED,
        columns=(*(["Reading"] * several), "Prior of τ", *(heads.get(group, group) for group in (groups or last))),
        rows=tuple(rows) if groups or not whole_table else (),
    )


def _prior(named: Mapping[Any, Any], *, alike: bool) -> str:
    """Return the prior of tau, with the model's name where another model has the same prior."""
    return f"{named['between_prior']}, {named['model']}" if alike else str(named["between_prior"])


def _cell(row: Mapping[Any, Any], decimals: int) -> str:
    ends = interval(row["ci_low"], row["ci_high"], decimals)
    return f"{number(row['mean'], decimals)} ({ends})" if pd.notna(row["mean"]) else ends


FURTHER_CAPTIONS = {
    "slope_regression": "How slopes of groups change with a characteristic of these, and the share of their variance "
    "that it explains.",
    "leave_one_out": "The common slope without each estimate.",
    "classical_regression": "The classical meta-regression, REML with Knapp and Hartung's errors; (common) is the "
    "slope of an average group, F tests that no characteristic matters.",
}
"""Captions of tables that only some poolings have, by name."""


_HEADS = {
    "covariate": "Characteristic",
    "covariate_mean": "Its mean",
    "covariate_sd": "Its sd",
    "n_groups": "Groups",
    "tau_mean": "τ",
    "tau2": "τ²",
    "q": "Q",
    "tau_with": "τ with it",
    "tau_without": "τ without",
    "label": "Without",
    "term": "Term",
    "mean": "Mean",
    "sd": "sd",
    "estimate": "Estimate",
    "p_positive": "P(> 0)",
    "f": "F",
    "f_p": "p of F",
    "i2": "I², %",
    "explained": "Explained",
}
_PROBABILITIES = ("p", "f_p", "q_p")
_WITHIN = ("ci_high", "tau2_low", "tau2_high", "f_df", "f_df2", "origin", "q_p", "df", "mcse")


def further(name: str, table: pd.DataFrame, decimals: int) -> ReportTable:
    """Return a table that only some poolings have: its columns with short heads, an interval in one cell."""
    columns = [column for column in table.columns if column not in _WITHIN]
    rows = tuple(tuple(_further_cell(row, c, decimals) for c in columns) for row in table.to_dict("records"))
    heads = ("95 % interval" if c == "ci_low" else _HEADS.get(c, c.replace("_", " ")) for c in columns)
    return ReportTable(
        name=name, caption=FURTHER_CAPTIONS[name], origin=Origin.PRINTED, columns=tuple(heads), rows=rows
    )


def _further_cell(row: Mapping[Any, Any], column: str, decimals: int) -> str:
    value = row[column]
    if column == "ci_low":
        return interval(value, row["ci_high"], decimals)
    if column in _PROBABILITIES:
        return p_value(value)
    if column == "p_positive":
        return probability(value)
    if column in ("mean", "sd", "estimate", "se"):
        return number(value, decimals)
    return told(value) if isinstance(value, float) and pd.notna(value) else "–" if pd.isna(value) else str(value)
