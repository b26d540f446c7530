"""The report of a fit's folder: one HTML page of a user's own panel."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.checks import checks_frame
from cbec_bayes.checks.suite import CHECKS, title_of
from cbec_bayes.classical.tables import MOST_GROUPS
from cbec_bayes.estimands.prior_posterior import prior_posterior
from cbec_bayes.jobs.fit import tabulate
from cbec_bayes.jobs.folder import ReportedFit, report_fit
from cbec_bayes.panel import Panel
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.checkfigures import draw
from cbec_bayes.reporting.checks import WORDS
from cbec_bayes.reporting.comparison import compare_table
from cbec_bayes.reporting.drawing import GROUP_TITLES
from cbec_bayes.reporting.tables import (
    ReportTable,
    number,
    percent,
    probability,
    sampled,
    sampled_decimals,
    whole,
    with_interval,
)
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.files import csv_text, write_files
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_NEW
from cbec_bayes.runtime.receipts import PACKAGES

MOST_DRAWN = MOST_GROUPS
"""Groups that a figure shows at most: the largest and the smallest slopes."""

FILE = "report.html"


def render_panel(found: ReportedFit) -> dict[str, str | bytes]:
    """Render everything that `report_folder` found; returns the files by name, the page first."""
    fitted = found.fitted
    design, origin = fitted.fit.design, fitted.fit.design.origin
    digits = decimals(fitted.effects)
    tables = panel_tables(found, digits)
    effects, hidden = _drawn(fitted.effects)
    drawn = {result.name: draw(result, title_of(result.name), design.terms[0]) for result in found.checks.results}
    shown = {check.name for check in CHECKS if check.shown}
    titled = [(title_of(name), svg, name in shown) for name, svg in drawn.items() if svg is not None]
    path = None
    if found.path is not None and found.tau_density is not None and len(found.path.labels) <= MOST_DRAWN:
        path = figures.path(
            found.path.labels,
            found.path.tau,
            found.path.means,
            found.tau_density,
            float(found.path.common[0]),
            f"sd of slopes between groups, τ ({design.terms[0]})",
        )
    scales = prior_posterior(fitted.fit)
    learned = figures.prior_posterior(scales, "Scales before and after the data") if len(scales) else None
    forest = figures.forest(
        effects, _own(effects), f"slope of {design.terms[0]}", "own regression, clustered 95 % interval"
    )
    html = render_template(
        "panel.html.j2",
        outcome=design.outcome,
        exposure=design.terms[0],
        model=fitted.fit.model,
        origin=origin,
        n_obs=design.n_obs,
        n_units=len(design.units),
        n_times=len(design.times),
        n_groups=len(design.groups),
        answer=panel_answer(found),
        forest=forest,
        n_hidden=hidden,
        most_groups=MOST_GROUPS,
        tables=tables,
        path=path,
        learned=learned,
        check_figures=[(title, svg) for title, svg, shown in titled if shown],
        more_check_figures=[(title, svg) for title, svg, shown in titled if not shown],
        notes=fitted.notes,
        ssc=fitted.ssc,
        data=fitted.settings.get("data"),
        settings=dict(fitted.settings),
        versions={name: metadata.version(name) for name in ("cbec_bayes", *PACKAGES)},
    )
    figures_of = {
        f"figures/{name}.svg": svg
        for name, svg in {"forest": forest, "path": path, "learned": learned, **drawn}.items()
        if svg
    }
    return {
        FILE: html,
        "compare.csv": csv_text(found.compared),
        **found.checks.files(),
        **figures_of,
        **{f"tables/{name}.md": table.markdown() for name, table in tables.items()},
        **{f"tables/{name}.tex": table.latex() for name, table in tables.items()},
    }


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
        Of everything random.
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
    """
    found.diagnostics.require()
    fitted = tabulate(found, ssc, panel=panel, seed=seed)
    return write_files(Path(out), {**render_panel(report_fit(fitted, executor=executor)), **fitted.files()})


def decimals(effects: pd.DataFrame) -> int:
    """Return decimals of what is not sampled: two digits of the smallest posterior sd of a slope."""
    smallest = float(effects["sd"].min())
    return 3 if not smallest > 0 else max(2, 1 - math.floor(math.log10(smallest)))


def _middle_sd_ends(row: Mapping[Hashable, Any]) -> tuple[str, str, str]:
    middle, ends = sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"])
    return middle, number(row["sd"], sampled_decimals(row["ci_low"], row["ci_high"], row["mcse"])), ends


