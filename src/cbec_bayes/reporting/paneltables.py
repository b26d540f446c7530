"""The tables of the report of a fit's folder, and which of many groups they and the figures show."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.classical.tables import MOST_GROUPS
from cbec_bayes.estimands.exposures import of_exposure
from cbec_bayes.jobs.fit_tables import FittedPanel
from cbec_bayes.jobs.neighbours import NOT_LEFT_OUT
from cbec_bayes.jobs.report import ReportedFit
from cbec_bayes.reporting.checks import checks_table
from cbec_bayes.reporting.comparison import compare_table
from cbec_bayes.reporting.differences import difference_tables
from cbec_bayes.reporting.drawing import GROUP_TITLES
from cbec_bayes.reporting.hierarchy import contrast_table, own_slope
from cbec_bayes.reporting.plain import in_natural_order, plain
from cbec_bayes.reporting.spectables import specification_tables
from cbec_bayes.reporting.tables import ReportTable, number, p_value, probability, sampled, sampled_decimals, whole
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW, NO_GROUPS, Origin, level

MOST_DRAWN = MOST_GROUPS
"""Groups that a figure shows at most: the largest and the smallest slopes."""

MOST_LISTED = 200
"""Rows of the ledger that the page shows at most; ledger.csv has all."""


def panel_tables(found: ReportedFit, digits: int) -> Mapping[str, ReportTable]:
    """Return the tables of the page, by name; digits are decimals of what is not sampled."""
    fitted, specified = found.fitted, found.compared.specified
    origin = fitted.fit.design.origin
    known = fitted.effects.dropna(subset=["mean"])
    ci = level(fitted.options.ci)
    effects = _effects_table(known, digits, ci, origin)
    first, *others = fitted.fit.design.exposures
    largest = of_exposure(fitted.contrasts, first).sort_values("mean", key=np.abs, ascending=False).head(MOST_DRAWN)
    tables = (
        *_compared_tables(found, first, "", digits),
        *(
            table
            for k, name in enumerate(others, 2)
            for table in _compared_tables(found, name, f"exposure_{k}_", digits)
        ),
        *_ends_tables(effects, known),
        effects,
        *_exposures_tables(fitted, digits),
        contrast_table(
            "contrasts",
            largest,
            f"Differences between groups, with {ci} intervals; the largest first.",
            origin,
            fitted.options.ci,
        ),
        _estimands_table(fitted, digits),
        _neighbours_table(fitted, origin),
        *_slope_regression_tables(fitted, digits),
        *([] if specified is None or specified.conclusions.empty else specification_tables("", specified)),
        checks_table(
            "checks",
            found.checks.results,
            "Checks of the model, the severest first. What they find concerns the model or the data and should be read "
            "together with the numbers above.",
            origin,
        ),
        _ledger_table(fitted.ledger, origin),
    )
    return {table.name: plain(table, _reasons(fitted, table.name)) for table in tables}


def _reasons(fitted: FittedPanel, name: str) -> Mapping[str, str]:
    """Say by the head of a column why rows of a table may have no number."""
    if name == "compare":
        posterior = "the model has all regressors and is compared only with regressions that have all of them"
        found = dict.fromkeys(("Complete pooling", "Partial pooling", "P(slope > 0)", "Pooling"), posterior)
        return found | {
            "No pooling": "no pooling gives one slope for each group, and none for all rows",
            "CRV1 / CR2 / CRV3": "this standard error needs more clusters, and clusters that contain whole units",
            "Wild p": "the bootstrap needs more clusters, and clusters that contain whole units",
        }
    if name == "differences":
        return dict.fromkeys(("Controls", "Degrees of freedom", "p"), "a row about the posterior has no such number")
    pooled = fitted.fit.model.choice("group_slope") == "pooled"
    of_groups = "the row is not one of the groups whose slopes are pooled"
    return {
        "Units": "a group not seen has no units",
        "Own regression (CRV1)": "only groups have regressions of their own, if their rows allow one",
        "Pooling": of_groups if pooled else "the model does not pool slopes of groups",
        "Log evidence": "it cannot be compared with that of the fitted model, or is not known",
    }


def _compared_tables(found: ReportedFit, exposure: str, prefix: str, digits: int) -> list[ReportTable]:
    """Return the comparison of one exposure's slopes, and whether they differ; captions name one beside the first."""
    compared, ci = found.compared, found.fitted.options.ci
    tables = [
        compare_table(f"{prefix}compare", in_natural_order(of_exposure(compared.table, exposure)), digits),
        *difference_tables(prefix, of_exposure(compared.differences, exposure), digits, ci),
    ]
    return [replace(one, caption=f"{exposure}: {one.caption}") for one in tables] if prefix else tables


