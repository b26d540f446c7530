"""The figures of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.report.drawing import (
    BLUE,
    DASHES,
    GREEN,
    GREY,
    GROUP_TITLES,
    INK,
    ORANGE,
    PINK,
    as_svg,
    new_figure,
)
from cbec_bayes.spec import CI_PROB

Array = NDArray[np.float64]


def forest(effects: pd.DataFrame, printed: pd.DataFrame, xlabel: str) -> str:
    """Draw printed slopes beside pooled ones.

    Parameters
    ----------
    effects
        Table of effects; groups are drawn in order, first on top.
    printed
        Columns group, estimate, low, high: the printed slopes and the intervals that their parentheses give when
        read as standard errors.
    xlabel
        Name of the slope.
    """
    rows = len(effects)
    at = np.arange(rows)[::-1].astype(float)
    with new_figure(0.62 * rows + 0.9) as (figure, axes):
        axes.axvline(0, color=GREY, linewidth=0.8)
        place = dict(zip(effects["group"], at, strict=True))
        known = printed.dropna(subset=["estimate"])
        y = np.array([place[group] for group in known["group"]]) + 0.16
        axes.hlines(y, known["low"], known["high"], color=ORANGE, linewidth=1.3, linestyle=(0, (2, 1.5)))
        axes.plot(
            known["estimate"],
            y,
            "D",
            markerfacecolor="none",
            color=ORANGE,
            markersize=6,
            label="printed (dotted: ± t × parentheses)",
        )
        axes.hlines(at - 0.16, effects["ci_low"], effects["ci_high"], color=BLUE, linewidth=2.4)
        axes.plot(effects["mean"], at - 0.16, "o", color=BLUE, markersize=6.5, label="partial pooling, 95 % interval")
        axes.set_yticks(at, [GROUP_TITLES.get(group, group) for group in effects["group"]])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, rows - 0.4)
        axes.set_xlabel(xlabel)
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, handletextpad=0.3, columnspacing=1.2)
        described = "; ".join(
            f"{GROUP_TITLES.get(row['group'], row['group'])} {row['mean']:.2f} "
            f"({row['ci_low']:.2f} to {row['ci_high']:.2f})"
            for row in effects.to_dict("records")
        )
        return as_svg(figure, "Slopes by region", f"partial pooling with {CI_PROB:.0%} intervals: {described}")


def path(
    labels: Sequence[str],
    tau: Array,
    means: Array,
    density: Array,
    complete: float,
    xlabel: str,
    title: str = "Shrinkage path",
) -> str:
    """Draw each region's slope as the between-region scale goes from complete to no pooling.

    Parameters
    ----------
    labels
        R regions.
    tau
        Between-region scale, shape (M,), increasing and positive.
    means
        Conditional posterior means, shape (M, R).
    density
        Posterior density of log tau at `tau`, shape (M,).
    complete
        Slope under complete pooling.
    xlabel
        Name of the scale.
    title
        Of the figure; figures of one page need different ones.
    """
    with new_figure(4.2, panels=(2, 1), sharex=True, height_ratios=(3.2, 1)) as (figure, (upper, lower)):
        styles = zip(labels, means.T, (BLUE, ORANGE, GREEN, PINK) * 8, DASHES * 8, strict=False)
        for label, line, colour, dashes in styles:
            upper.plot(tau, line, color=colour, linestyle=dashes, linewidth=1.8)
            upper.annotate(
                label,
                (tau[-1], line[-1]),
                (4, 0),
                textcoords="offset points",
                color=INK,
                va="center",
                fontsize=9,
                annotation_clip=False,
            )
        upper.axhline(complete, color=GREY, linewidth=0.8)
        upper.set_xscale("log")
        upper.set_xlim(tau[0], tau[-1])
        upper.minorticks_off()
        upper.set_ylabel("slope given the scale")
        upper.set_title("← complete pooling", loc="left", fontsize=9)
        upper.set_title("no pooling →", loc="right", fontsize=9)
        lower.fill_between(tau, density, color=GREY, alpha=0.45, linewidth=0)
        lower.set_yticks([])
        lower.set_ylabel("posterior")
        lower.set_xlabel(xlabel)
        ticks = [10.0**k for k in range(-6, 7) if tau[0] <= 10.0**k <= tau[-1]]
        lower.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ends = "; ".join(f"{label} from {m[0]:.2f} to {m[-1]:.2f}" for label, m in zip(labels, means.T, strict=True))
        return as_svg(figure, title, f"slopes from complete to no pooling: {ends}")


def sensitivity(table: pd.DataFrame, groups: Sequence[str], names: Mapping[str, str], xlabel: str) -> str:
    """Draw every region's interval under every reading of the standard errors and every prior.

    Parameters
    ----------
    table
        Columns reading, model, group, mean, ci_low, ci_high.
    groups
        Regions, one panel each.
    names
        Model to short name.
    xlabel
        Name of the slope.
    """
    readings = list(dict.fromkeys(table["reading"]))
    models = list(dict.fromkeys(table["model"]))
    markers, colours = ("o", "s", "^", "v"), (BLUE, ORANGE, GREEN, PINK)
    columns = 2
    n_rows = -(-len(groups) // columns)
    with new_figure(2.05 * n_rows + 0.8, panels=(n_rows, columns), squeeze=False, sharey=True) as (figure, grid):
        handles: dict[str, Any] = {}
        for axes, group in zip(grid.ravel(), groups, strict=False):
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_title(GROUP_TITLES.get(group, group), fontsize=10)
            for i, reading in enumerate(readings):
                for j, model in enumerate(models):
                    row = table[
                        (table["reading"] == reading) & (table["model"] == model) & (table["group"] == group)
                    ].iloc[0]
                    y = -i - (j - (len(models) - 1) / 2) * 0.18
                    axes.hlines(y, row["ci_low"], row["ci_high"], color=colours[j % 4], linewidth=1.6)
                    (handles[model],) = axes.plot(row["mean"], y, markers[j % 4], color=colours[j % 4], markersize=4.5)
            axes.set_yticks([-i for i in range(len(readings))], [reading.replace("_", " ") for reading in readings])
            axes.tick_params(axis="y", length=0)
        for axes in grid.ravel()[len(groups) :]:
            axes.set_visible(False)
        figure.supxlabel(xlabel, fontsize=9)
        figure.legend(
            handles.values(),
            [names.get(model, model) for model in handles],
            loc="outside upper center",
            ncols=min(len(models), 4),
        )
        return as_svg(
            figure,
            "Sensitivity",
            f"{CI_PROB:.0%} intervals of each region's slope under {len(readings)} readings of the parentheses and "
            f"{len(models)} priors; the numbers are in sensitivity.csv",
        )


QUANTITIES = {"estimate": "coefficient", "se": "clustered standard error", "t": "t", "r2": "R²"}
_FARTHEST = 6.0  # distances beyond are drawn at the edge


def predictive_grid(table: pd.DataFrame, exposure: str, title: str) -> str:
    """Draw every cell of the classical tables in its posterior predictive distribution.

    Parameters
    ----------
    table
        Columns table, column, term, quantity, z, z_printed, outside; see `cbec_bayes.checks.cells`.
    exposure
        The term whose cells are filled.
    title
        Of the figure.
    """
    places = list(dict.fromkeys(zip(table["table"], table["column"], strict=True)))
    shown = [quantity for quantity in QUANTITIES if (table["quantity"] == quantity).any()]
    with new_figure(2 * (0.28 * len(places) + 0.75), panels=(2, 2), sharex=True, sharey=True) as (figure, grid):
        for axes, quantity in zip(grid.ravel(), shown, strict=False):
            axes.axvspan(-1.96, 1.96, color=GREY, alpha=0.18, linewidth=0)
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_title(QUANTITIES[quantity], fontsize=9)
            for row in table[table["quantity"] == quantity].to_dict("records"):
                y = -places.index((row["table"], row["column"]))
                own = row["term"] in (exposure, "")
                z = min(max(row["z"], -_FARTHEST), _FARTHEST)
                colour = ORANGE if row["outside"] else BLUE
                face = colour if own else "none"
                axes.plot(z, y, "o", color=colour, markerfacecolor=face, markersize=4.5 if own else 3.5, clip_on=False)
                if row["z_printed"] == row["z_printed"]:
                    other = min(max(row["z_printed"], -_FARTHEST), _FARTHEST)
                    axes.plot(other, y + 0.25, "x", color=PINK, markersize=3.5, clip_on=False)
            axes.set_xlim(-_FARTHEST - 0.5, _FARTHEST + 0.5)
            axes.set_yticks([-i for i in range(len(places))], [f"{t}: {c}" for t, c in places])
            axes.tick_params(axis="y", length=0)
        for axes in grid.ravel()[len(shown) :]:
            axes.set_visible(False)
        figure.supxlabel("distance from the replicates' median (band: 95 %)", fontsize=9)
        n_out = int(table["outside"].sum())
        return as_svg(figure, title, f"{len(table)} cells of the classical tables, {n_out} of them far out")


def predictive_statistics(table: pd.DataFrame, title: str) -> str:
    """Draw every statistic of the residuals in its posterior predictive distribution.

    Parameters
    ----------
    table
        Columns statistic, of, z, outside; see `cbec_bayes.checks.residuals`.
    title
        Of the figure.
    """
    with new_figure(0.21 * len(table) + 0.7) as (figure, axes):
        axes.axvspan(-1.96, 1.96, color=GREY, alpha=0.18, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        labels = []
        for i, row in enumerate(table.to_dict("records")):
            z = min(max(row["z"], -_FARTHEST), _FARTHEST)
            axes.plot(z, -i, "D" if row["outside"] else "o", color=ORANGE if row["outside"] else BLUE, clip_on=False)
            spread = row["statistic"].startswith("log spread")
            labels.append(f"spread, {row['of']}" if spread else f"{row['statistic']}, {row['of']}")
        axes.set_xlim(-_FARTHEST - 0.5, _FARTHEST + 0.5)
        axes.set_yticks([-i for i in range(len(table))], labels, fontsize=8)
        axes.tick_params(axis="y", length=0)
        figure.supxlabel("distance from the replicates' median (band: 95 %)", fontsize=9)
        n_out = int(table["outside"].sum())
        return as_svg(figure, title, f"{len(table)} statistics of outcome and residuals, {n_out} of them far out")


def influence(table: pd.DataFrame, groups: Sequence[str], title: str, most: int = 12) -> str:
    """Draw how each group's slope moves when one unit, or group, is left out; those that move it most.

    Parameters
    ----------
    table
        Columns left_out, group, moved; see `cbec_bayes.checks.influence`.
    groups
        Groups in order.
    title
        Of the figure.
    most
        How many of those left out are drawn.
    """
    largest = table.groupby("left_out")["moved"].agg(lambda moved: moved.abs().max()).sort_values(ascending=False)
    names = list(largest.index[:most])
    markers, colours = ("o", "s", "^", "v", "D"), (BLUE, ORANGE, GREEN, PINK, GREY)
    with new_figure(0.24 * len(names) + 1.0) as (figure, axes):
        axes.axvspan(-1, 1, color=GREY, alpha=0.18, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        for r, group in enumerate(groups):
            own = table[(table["group"] == group) & table["left_out"].isin(names)]
            at = [-names.index(name) for name in own["left_out"]]
            axes.plot(own["moved"], at, markers[r % 5], color=colours[r % 5], markersize=4.5, label=group)
        axes.set_yticks([-i for i in range(len(names))], names)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("move of the slope, in its posterior standard deviations")
        figure.legend(loc="outside upper center", ncols=min(len(groups), 5))
        return as_svg(figure, title, f"moves of slopes without each of {len(names)}; the largest {largest.iloc[0]:.1f}")


def model_comparison(table: pd.DataFrame, title: str) -> str:
    """Draw how much better or worse members predict what is left out than the fitted one, question by question.

    Parameters
    ----------
    table
        Columns question, model, difference, difference_se; see `cbec_bayes.checks.comparison`.
    title
        Of the figure.
    """
    questions = list(dict.fromkeys(table["question"]))
    models = list(dict.fromkeys(table["model"]))
    with new_figure(0.21 * len(models) * len(questions) + 0.45 * len(questions) + 0.5, panels=(len(questions), 1)) as (
        figure,
        grid,
    ):
        for axes, question in zip(np.ravel(grid), questions, strict=True):
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_title(question, fontsize=9, loc="left")
            own = table[table["question"] == question].set_index("model")
            for i, model in enumerate(models):
                if model not in own.index or np.isnan(own.loc[model, "difference"]):
                    axes.annotate("predicts none", (0, -i), (6, 0), textcoords="offset points", va="center", fontsize=8)
                    continue
                middle, error = own.loc[model, "difference"], own.loc[model, "difference_se"]
                better = middle > 4 and middle > 2 * error
                colour = ORANGE if better else BLUE
                axes.hlines(-i, middle - 2 * error, middle + 2 * error, color=colour, linewidth=1.6)
                axes.plot(middle, -i, "D" if better else "o", color=colour, markersize=4.5)
            axes.set_yticks([-i for i in range(len(models))], models, fontsize=8)
            axes.set_ylim(-len(models) + 0.4, 0.6)
            axes.tick_params(axis="y", length=0)
        figure.supxlabel("log predictive density less the headline's, ± 2 standard errors", fontsize=9)
        return as_svg(figure, title, f"{len(models)} members on {len(questions)} questions")
