"""The figures of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.estimands import leaves_zero_out
from cbec_bayes.reporting.drawing import (
    BLUE,
    DASHES,
    GREEN,
    GREY,
    GROUP_TITLES,
    INK,
    ORANGE,
    PINK,
    WIDTH,
    Drawing,
    apart,
    new_figure,
)
from cbec_bayes.runtime.labels import CI_PROB, level

Array = NDArray[np.float64]


def forest(
    effects: pd.DataFrame,
    printed: pd.DataFrame,
    xlabel: str,
    beside: str = "printed (dotted: ± t × parentheses)",
    prob: float = CI_PROB,
) -> Drawing:
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
    beside
        What the printed slopes are called.
    prob
        Probability of the intervals of the pooled ones.
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
            label=beside if len(known) else None,
        )
        axes.hlines(at - 0.16, effects["ci_low"], effects["ci_high"], color=BLUE, linewidth=2.4)
        axes.plot(
            effects["mean"],
            at - 0.16,
            "o",
            color=BLUE,
            markersize=6.5,
            label=f"{'partial pooling' if len(known) else 'posterior'}, {level(prob)} interval",
        )
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
        return Drawing(figure, "Slopes by group", f"partial pooling with {level(prob)} intervals: {described}")


def prior_posterior(learned: pd.DataFrame, title: str) -> Drawing:
    """Draw the density of every scale before and after the data.

    Parameters
    ----------
    learned
        See `cbec_bayes.estimands.prior_posterior.prior_posterior`.
    title
        Title of the figure.
    """
    names = list(learned["parameter"].unique())
    rows = -(-len(names) // 2)
    with new_figure(1.5 * rows + 0.7, panels=(rows, 2), squeeze=False) as (figure, grid):
        for axes, name in zip(grid.ravel(), names, strict=False):
            own = learned[learned["parameter"] == name]
            axes.fill_between(own["value"], own["posterior"], color=BLUE, alpha=0.25, linewidth=0)
            axes.plot(own["value"], own["posterior"], color=BLUE, linewidth=1.4, label="after the data")
            axes.plot(own["value"], own["prior"], color=ORANGE, linewidth=1.4, linestyle=(0, (5, 2)), label="before")
            if own["value"].max() > 10 * own["value"].min():
                axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_title(SYMBOLS.get(name.partition("[")[0], name.partition("[")[0]) + _bracket(name), fontsize=9)
            axes.set_yticks([])
            axes.set_ylim(0)
            axes.tick_params(labelsize=8)
        for axes in grid.ravel()[len(names) :]:
            axes.set_visible(False)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
        figure.supxlabel("value of the scale; density of its logarithm", fontsize=9)
        return Drawing(figure, title, f"densities before and after the data of {', '.join(names)}")


SYMBOLS = {"sigma": "σ", "tau": "τ", "phi": "φ", "kappa": "κ", "xi": "ξ"} | {
    "sigma_mu": "σ of units",
    "sigma_lambda": "σ of periods",
}
"""How scales are written; MODEL.md's symbols."""


def _bracket(name: str) -> str:
    label = name.partition("[")[2]
    return f" ({label.removesuffix(']')})" if label else ""