def shown_groups(effects: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows of effects that a figure shows, and how many groups it leaves out."""
    groups = effects[~effects["group"].isin(NO_GROUPS)]
    first, rest = effects[effects["group"] == GROUP_AVERAGE], effects[effects["group"].isin([GROUP_ALL, GROUP_NEW])]
    hidden = max(0, len(groups) - MOST_DRAWN)
    if hidden:
        order = groups["mean"].rank(method="first")
        groups = groups[(order <= MOST_DRAWN / 2) | (order > len(groups) - MOST_DRAWN / 2)]
        groups = groups.sort_values("mean", ascending=False)
    return pd.concat([first, groups, rest.dropna(subset=["mean"])], ignore_index=True), hidden


def own_regressions(classical: pd.DataFrame, exposure: str, groups: Iterable[str]) -> pd.DataFrame:
    """Return each group's own regression, with the interval that classical.csv has for it.

    Parameters
    ----------
    classical
        See `cbec_bayes.classical.tables.classical_frame`.
    exposure
        The term whose slopes are shown.
    groups
        Those that are shown.

    Returns
    -------
    DataFrame
        group, estimate, low, high; ends are blank where there is no standard error.
    """
    own = classical[(classical["term"] == exposure) & classical["column"].isin(set(groups) - {GROUP_ALL})]
    names = {"column": "group", "estimate": "estimate", "ci_low": "low", "ci_high": "high"}
    return own[list(names)].rename(columns=names).astype(dict.fromkeys(("estimate", "low", "high"), float))


def _effects_table(effects: pd.DataFrame, digits: int, ci: str, origin: Origin) -> ReportTable:
    alone = f"The average slope over the units of the panel, with its {ci} equal-tailed interval."
    return ReportTable(
        name="effects",
        caption=alone
        if len(effects) == 1
        else (
            f"Slopes after partial pooling, with {ci} equal-tailed intervals. The rows are the average over the units "
            "of the panel, each group, groups in general (the mean of the distribution that the groups come from), "
            "and one "
            "more group that was not seen. Pooling 0 keeps a group's own slope, 1 replaces it by that of groups in "
            "general."
        ),
        origin=origin,
        columns=("Group", "Units", "Own regression (CRV1)", "Mean", "sd", f"{ci} interval", "P(slope > 0)", "Pooling"),
        rows=tuple(
            (
                GROUP_TITLES.get(row["group"], str(row["group"])),
                whole(row["n_units"]),
                own_slope(row, digits),
                *_middle_sd_ends(row),
                probability(row["p_positive"]),
                number(row["pooling_factor"], 2) or "–",
            )
            for row in effects.to_dict("records")
        ),
    )


def _exposures_tables(fitted: FittedPanel, digits: int) -> list[ReportTable]:
    """Return the slopes of every exposure; nothing where there is one."""
    if fitted.effects_of_exposures is None:
        return []
    ci = level(fitted.options.ci)
    return [
        ReportTable(
            name="effects_of_exposures",
            caption=f"Slopes of every exposure after partial pooling, with {ci} equal-tailed intervals.",
            origin=fitted.fit.design.origin,
            columns=("Exposure", "Group", "Own regression (CRV1)", "Mean", "sd", f"{ci} interval", "P(slope > 0)"),
            rows=tuple(
                (
                    str(row["exposure"]),
                    GROUP_TITLES.get(row["group"], str(row["group"])),
                    own_slope(row, digits),
                    *_middle_sd_ends(row),
                    probability(row["p_positive"]),
                )
                for row in fitted.effects_of_exposures.dropna(subset=["mean"]).to_dict("records")
            ),
        )
    ]


def _middle_sd_ends(row: Mapping[Hashable, Any]) -> tuple[str, str, str]:
    middle, ends = sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"])
    return middle, number(row["sd"], sampled_decimals(row["ci_low"], row["ci_high"], row["mcse"])), ends


def _ends_tables(effects: ReportTable, rows: pd.DataFrame) -> list[ReportTable]:
    """Return the table of effects with the groups at its ends alone; nothing where it shows all."""
    few, hidden = shown_groups(rows)
    if not hidden:
        return []
    chosen = set(few["group"])
    ends = replace(
        effects,
        name="effects_ends",
        caption=f"The largest and the smallest slopes; {hidden} groups lie between them. {effects.caption}",
        rows=tuple(cells for cells, group in zip(effects.rows, rows["group"], strict=True) if group in chosen),
    )
    return [ends]


def _estimands_table(fitted: FittedPanel, digits: int) -> ReportTable:
    estimands, options = fitted.estimands, fitted.options
    half = number(estimands["rope_half_width"].iloc[0], digits)
    source = (
        "a tenth of the ratio of the standard deviations of outcome and exposure within units and periods"
        if options.rope is None
        else "as was asked for"
    )
    return ReportTable(
        name="estimands",
        caption=(
            f"The average slope over units, the slopes of groups, and the probability that each is practically zero, "
            f"which means between −{half} and {half}: {source}."
        ),
        origin=fitted.fit.design.origin,
        columns=("Slope", "Mean", f"{level(options.ci)} interval", "P(practically zero)"),
        rows=tuple(
            (
                GROUP_TITLES.get(row["estimand"], str(row["estimand"])),
                *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
                probability(row["p_rope"]),
            )
            for row in estimands.to_dict("records")
        ),
    )


def _neighbours_table(fitted: FittedPanel, origin: Origin) -> ReportTable:
    """Return the average slope under the fitted member and without each of its terms; no rows where it has none."""
    rows = [] if fitted.neighbours is None else fitted.neighbours.table.to_dict("records")
    return ReportTable(
        name="neighbours",
        caption="The average slope over units under the fitted member, and with one of its terms left out or replaced.",
        origin=origin,
        columns=("Term", "Mean", f"{level(fitted.options.ci)} interval", "P(slope > 0)", "Log evidence", "Gates"),
        rows=tuple(
            (
                str(row["term"]) if row["term"] in NOT_LEFT_OUT else f"without {row['term']}",
                *sampled(row["mean"], row["ci_low"], row["ci_high"], 0.0),
                probability(row["p_positive"]),
                number(row["log_evidence"], 1),
                str(row["gate"]),
            )
            for row in rows
        ),
    )


def _slope_regression_tables(fitted: FittedPanel, digits: int) -> list[ReportTable]:
    """Return the regression of the groups' slopes on characteristics of the groups; nothing where there is none."""
    if fitted.slope_regression is None:
        return []
    ci = level(fitted.options.ci)
    return [
        ReportTable(
            name="slope_regression",
            caption=(
                f"Slopes of groups regressed on characteristics of the groups, with {ci} intervals. The change is "
                "that of "
                "the slope with one more unit of the characteristic. The standard deviations τ between groups, with "
                "the characteristics and without, are posterior medians of two fits; the share of variance explained "
                "follows from them. The last columns are the coefficient of exposure times characteristic in the "
                "two-way regression, with errors clustered by unit (CR2)."
            ),
            origin=fitted.fit.design.origin,
            columns=(
                *("Characteristic", "Change", f"{ci} interval", "P(change > 0)"),
                *("τ with", "τ without", "Explained", "Regression (CR2)", "p"),
            ),
            rows=tuple(
                (
                    str(row["covariate"]),
                    *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
                    probability(row["p_positive"]),
                    number(row["tau_with"], digits),
                    number(row["tau_without"], digits) or "–",
                    number(row["explained"], 2) or "–",
                    f"{number(row['estimate'], digits)} ({number(row['cr2_se'], digits)})",
                    p_value(row["cr2_p"]) or "–",
                )
                for row in fitted.slope_regression.table.to_dict("records")
            ),
        )
    ]


def _ledger_table(ledger: pd.DataFrame, origin: Origin) -> ReportTable:
    return ReportTable(
        name="ledger",
        caption="Rows that were dropped, and cells that were filled.",
        origin=origin,
        columns=tuple(str(name) for name in ledger.columns),
        rows=tuple(tuple(str(cell) for cell in row) for row in ledger.head(MOST_LISTED).to_numpy().tolist()),
    )
