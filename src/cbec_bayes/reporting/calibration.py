"""The calibration in the report: rank plots, who covers at what width, and what produced the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cbec_bayes.calibration.coverage import CLASSICAL, SCENARIOS
from cbec_bayes.calibration.event_coverage import HIERARCHICAL, QUANTITIES, SANDWICH, WRONG_ERRORS
from cbec_bayes.calibration.sbc import LEVEL
from cbec_bayes.calibration.verdicts import RankCurves, coverage_band, model_verdicts, rank_curves
from cbec_bayes.jobs.calibrate import Shown
from cbec_bayes.reporting.drawing import BLUE, GREEN, GREY, ORANGE, PINK, as_svg, new_figure
from cbec_bayes.reporting.tables import ReportTable, number, percent
from cbec_bayes.runtime.labels import GROUP_ALL, Origin

SHOWN_CLUSTERS = (3, 10)
"""Sizes of the groups whose coverage the report shows; coverage.csv has all."""

DRAWN = (CLASSICAL[0], CLASSICAL[1], CLASSICAL[2], CLASSICAL[3], "partial_pooling", "nested", "ar1")
"""Methods of the figure of coverage."""


def calibration_tables(found: Shown) -> list[ReportTable]:
    """Return one row per calibrated model, and coverage with widths for the common slope and two sizes of groups."""
    columns = found.coverage.drop_duplicates("column").set_index("column")["n_clusters"]
    shown = [GROUP_ALL, *(str(c) for n in SHOWN_CLUSTERS for c, size in columns.items() if size == n)]
    covered = (_coverage_table(found.coverage, column, int(columns[column])) for column in shown)
    return [_ranks_table(found.sbc), *covered, _events_table(found.events)]


def _ranks_table(sbc: pd.DataFrame) -> ReportTable:
    rows = []
    for one in model_verdicts(sbc):
        missed = one.missed
        words = ("not uniform", "uniform") if one.is_right else ("found out", "not found out")
        rows.append(
            (
                one.model if one.is_right else f"{one.model}, on data of {one.data_of}",
                str(one.replications),
                str(one.quantities),
                number(one.smallest_p, 3) if one.smallest_p >= 0.001 else "< 0.001",
                words[0] if missed else words[1],
                ", ".join(missed[:6]) + (f" and {len(missed) - 6} more" if len(missed) > 6 else ""),
            )
        )
    return ReportTable(
        name="calibration_sbc",
        caption=(
            "Simulation-based calibration: data are drawn from a model with its priors, the model is fitted, and the "
            "truth is ranked among 99 posterior draws; ranks must be uniform. All tests of right models together call "
            f"one wrong in {percent(LEVEL)} of such studies. The last two models are wrong on purpose."
        ),
        origin=Origin.SIMULATED,
        columns=("Model", "Replications", "Quantities", "Smallest p", "Ranks", "Quantities that are not uniform"),
        rows=tuple(rows),
    )


def _coverage_table(coverage: pd.DataFrame, column: str, n_clusters: int) -> ReportTable:
    own = coverage[coverage["column"] == column]
    scenarios = list(dict.fromkeys(own["scenario"]))
    rows = []
    for method in dict.fromkeys(own["method"]):
        by_scenario = own[own["method"] == method].set_index("scenario")
        cells = []
        for scenario in scenarios:
            row = by_scenario.loc[scenario]
            if np.isnan(row["coverage"]):
                cells.append("–")
                continue
            width = f"{row['width_median']:.3g}" if np.isfinite(row["width_median"]) else "unbounded"
            cells.append(f"{row['coverage']:.2f} ({width})")
        rows.append((str(method), *cells))
    of = "the common slope" if column == GROUP_ALL else f"the slope of a group with {n_clusters} units"
    error = float(own["mc_se"].max())
    size = int(own["replications"].max())
    return ReportTable(
        name=f"calibration_coverage_{'all' if column == GROUP_ALL else n_clusters}",
        caption=(
            f"Coverage of 95 % intervals for {of}, and in parentheses their median width, over {size} simulated "
            f"panels per "
            f"column (standard error of a coverage at most {error:.3f}). {_failures(own)}"
        ),
        origin=Origin.SIMULATED,
        columns=("Interval", *scenarios),
        rows=tuple(rows),
    )


def _events_table(events: pd.DataFrame) -> ReportTable:
    """Return coverage and median width of every interval of effects of staggered adoption, a row per effect."""
    scenarios = list(dict.fromkeys(events["scenario"]))
    cells = {
        (row["column"], row["method"], row["scenario"]): (
            f"{row['coverage']:.2f} ({row['width_median']:.3g})" if row["replications"] else "–"
        )
        for row in events.to_dict("records")
    }
    named = dict.fromkeys((column, method) for column, method, _ in cells)
    return ReportTable(
        name="calibration_events",
        caption=(
            "Coverage of 95 % intervals for effects of staggered adoption that grow over time and differ between "
            f"cohorts, with their median width in parentheses. Each column has {int(events['replications'].max())} "
            f"simulated panels (standard error of a coverage at most {float(events['mc_se'].max()):.3f}). Before "
            f"adoption there is no effect. {_failures(events)}"
        ),
        origin=Origin.SIMULATED,
        columns=("Effect", "Interval", *scenarios),
        rows=tuple((*one, *(cells.get((*one, scenario), "") for scenario in scenarios)) for one in named),
    )


def _failures(own: pd.DataFrame) -> str:
    """Say how many fits could not be used, by method and scenario."""
    failed = own[own["failed"] > 0]
    if failed.empty:
        return "No fit failed."
    named = "; ".join(f"{row.failed} of {row.method}, {row.scenario}" for row in failed.itertuples())
    return f"Fits that failed count neither as covering nor as not: {named}."


FIGURES = ("calibration_ranks", "calibration_coverage")
"""Names of the drawings of `calibration_figures`."""


def calibration_figures(found: Shown) -> dict[str, str]:
    """Draw the rank plots and the coverage, by name of the drawing."""
    drawn = (_rank_plots(rank_curves(found.ranks)), _coverage_plot(found.coverage))
    return dict(zip(FIGURES, drawn, strict=True))


def _rank_plots(models: Sequence[RankCurves]) -> str:
    columns = 3
    n_rows = -(-len(models) // columns)
    with new_figure(1.45 * n_rows + 0.5, panels=(n_rows, columns), squeeze=False, sharex=True) as (figure, grid):
        for axes, own in zip(grid.ravel(), models, strict=False):
            axes.fill_between(own.at, own.low, own.high, color=GREY, alpha=0.3, linewidth=0)
            for line, out in zip(own.differences, own.outside, strict=True):
                axes.plot(own.at, line, color=ORANGE if out else BLUE, linewidth=1.3 if out else 0.7)
            axes.set_title(
                own.model if own.model == own.data_of else f"{own.model},\ndata of {own.data_of}", fontsize=8
            )
            axes.tick_params(labelsize=7)
            axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        for axes in grid.ravel()[len(models) :]:
            axes.set_visible(False)
        figure.supxlabel("rank of the truth", fontsize=9)
        figure.supylabel("distribution less uniform", fontsize=9)
        return as_svg(
            figure,
            "Rank plots",
            f"{len(models)} models: the distribution function of the rank of every quantity's truth, less the uniform "
            "one, with simultaneous bands; quantities outside are thicker",
        )


def _coverage_plot(coverage: pd.DataFrame) -> str:
    markers, colours = ("o", "s", "^", "v", "D", "P", "X"), (GREY, GREY, GREY, GREY, BLUE, ORANGE, GREEN, PINK)
    scenarios = [one.name for one in SCENARIOS if (coverage["scenario"] == one.name).any()]
    with new_figure(0.34 * len(scenarios) * 2 + 1.6, panels=(len(SHOWN_CLUSTERS), 1), sharex=True) as (figure, grid):
        for axes, n in zip(np.ravel(grid), SHOWN_CLUSTERS, strict=True):
            own = coverage[(coverage["n_clusters"] == n) & (coverage["column"] != GROUP_ALL)]
            axes.axvspan(*coverage_band(int(own["replications"].max())), color=GREY, alpha=0.25, linewidth=0)
            for j, method in enumerate(DRAWN):
                part = own[own["method"] == method].set_index("scenario")
                y = [-i + 0.3 - 0.1 * j for i in range(len(scenarios))]
                x = [part.loc[scenario, "coverage"] if scenario in part.index else np.nan for scenario in scenarios]
                label = method if n == SHOWN_CLUSTERS[0] else None
                axes.plot(x, y, markers[j], color=colours[j], markersize=4.2, linestyle="none", label=label)
            axes.set_yticks([-i for i in range(len(scenarios))], scenarios, fontsize=8)
            axes.tick_params(axis="y", length=0)
            axes.set_title(f"slope of a group with {n} units", fontsize=9, loc="left")
        figure.supxlabel("coverage of 95 % intervals (band: two standard errors about .95)", fontsize=9)
        figure.legend(loc="outside upper center", ncols=3, fontsize=8)
        return as_svg(
            figure,
            "Coverage",
            f"coverage of {len(DRAWN)} intervals in {len(scenarios)} scenarios; numbers in the tables",
        )


def calibration_sentences(found: Shown) -> tuple[str, ...]:
    """Return what the calibration says, and whether this version of the code produced it."""
    right = [one for one in model_verdicts(found.sbc) if one.is_right]
    quantities, failed = sum(one.quantities for one in right), sum(len(one.missed) for one in right)
    ranks = (
        f"The ranks of {failed} of {quantities} quantities of {len(right)} members are not uniform."
        if failed
        else f"Every one of {len(right)} members is calibrated: the ranks of all {quantities} quantities are uniform."
    )
    few = found.coverage[found.coverage["n_clusters"] == min(SHOWN_CLUSTERS)]
    by_method = {(row["scenario"], row["method"]): row for row in few.to_dict("records")}

    def said(scenario: str, method: str) -> str:
        row = by_method[scenario, method]
        return f"{row['coverage']:.2f} at a median width of {row['width_median']:.2g}"

    serial = "serial correlation"
    return (
        ranks,
        f"For a group of three units with serially correlated residuals the usual clustered interval covers "
        f"{said(serial, CLASSICAL[0])}, the jackknife's {said(serial, CLASSICAL[2])}, the headline model's "
        f"{said(serial, 'partial_pooling')}, and that with AR(1) residuals {said(serial, 'ar1')}.",
        _said_of_events(found.events),
        "The code and the models of this version produced these numbers."
        if found.current
        else "These numbers are of an earlier version of the code or the models; `cbec-bayes calibrate` renews them.",
    )


def _said_of_events(events: pd.DataFrame) -> str:
    """Say how often the intervals of the mean effect of staggered adoption hold the truth."""
    own = events[events["column"] == QUANTITIES[0]]

    def said(method: str, scenarios: Sequence[str]) -> str:
        of = own[(own["method"] == method) & own["scenario"].isin(scenarios)]["coverage"]
        low, high = f"{of.min():.2f}", f"{of.max():.2f}"
        return low if low == high else f"{low} to {high}"

    every = list(dict.fromkeys(own["scenario"]))
    right = [one for one in every if one != WRONG_ERRORS]
    return (
        "In some panels effects of staggered adoption grow over time and differ between cohorts. There the interval of "
        f"the two-way coefficient covers the mean effect in {said('twfe', every)} of the panels, that of Sun and "
        f"Abraham in {said('sun_abraham', every)}, and that of the hierarchical model in {said(HIERARCHICAL, right)}. "
        "Where the model takes serially correlated errors as independent it covers in "
        f"{said(HIERARCHICAL, [WRONG_ERRORS])}, and with the standard deviation over units (sd_ij) in "
        f"{said(SANDWICH, [WRONG_ERRORS])}."
    )
