"""The figures of pooled estimates: a forest of them and a funnel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.reporting.drawing import BLUE, GREEN, GREY, GROUP_TITLES, ORANGE, Drawing, new_figure
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_NEW, level

MOST_LABELLED = 14
"""Estimates up to which a funnel has their labels."""

CLIPPED = 1.0
"""How far beyond the pooled intervals, in their joint length, another interval may reach before it is cut."""

CLASSICAL = "classical, REML"


def pooled_forest(effects: pd.DataFrame, own: pd.DataFrame, classical: pd.Series | None) -> Drawing:
    """Draw each group's own estimate above its posterior, then groups in general, the classical answer, a new group.

    Parameters
    ----------
    effects
        Rows of effects.csv that are drawn, the first on top.
    own
        Columns group, estimate, low, high.
    classical
        Row of classical_pooling.csv that is drawn; None for none.
    """
    names = [GROUP_TITLES.get(group, str(group)) for group in effects["group"]]
    rows = list(zip(names, effects["mean"], effects["ci_low"], effects["ci_high"], effects["group"], strict=True))
    if classical is not None:
        place = next((k for k, row in enumerate(rows) if row[4] == GROUP_NEW), len(rows))
        estimate, low, high = (float(classical[name]) for name in ("estimate", "ci_low", "ci_high"))
        rows.insert(place, (CLASSICAL, estimate, low, high, CLASSICAL))
    at = {row[4]: float(len(rows) - 1 - k) for k, row in enumerate(rows)}
    low_end, high_end = _ends(effects, own)
    with new_figure(0.42 * len(rows) + 1.0) as (figure, axes):
        axes.axvline(0, color=GREY, linewidth=0.8)
        common = effects[effects["group"] == GROUP_ALL]
        for one in common.to_dict("records"):
            axes.axvspan(one["ci_low"], one["ci_high"], color=GREEN, alpha=0.1, linewidth=0)
        y = np.array([at[group] for group in own["group"]]) + 0.17
        axes.hlines(y, own["low"], own["high"], color=ORANGE, linewidth=1.3, linestyle=(0, (2, 1.5)))
        axes.plot(own["estimate"], y, "D", markerfacecolor="none", color=ORANGE, markersize=5, label="as given")
        for _, mean, low, high, group in rows:
            colour = {GROUP_ALL: GREEN, GROUP_NEW: GREEN, CLASSICAL: ORANGE}.get(group, BLUE)
            shift = 0.0 if group in (GROUP_ALL, GROUP_NEW, CLASSICAL) else -0.14
            axes.hlines(at[group] + shift, low, high, color=colour, linewidth=2.2)
            marker = "D" if group == CLASSICAL else "o"
            axes.plot([mean], [at[group] + shift], marker, color=colour, markersize=5.5)
        axes.plot([], [], "o-", color=BLUE, label=f"pooled, {level(CI_PROB)} interval")
        axes.set_yticks([at[row[4]] for row in rows], [row[0] for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(low_end, high_end)
        axes.set_xlabel("slope")
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, handletextpad=0.4, columnspacing=1.2)
        said = "; ".join(f"{name} {mean:.3g} ({low:.3g} to {high:.3g})" for name, mean, low, high, _ in rows)
        return Drawing(figure, "Forest", f"pooled slopes with {level(CI_PROB)} intervals: {said}")


def _ends(effects: pd.DataFrame, own: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis: all intervals, but a row that reaches `CLIPPED` times as far as the rest is cut."""
    groups = effects[~effects["group"].isin([GROUP_ALL, GROUP_NEW])]
    pooled_low, pooled_high = float(groups["ci_low"].min()), float(groups["ci_high"].max())
    width = pooled_high - pooled_low
    others = [*own["low"], *own["high"], *effects["ci_low"], *effects["ci_high"]]
    near = [end for end in others if pooled_low - CLIPPED * width <= end <= pooled_high + CLIPPED * width]
    low, high = min([0.0, pooled_low, *near]), max([0.0, pooled_high, *near])
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def funnel(own: pd.DataFrame, region: pd.DataFrame, centre: float) -> Drawing:
    """Draw estimates against their standard errors, precise ones on top, and where they would lie by chance alone.

    Parameters
    ----------
    own
        Columns group, estimate, se.
    region
        Columns se, low, high: the pseudo 95 % region.
    centre
        The slope that the region is about.
    """
    with new_figure(3.4) as (figure, axes):
        axes.fill_betweenx(region["se"], region["low"], region["high"], color=GREY, alpha=0.15, linewidth=0)
        axes.plot(region["low"], region["se"], color=GREY, linewidth=0.9, linestyle=(0, (5, 2)))
        axes.plot(
            region["high"],
            region["se"],
            color=GREY,
            linewidth=0.9,
            linestyle=(0, (5, 2)),
            label="pseudo 95 % region about complete pooling",
        )
        axes.axvline(centre, color=GREY, linewidth=0.9)
        axes.plot(own["estimate"], own["se"], "o", color=BLUE, markersize=5, label="estimates as given")
        axes.invert_yaxis()
        axes.set_ylim(float(region["se"].max()), 0.0)
        axes.set_xlabel("estimate")
        axes.set_ylabel("standard error")
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, handletextpad=0.4, columnspacing=1.2)
        for row in _labelled(own, region) if len(own) <= MOST_LABELLED else ():
            place = row["estimate"], row["se"]
            axes.annotate(str(row["group"]), place, (5, 3), textcoords="offset points", fontsize=8)
        return Drawing(figure, "Funnel", f"{len(own)} estimates by standard error, with a pseudo 95 % region")


def _labelled(own: pd.DataFrame, region: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the estimates whose labels do not lie on those of others, imprecise ones first."""
    ends = [*own["estimate"], *region["low"], *region["high"]]
    width, height = (max(ends) - min(ends)) or 1.0, float(region["se"].max())
    kept: list[dict[str, Any]] = []
    for row in own.sort_values("se", ascending=False).to_dict("records"):
        near = (
            abs(row["se"] - one["se"]) < 0.05 * height and abs(row["estimate"] - one["estimate"]) < 0.16 * width
            for one in kept
        )
        if not any(near):
            kept.append({str(name): value for name, value in row.items()})
    return kept
