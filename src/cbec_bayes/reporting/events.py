"""The event study for people: all estimators on one axis, the tables, and a page or a section of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.jobs.event_sentences import NAMES
from cbec_bayes.jobs.event_tables import EVERY, HIERARCHICAL
from cbec_bayes.jobs.events import TABLES, EventStudy
from cbec_bayes.reporting.drawing import BLUE, GREEN, GREY, IMAGES, INK, ORANGE, PINK, Drawing, new_figure
from cbec_bayes.reporting.files import TABLE_FILES, image_files, table_files
from cbec_bayes.reporting.tables import ReportTable, interval, number, p_value, spread_decimals
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.labels import GROUP_ALL, level
from cbec_bayes.runtime.versions import versions

PAGE = "events.html"
EVENT_FILES = (PAGE, *TABLES, "figures/events.svg", *(f"figures/events.{ending}" for ending in IMAGES), *TABLE_FILES)
"""Files that an event study may write."""

_LOOKS = {
    "twfe": (GREY, "s"),
    "sun_abraham": (ORANGE, "D"),
    "gardner": (GREEN, "^"),
    "saturated": (PINK, "v"),
    HIERARCHICAL: (BLUE, "o"),
}
"""Colour and mark of each estimator."""

_HEIGHT, _APART = 3.9, 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSection:
    """An event study as part of a page.

    Attributes
    ----------
    sentences, notes
        What holds under all estimators, and what the estimates rest on.
    figure
        SVG.
    tables
        Effects by event time, tests before adoption, and weights, in this order.
    """

    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    figure: str
    tables: tuple[ReportTable, ...]


def event_section(found: EventStudy, name: str = "") -> EventSection:
    """Return an event study as a section of a page.

    Parameters
    ----------
    found
        From `cbec_bayes.jobs.events.event_study`.
    name
        Name of the study, where a page shows several: names of tables begin with it.
    """
    prefix = f"{name}_" if name else ""
    tables = [_events_table(found, prefix)]
    if len(found.adoption.design.groups) > 1 and (found.events["group"] != GROUP_ALL).any():
        tables.append(_groups_table(found, prefix))
    tables += [_pretrends_table(found, prefix), _weights_table(found, prefix)]
    return EventSection(
        sentences=found.sentences, notes=found.notes, figure=event_figure(found, name), tables=tuple(tables)
    )


def event_files(found: EventStudy, images: Sequence[str] = ()) -> dict[str, str | bytes]:
    """Return the page of an event study, its figure and its tables as files, by name.

    Parameters
    ----------
    found
        From `cbec_bayes.jobs.events.event_study`.
    images
        Formats of `IMAGES` in which the figure is written as well.
    """
    section = event_section(found)
    design = found.adoption.design
    html = render_template(
        "events.html.j2",
        section=section,
        figure=section.figure,
        outcome=found.label(design.outcome),
        exposure=found.label(found.adoption.exposure),
        controls=[found.label(one) for one in found.adoption.controls],
        origin=design.origin,
        n_obs=design.n_obs,
        n_units=len(design.units),
        n_times=len(design.times),
        ci=level(found.options.ci),
        ssc=found.options.ssc,
        errors=found.options.errors,
        has_posterior=(found.events["estimator"] == HIERARCHICAL).any(),
        versions=versions(),
    )
    tables = {table.name: table for table in section.tables}
    return {PAGE: html, **image_files({"events": event_drawing(found)}, images), **table_files(tables, cells=True)}


def event_figure(found: EventStudy, name: str = "") -> str:
    """Return `event_drawing` as the SVG element of a page."""
    return event_drawing(found, name).svg()


def event_drawing(found: EventStudy, name: str = "") -> Drawing:
    """Draw the effects of all estimators by event time on one axis, with their intervals."""
    table = found.events[(found.events["group"] == GROUP_ALL) & (found.events["event_time"] != EVERY)]
    table = table[table["estimate"].notna()].assign(at=pd.to_numeric(table["event_time"]))
    estimators = [one for one in _LOOKS if (table["estimator"] == one).any()]
    shifts = _APART * (np.arange(len(estimators)) - (len(estimators) - 1) / 2)
    with new_figure(_HEIGHT) as (figure, axes):
        axes.axhline(0, color=INK, linewidth=0.6)
        axes.axvline(-0.5, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
        for estimator, shift in zip(estimators, shifts, strict=True):
            _draw(axes, table[table["estimator"] == estimator], estimator, shift)
        axes.xaxis.set_major_locator(_whole_numbers())
        axes.set_xlabel("periods since adoption")
        axes.set_ylabel(f"effect on {found.label(found.adoption.design.outcome)}", fontsize=9)
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, handletextpad=0.3, columnspacing=1.2)
        return Drawing(
            figure,
            "Effects by time since adoption" + (f", {name}" if name else ""),
            f"{len(estimators)} estimators with {level(found.options.ci)} intervals, from {table['at'].min():.0f} to "
            f"{table['at'].max():.0f} periods since adoption; the numbers are in events.csv",
        )


def _draw(axes: Any, own: pd.DataFrame, estimator: str, shift: float) -> None:
    color, mark = _LOOKS[estimator]
    is_posterior = estimator == HIERARCHICAL
    axes.vlines(own["at"] + shift, own["ci_low"], own["ci_high"], color=color, linewidth=2.2 if is_posterior else 1.2)
    axes.plot(
        own["at"] + shift,
        own["estimate"],
        mark,
        color=color,
        markerfacecolor=color if is_posterior else "none",
        markersize=5.5 if is_posterior else 4.5,
        label=NAMES[estimator],
    )


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def _events_table(found: EventStudy, prefix: str) -> ReportTable:
    """Return a row for each event time, and a column for each estimator."""
    own = found.events[found.events["group"] == GROUP_ALL]
    ci = level(found.options.ci)
    return ReportTable(
        name=f"{prefix}events",
        caption=(
            f"Effects by periods since adoption, in the unit of the outcome, with {ci} intervals. They are against the "
            "last period before adoption, but for Gardner's two stages, the saturated regression and the hierarchical "
            "model, which compare with all periods before. In the last row two-way fixed effects have one coefficient "
            "of adoption, and the others the mean effect over treated rows."
        ),
        origin=found.adoption.design.origin,
        **_wide(own, "Periods since adoption"),
    )


def _groups_table(found: EventStudy, prefix: str) -> ReportTable:
    """Return the mean effect after adoption in each group, and a column for each estimator that has them."""
    own = found.events[(found.events["event_time"] == EVERY) & (found.events["group"] != GROUP_ALL)]
    return ReportTable(
        name=f"{prefix}event_groups",
        caption=f"Mean effect over the treated rows of each group, with {level(found.options.ci)} intervals.",
        origin=found.adoption.design.origin,
        **_wide(own.assign(event_time=own["group"]), "Group"),
    )


def _wide(own: pd.DataFrame, head: str) -> dict[str, Any]:
    """Return heads and rows of a table with a column for each estimator."""
    estimators = [one for one in _LOOKS if (own["estimator"] == one).any()]
    cells = {(row["event_time"], row["estimator"]): row for row in own.to_dict("records")}
    keys = list(dict.fromkeys(own["event_time"]))
    units = {row["event_time"]: row["n_units"] for row in own.to_dict("records")}
    rows = [
        (
            "mean after adoption" if key == EVERY else number(float(key), 0) if head != "Group" else key,
            f"{units[key]}",
            *(_cell(cells.get((key, one))) for one in estimators),
        )
        for key in sorted((k for k in keys if k != EVERY), key=lambda k: 0 if head == "Group" else float(k))
        + [key for key in keys if key == EVERY]
    ]
    heads = (head, "Units", *(NAMES[one][0].upper() + NAMES[one][1:] for one in estimators))
    return {"columns": heads, "rows": tuple(rows)}


def _cell(row: Any) -> str:
    """Write an estimate with its interval; a dash where there is none."""
    if row is None or not number(row["estimate"]):
        return "–"
    spread = row["se"] if number(row["se"]) else row["sd"]
    decimals = spread_decimals(spread, 0.0)
    return f"{number(row['estimate'], decimals)} ({interval(row['ci_low'], row['ci_high'], decimals)})"


def _pretrends_table(found: EventStudy, prefix: str) -> ReportTable:
    rows = []
    for row in found.pretrends.to_dict("records"):
        degrees = ", ".join(filter(None, (number(row["df"], 0), number(row["df2"], 1))))
        estimate = _estimate(row)
        cells = (number(row["statistic"], 2) or estimate, degrees or "–", p_value(row["p"]))
        rows.append((NAMES[row["estimator"]], row["test"], row["leads"] or "–", *cells, row["note"]))
    return ReportTable(
        name=f"{prefix}event_pretrends",
        caption=(
            "Did units that adopt move like the others before they adopted? Joint tests that all effects before "
            "adoption are zero: the clustered Wald test, and the same with bias-reduced covariances (CR2) and the "
            "approximate Hotelling distribution, which holds with few units."
        ),
        origin=found.adoption.design.origin,
        columns=("Estimator", "Test", "Leads", "Statistic", "Degrees of freedom", "p", "Note"),
        rows=tuple(rows),
    )


def _estimate(row: Any) -> str:
    if not number(row["estimate"]):
        return "–"
    return f"{row['estimate']:.2g} ({row['ci_low']:.2g} to {row['ci_high']:.2g})"


def _weights_table(found: EventStudy, prefix: str) -> ReportTable:
    has_posterior = found.weights["mean"].notna().any()
    rows, marks = [], []
    for row in found.weights.to_dict("records"):
        decimals = spread_decimals(row["se"], 0.0)
        cells = [row["cohort"], row["period"], f"{row['event_time']}", f"{row['n_units']}", number(row["weight"], 3)]
        cells.append(f"{number(row['estimate'], decimals)} ({number(row['se'], decimals)})" if row["se"] > 0 else "–")
        if has_posterior:
            decimals = spread_decimals(row["sd"], 0.0)
            cells.append(f"{number(row['mean'], decimals)} ({number(row['sd'], decimals)})")
        rows.append(tuple(cells))
        marks.append(tuple("undetermined" if k == 4 and row["weight"] < 0 else "" for k in range(len(cells))))
    heads = ["Cohort", "Period", "Periods since adoption", "Units", "Weight", "Saturated regression (se)"]
    return ReportTable(
        name=f"{prefix}event_weights",
        caption=(
            "What the two-way coefficient of adoption is made of: the weight of every treated cell of cohort and "
            "period (de Chaisemartin and D'Haultfoeuille 2020). Weights add up to one, and the weighted sum of the "
            "saturated regression's effects is the coefficient. Negative weights are marked."
        ),
        origin=found.adoption.design.origin,
        columns=(*heads, *(["Hierarchical model (sd)"] if has_posterior else [])),
        rows=tuple(rows),
        marks=tuple(marks),
    )