def tile_map(effects: pd.DataFrame, tiles: pd.DataFrame, xlabel: str, title: str) -> Drawing:
    """Draw the effect of every unit on a grid of tiles that lie roughly as the units do on a map.

    Parameters
    ----------
    effects
        Columns unit, mean, ci_low, ci_high.
    tiles
        Columns unit, label, row, column; those of units without an effect stay empty.
    xlabel
        What the effects are.
    title
        Title of the figure.
    """
    placed = tiles.merge(effects, on="unit", how="left")
    placed["sure"] = leaves_zero_out(placed)
    most = float(placed["mean"].abs().max())
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    with new_figure(WIDTH * (placed["row"].max() + 1) / (placed["column"].max() + 1) + 0.5) as (figure, axes):
        for row in placed.to_dict("records"):
            there = row["mean"] == row["mean"]
            share = abs(row["mean"]) / most if there else 0.0
            colour = (ORANGE if row["mean"] < 0 else BLUE) if there else "none"
            corner = row["column"] - 0.47, -row["row"] - 0.47
            axes.add_patch(
                Rectangle(
                    corner,
                    0.94,
                    0.94,
                    facecolor=(*to_rgb(colour), 0.08 + 0.5 * share) if there else "none",
                    edgecolor=colour if row["sure"] else GREY,
                    linewidth=1.4 if row["sure"] else 0.5,
                    linestyle="-" if there else ":",
                )
            )
            axes.annotate(row["label"], (row["column"], -row["row"] + 0.16), ha="center", va="center", fontsize=9)
            if there:
                text = f"{row['mean']:+.2f}".replace("-", "\N{MINUS SIGN}")
                axes.annotate(text, (row["column"], -row["row"] - 0.2), ha="center", va="center", fontsize=7)
        axes.set_xlim(placed["column"].min() - 0.6, placed["column"].max() + 0.6)
        axes.set_ylim(-placed["row"].max() - 0.6, 0.6)
        axes.set_aspect("equal")
        axes.axis("off")
        figure.supxlabel(xlabel, fontsize=9)
        known = placed.dropna(subset=["mean"]).sort_values("mean")
        ends = f"smallest in {known['unit'].iloc[0]}, largest in {known['unit'].iloc[-1]}"
        return Drawing(figure, title, f"effects of {len(known)} units; {ends}")


def path(
    *,
    labels: Sequence[str],
    tau: Array,
    means: Array,
    density: Array,
    complete: float,
    xlabel: str,
    title: str = "Shrinkage path",
) -> Drawing:
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
        Title of the figure; figures of one page need different ones.
    """
    with new_figure(4.2, panels=(2, 1), sharex=True, height_ratios=(3.2, 1)) as (figure, (upper, lower)):
        styles = zip(means.T, (BLUE, ORANGE, GREEN, PINK) * 8, DASHES * 8, strict=False)
        for line, colour, dashes in styles:
            upper.plot(tau, line, color=colour, linestyle=dashes, linewidth=1.8)
        ends = _ends(means)
        spread = (np.nanmax(means) - np.nanmin(means)) or 1.0
        for label, at, end in zip(labels, apart(ends[1], 0.06 * spread), ends[1], strict=True):
            upper.annotate(
                label,
                (tau[-1], end),
                (tau[-1] * 1.03, at),
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
        upper.set_title("← one slope", loc="left", fontsize=9)
        upper.set_title("slopes apart →", loc="right", fontsize=9)
        lower.fill_between(tau, density, color=GREY, alpha=0.45, linewidth=0)
        lower.set_yticks([])
        lower.set_ylabel("posterior")
        lower.set_xlabel(xlabel)
        ticks = [10.0**k for k in range(-6, 7) if tau[0] <= 10.0**k <= tau[-1]]
        lower.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        said = "; ".join(f"{label} from {a:.2f} to {b:.2f}" for label, a, b in zip(labels, *ends, strict=True))
        return Drawing(figure, title, f"slopes from complete to no pooling: {said}")


def _ends(means: Array) -> tuple[Array, Array]:
    """Return the first and the last slopes of a path that are there, each of shape (R,): a fit may have none."""
    there = means[np.isfinite(means).all(axis=1)]
    return there[0], there[-1]


def sensitivity(table: pd.DataFrame, groups: Sequence[str], names: Mapping[str, str], xlabel: str) -> Drawing:
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
        return Drawing(
            figure,
            "Sensitivity",
            f"{level(CI_PROB)} intervals of each region's slope under {len(readings)} readings of the parentheses and "
            f"{len(models)} priors; the numbers are in sensitivity.csv",
        )