def _drawn(effects: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows of effects that a figure shows, and how many groups it leaves out."""
    groups = effects[~effects["group"].isin([GROUP_ALL, GROUP_NEW])]
    rest = effects[effects["group"].isin([GROUP_ALL, GROUP_NEW])].dropna(subset=["mean"])
    hidden = max(0, len(groups) - MOST_DRAWN)
    if hidden:
        order = groups["mean"].rank(method="first")
        groups = groups[(order <= MOST_DRAWN / 2) | (order > len(groups) - MOST_DRAWN / 2)]
        groups = groups.sort_values("mean", ascending=False)
    return pd.concat([groups, rest], ignore_index=True), hidden


def _own(effects: pd.DataFrame) -> pd.DataFrame:
    half = 1.96 * effects["no_pooling_se"].astype(float)
    own = effects["no_pooling"].astype(float)
    return pd.DataFrame({"group": effects["group"], "estimate": own, "low": own - half, "high": own + half})


def panel_answer(found: ReportedFit) -> tuple[str, ...]:
    """Say in three sentences what was found, how far groups differ, and how far to trust it."""
    fitted = found.fitted
    exposure = fitted.fit.design.terms[0]
    effects = fitted.effects.dropna(subset=["mean"]).set_index("group")

    rows = {str(row["group"]): row for row in fitted.effects.to_dict("records")}

    def slope(group: str) -> str:
        row = rows[group]
        return with_interval(row["mean"], row["ci_low"], row["ci_high"], row["mcse"])

    groups = effects.drop(index=[g for g in (GROUP_ALL, GROUP_NEW) if g in effects.index])
    common = probability(rows[GROUP_ALL]["p_positive"])
    first = (
        f"The slope of {exposure} in common is {slope(GROUP_ALL)}, with {percent(CI_PROB)} interval; the probability "
        f"that it is positive is {common}."
    )
    second = "All rows share one slope: there are no groups, or the model does not let them differ."
    if len(groups) > 1 and fitted.fit.model.choice("group_slope") != "off":
        largest, smallest = str(groups["mean"].idxmax()), str(groups["mean"].idxmin())
        apart = int(((groups["ci_low"] > 0) | (groups["ci_high"] < 0)).sum())
        second = (
            f"Of {len(groups)} groups the largest slope is that of {largest}, {slope(largest)}, the smallest that of "
            f"{smallest}, {slope(smallest)}; {apart or 'none'} of the intervals leave zero out."
        )
    failed = [title_of(r.name).lower() for r in found.checks.results if r.passed is False]
    tried = sum(r.passed is not None for r in found.checks.results)
    third = f"Of {tried} checks {len(failed) or 'none'} failed" + (f": {'; '.join(failed)}." if failed else ".")
    idle = len(found.checks.results) - tried
    if idle:
        third += f" {idle} more do not apply to this model or to a panel of this size, and say why."
    return first, second, third


def panel_tables(found: ReportedFit, digits: int) -> Mapping[str, ReportTable]:
    """Return the tables of the page, by name."""
    fitted = found.fitted
    origin = fitted.fit.design.origin
    rows = fitted.effects.dropna(subset=["mean"])
    effects = ReportTable(
        name="effects",
        caption=(
            "Slopes after partial pooling, with 95 % equal-tailed intervals; pooling 0 keeps a group's own slope, 1 "
            "replaces it by the common one."
        ),
        origin=origin,
        columns=("Group", "Units", "Own regression (CRV1)", "Mean", "sd", "95 % interval", "P(slope > 0)", "Pooling"),
        rows=tuple(
            (
                GROUP_TITLES.get(row["group"], str(row["group"])),
                whole(row["n_units"]),
                f"{number(row['no_pooling'], digits)} ({number(row['no_pooling_se'], digits)})"
                if number(row["no_pooling"])
                else "–",
                *_middle_sd_ends(row),
                probability(row["p_positive"]),
                number(row["pooling_factor"], 2) or "–",
            )
            for row in rows.to_dict("records")
        ),
    )
    few, hidden = _drawn(rows)
    chosen = set(few["group"])
    ends = replace(
        effects,
        name="effects_ends",
        caption=f"The largest and the smallest slopes; {hidden} groups lie between them. {effects.caption}",
        rows=tuple(cells for cells, group in zip(effects.rows, rows["group"], strict=True) if group in chosen),
    )
    contrasts = ReportTable(
        name="contrasts",
        caption="Differences between groups, with 95 % intervals; the largest first.",
        origin=origin,
        columns=("Difference", "Mean", "95 % interval", "P(difference > 0)"),
        rows=tuple(
            (
                f"{row['group']} − {row['minus']}",
                *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
                probability(row["p_positive"]),
            )
            for row in fitted.contrasts.sort_values("mean", key=np.abs, ascending=False)
            .head(MOST_DRAWN)
            .to_dict("records")
        ),
    )
    half = number(fitted.estimands["rope_half_width"].iloc[0], digits)
    estimands = ReportTable(
        name="estimands",
        caption=(
            f"The average over units, and the probability that a slope is practically zero: within {half} of it, a "
            f"tenth "
            "of sd(outcome) / sd(exposure)."
        ),
        origin=origin,
        columns=("Slope", "Mean", "95 % interval", "P(practically zero)"),
        rows=tuple(
            (
                GROUP_TITLES.get(row["estimand"], str(row["estimand"])),
                *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
                probability(row["p_rope"]),
            )
            for row in fitted.estimands.to_dict("records")
        ),
    )
    checks = ReportTable(
        name="checks",
        caption=(
            "Checks of the model. One that fails is a finding about the model or the data, to be read with the numbers "
            "above."
        ),
        origin=origin,
        columns=("Check", "Result", "What was found"),
        rows=tuple(
            (title_of(row["check"]), WORDS[row["passed"]], row["text"])
            for row in checks_frame(found.checks.results).to_dict("records")
        ),
    )
    ledger = ReportTable(
        name="ledger",
        caption="Rows that were dropped, and cells that were filled.",
        origin=origin,
        columns=tuple(str(name) for name in fitted.ledger.columns),
        rows=tuple(tuple(str(cell) for cell in row) for row in fitted.ledger.head(200).to_numpy().tolist()),
    )
    compared = compare_table("compare", found.compared, digits)
    return {
        "compare": compared,
        **({"effects_ends": ends} if hidden else {}),
        "effects": effects,
        "contrasts": contrasts,
        "estimands": estimands,
        "checks": checks,
        "ledger": ledger,
    }
