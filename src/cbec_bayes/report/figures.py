"""Figures as SVG text: one style, readable without colour, on light and dark pages alike."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.spec import CI_PROB, GROUP_ALL, GROUP_NEW

Array = NDArray[np.float64]

WIDTH = 5.4  # inches; narrow enough to be read on a telephone, scaled up on a desk
INK = "#010203"  # stands for the page's own text colour, see `_svg`
# Okabe and Ito's palette, the tones that hold on white and on near-black.
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A8A8A"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cbec_bayes",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
GROUP_TITLES = {GROUP_ALL: "mean of all regions", GROUP_NEW: "a new region"}


@contextmanager
def _figure(height: float, *, panels: tuple[int, int] = (1, 1), **options: Any) -> Iterator[tuple[Any, Any]]:
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots(*panels, **options)


def _svg(figure: Any, title: str, description: str) -> str:
    """Return the SVG element, with the page's text colour for ink and a title and description for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = svg.replace("'DejaVu Sans', 'Bitstream Vera Sans',", "")
    # matplotlib numbers ids alike in every figure, or hashes coordinates; a page needs them unique and stable.
    slug = title.lower().replace(" ", "-")
    names = {name: f"{slug}-{n}" for n, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))}
    svg = re.sub(r'(\bid="|href="#|url\(#)([^")]+)', lambda m: m[1] + names.get(m[2], m[2]), svg)
    opening, rest = svg.split(">", 1)
    return f'{opening} role="img" aria-label="{title}: {description}">{rest}'


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
    with _figure(0.62 * rows + 0.9) as (figure, axes):
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
        return _svg(figure, "Slopes by region", f"partial pooling with {CI_PROB:.0%} intervals: {described}")


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
    with _figure(4.2, panels=(2, 1), sharex=True, height_ratios=(3.2, 1)) as (figure, (upper, lower)):
        styles = zip(labels, means.T, (BLUE, ORANGE, GREEN, PINK) * 8, _DASHES * 8, strict=False)
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
        return _svg(figure, title, f"slopes from complete to no pooling: {ends}")


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
    with _figure(2.05 * n_rows + 0.8, panels=(n_rows, columns), squeeze=False, sharey=True) as (figure, grid):
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
        return _svg(
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
    with _figure(2 * (0.28 * len(places) + 0.75), panels=(2, 2), sharex=True, sharey=True) as (figure, grid):
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
        return _svg(figure, title, f"{len(table)} cells of the classical tables, {n_out} of them far out")


def predictive_statistics(table: pd.DataFrame, title: str) -> str:
    """Draw every statistic of the residuals in its posterior predictive distribution.

    Parameters
    ----------
    table
        Columns statistic, of, z, outside; see `cbec_bayes.checks.residuals`.
    title
        Of the figure.
    """
    with _figure(0.21 * len(table) + 0.7) as (figure, axes):
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
        return _svg(figure, title, f"{len(table)} statistics of outcome and residuals, {n_out} of them far out")


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
    with _figure(0.24 * len(names) + 1.0) as (figure, axes):
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
        return _svg(figure, title, f"moves of slopes without each of {len(names)}; the largest {largest.iloc[0]:.1f}")
