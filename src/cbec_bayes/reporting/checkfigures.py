"""The figures of the checks, by the name that a check gives its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.checks import CheckResult
from cbec_bayes.checks.comparison import SURE, far_out, total_difference, with_ends
from cbec_bayes.checks.influence import INFLUENTIAL
from cbec_bayes.checks.result import INTERVAL_END
from cbec_bayes.checks.sensitivity import POWERS
from cbec_bayes.checks.suite import title_of
from cbec_bayes.reporting.drawing import BLUE, GREEN, GREY, GROUP_TITLES, ORANGE, PINK, Drawing, apart, new_figure
from cbec_bayes.reporting.tables import percent
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL

QUANTITIES = {"estimate": "coefficient", "se": "clustered standard error", "t": "t", "r2": "R²"}
_FARTHEST = 6.0  # distances beyond are drawn at the edge


def predictive_grid(table: pd.DataFrame, title: str, exposure: str = "", *, printed: bool = True) -> Drawing:
    """Draw every cell of the classical tables in its posterior predictive distribution.

    Parameters
    ----------
    table
        Columns table, column, term, quantity, z, z_printed, outside; see `cbec_bayes.checks.cells`.
    title
        Title of the figure.
    exposure
        The term whose cells are filled.
    printed
        Whether a paper has printed the tables, so that their numbers say something to a reader.
    """
    places = list(dict.fromkeys(zip(table["table"], table["column"], strict=True)))
    names = [f"{table}: {column}" for table, column in places] if printed else _own_names(places)
    shown = [quantity for quantity in QUANTITIES if (table["quantity"] == quantity).any()]
    with new_figure(2 * (0.28 * len(places) + 0.75), panels=(2, 2), sharex=True, sharey=True) as (figure, grid):
        for axes, quantity in zip(grid.ravel(), shown, strict=False):
            axes.axvspan(-INTERVAL_END, INTERVAL_END, color=GREY, alpha=0.18, linewidth=0)
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
            axes.set_yticks([-i for i in range(len(places))], names)
            axes.tick_params(axis="y", length=0)
        for axes in grid.ravel()[len(shown) :]:
            axes.set_visible(False)
        figure.supxlabel("distance from the replicates' median (band: 95 %)", fontsize=9)
        n_out = int(table["outside"].sum())
        return Drawing(figure, title, f"{len(table)} cells of the classical tables, {n_out} of them far out")


def _own_names(places: Sequence[tuple[str, str]]) -> list[str]:
    """Name the regressions of a panel that no paper has printed: of all rows, and of each group."""
    of_all = [place for place in places if place[0] == places[0][0]]
    names = dict(zip(of_all, ("exposure alone", "all regressors") if len(of_all) > 1 else ("all rows",), strict=True))
    return [names.get(place, place[1]) for place in places]


def predictive_statistics(table: pd.DataFrame, title: str) -> Drawing:
    """Draw every statistic of the residuals in its posterior predictive distribution.

    Parameters
    ----------
    table
        Columns statistic, of, z, outside; see `cbec_bayes.checks.residuals`.
    title
        Title of the figure.
    """
    with new_figure(0.21 * len(table) + 0.7) as (figure, axes):
        axes.axvspan(-INTERVAL_END, INTERVAL_END, color=GREY, alpha=0.18, linewidth=0)
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
        return Drawing(figure, title, f"{len(table)} statistics of outcome and residuals, {n_out} of them far out")


def influence(table: pd.DataFrame, title: str, most: int = 12) -> Drawing:
    """Draw how each group's slope moves when one unit, or group, is left out; those that move it most.

    Parameters
    ----------
    table
        Columns left_out, group, moved; see `cbec_bayes.checks.influence`.
    title
        Title of the figure.
    most
        How many of those left out are drawn.
    """
    table = table.dropna(subset=["moved"])  # of refits that may not be used nothing is known
    largest = table.groupby("left_out")["moved"].agg(lambda moved: moved.abs().max()).sort_values(ascending=False)
    names = list(largest.index[:most])
    order = list(dict.fromkeys([*table["left_out"], *table["group"]]))  # of groups left out, the panel's own
    groups = [group for group in order if group != GROUP_ALL and group in set(table["group"])] or [GROUP_ALL]
    markers, colours = ("o", "s", "^", "v", "D"), (BLUE, ORANGE, GREEN, PINK, GREY)
    with new_figure(0.24 * len(names) + 1.0) as (figure, axes):
        axes.axvspan(-INFLUENTIAL, INFLUENTIAL, color=GREY, alpha=0.18, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        for r, group in enumerate(groups):
            own = table[(table["group"] == group) & table["left_out"].isin(names)]
            at = [-names.index(name) for name in own["left_out"]]
            axes.plot(own["moved"], at, markers[r % 5], color=colours[r % 5], markersize=4.5, label=group)
        axes.set_yticks([-i for i in range(len(names))], names)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("move of the slope, in its posterior standard deviations")
        figure.legend(loc="outside upper center", ncols=min(len(groups), 5))
        said = f"moves of slopes without each of {len(names)}; the largest {largest.iloc[0]:.1f}"
        return Drawing(figure, title, said)


LEFT_OUT = {
    "row": "a period of a unit, from all other rows",
    "unit": "changes of a unit not yet seen",
    "group": "changes of a group not yet seen",
}
"""What is predicted, in short."""


def model_comparison(table: pd.DataFrame, title: str) -> Drawing:
    """Draw how much better or worse members predict what is left out than the fitted one, question by question.

    Parameters
    ----------
    table
        Columns left_out, model, difference, difference_se; see `cbec_bayes.checks.comparison`.
    title
        Title of the figure.
    """
    questions = list(dict.fromkeys(table["left_out"]))
    models = list(dict.fromkeys(table["model"]))
    with new_figure(0.21 * len(models) * len(questions) + 0.45 * len(questions) + 0.5, panels=(len(questions), 1)) as (
        figure,
        grid,
    ):
        for axes, question in zip(np.ravel(grid), questions, strict=True):
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_title(LEFT_OUT.get(question, question), fontsize=9, loc="left")
            own = with_ends(table[table["left_out"] == question]).set_index("model")
            for i, model in enumerate(models):
                tried = model in own.index
                if not tried or np.isnan(own.loc[model, "difference"]):
                    said = "predicts none" if tried else "not tried"
                    axes.annotate(said, (0, -i), (6, 0), textcoords="offset points", va="center", fontsize=8)
                    continue
                low, middle, high = own.loc[model, ["difference_low", "difference", "difference_high"]].astype(float)
                better = bool(own.loc[model, "better"])
                colour = ORANGE if better else BLUE
                axes.hlines(-i, low, high, color=colour, linewidth=1.6)
                axes.plot(middle, -i, "D" if better else "o", color=colour, markersize=4.5)
            axes.set_yticks([-i for i in range(len(models))], models, fontsize=8)
            axes.set_ylim(-len(models) + 0.4, 0.6)
            axes.tick_params(axis="y", length=0)
        figure.supxlabel(f"log predictive density less the headline's, ± {SURE:g} standard errors", fontsize=9)
        return Drawing(figure, title, f"{len(models)} members on {len(questions)} questions")


def slopes_by(table: pd.DataFrame, title: str) -> Drawing:
    """Draw each group's interval under every prior, or every power of the priors.

    Parameters
    ----------
    table
        Columns group, mean, ci_low, ci_high, and first the one that tells the rows of a group apart.
    title
        Title of the figure.
    """
    by = str(table.columns[0])
    labels = list(dict.fromkeys(table[by]))
    groups = list(dict.fromkeys(table["group"]))
    columns = 2
    n_rows = -(-len(groups) // columns)
    height = n_rows * (0.17 * len(labels) + 0.45) + 0.4
    with new_figure(height, panels=(n_rows, columns), squeeze=False, sharey=True) as (figure, grid):
        for axes, group in zip(grid.ravel(), groups, strict=False):
            own = table[table["group"] == group].set_index(by)
            axes.axvline(0, color=GREY, linewidth=0.8)
            for i, label in enumerate(labels):
                colour = ORANGE if i == 0 else BLUE
                axes.hlines(-i, own.loc[label, "ci_low"], own.loc[label, "ci_high"], color=colour, linewidth=1.5)
                axes.plot(own.loc[label, "mean"], -i, "D" if i == 0 else "o", color=colour, markersize=4)
            axes.set_title(GROUP_TITLES.get(group, group), fontsize=9)
            names = [f"power {label:g}" if label in POWERS else str(label) for label in labels]
            axes.set_yticks([-i for i in range(len(labels))], names, fontsize=8)
            axes.tick_params(axis="y", length=0)
        for axes in grid.ravel()[len(groups) :]:
            axes.set_visible(False)
        figure.supxlabel(f"slope, {percent(CI_PROB)} interval; the model's own prior first", fontsize=9)
        return Drawing(figure, title, f"{len(groups)} slopes under {len(labels)} priors; numbers in the table")


def agreement(table: pd.DataFrame, title: str) -> Drawing:
    """Draw classical intervals about the posterior mean, in posterior standard deviations, term by term.

    Parameters
    ----------
    table
        Columns column, term, estimate, mean, sd, ci_low, ci_high, and crv1_low, crv1_high, cr2_low, cr2_high, crv3_low,
        crv3_high; see `cbec_bayes.checks.agreement`.
    title
        Title of the figure.
    """
    intervals = (("crv1", "o", BLUE, "CRV1"), ("cr2", "s", GREEN, "CR2"), ("crv3", "^", PINK, "CRV3"))
    with new_figure(0.36 * len(table) + 0.8) as (figure, axes):
        axes.axvline(0, color=GREY, linewidth=0.8)
        for i, row in enumerate(table.to_dict("records")):
            low, middle, high = (_from_posterior(row, name) for name in ("ci_low", "estimate", "ci_high"))
            axes.hlines(-i + 0.24, low, high, color=ORANGE, linewidth=2.2, label="posterior" if i == 0 else None)
            for j, (name, marker, colour, label) in enumerate(intervals):
                y = -i + 0.06 - 0.16 * j
                ends = [_from_posterior(row, f"{name}_{end}") for end in ("low", "high")]  # blank if not defined
                axes.hlines(y, *np.clip(ends, -2 * _WIDEST, 2 * _WIDEST), color=colour, linewidth=1.1)
                axes.plot(middle, y, marker, color=colour, markersize=3.5, label=label if i == 0 else None)
        names = [row["term"] if row["column"] == GROUP_ALL else f"{row['column']}" for row in table.to_dict("records")]
        axes.set_yticks([-i for i in range(len(table))], names)
        axes.set_xlim(-_WIDEST, _WIDEST)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("distance from the posterior mean, in posterior standard deviations")
        figure.legend(loc="outside upper center", ncols=4)
        far = table["apart"].abs().max()
        return Drawing(figure, title, f"{len(table)} terms, the estimates at most {far:.1f} posterior sds apart")


_WIDEST = 8.0


def _from_posterior(row: Mapping[Hashable, Any], name: str) -> float:
    """Place a number of a row on the axis whose origin is the posterior mean and whose unit is its sd."""
    return float((row[name] - row["mean"]) / row["sd"])


def prior_predictive(table: pd.DataFrame, title: str) -> Drawing:
    """Draw what the priors say of every statistic, about its mean and over half of its interval.

    Parameters
    ----------
    table
        Columns statistic, of, replicated, printed, mean, ci_low, ci_high; see `cbec_bayes.checks.prior`.
    title
        Title of the figure.
    """
    with new_figure(0.24 * len(table) + 0.8) as (figure, axes):
        axes.axvspan(-1, 1, color=GREY, alpha=0.18, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        for i, row in enumerate(table.to_dict("records")):
            half = (row["ci_high"] - row["ci_low"]) / 2
            middle = (row["ci_high"] + row["ci_low"]) / 2
            out = row["verdict"] != "possible"
            for name, marker in (("replicated", "D" if out else "o"), ("printed", "x")):
                at = np.clip((row[name] - middle) / half, -_FARTHEST, _FARTHEST)
                colour = PINK if name == "printed" else ORANGE if out else BLUE
                axes.plot(at, -i, marker, color=colour, markersize=4.5, clip_on=False)
        names = [f"{row['statistic']} {row['of']}".strip() for row in table.to_dict("records")]
        axes.set_yticks([-i for i in range(len(table))], names, fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("place in the prior's 95 % interval (band)")
        return Drawing(figure, title, f"{len(table)} statistics before the data; crosses are printed numbers")


def left_out_rows(table: pd.DataFrame, title: str) -> Drawing:
    """Draw the log density of every row given all others, in order, with those that lie far out named.

    Parameters
    ----------
    table
        Columns row, elpd, khat, p; see `cbec_bayes.checks.comparison`.
    title
        Title of the figure.
    """
    far = far_out(table).to_numpy()
    at = np.arange(len(table))
    with new_figure(2.6) as (figure, axes):
        axes.plot(at[~far], table["elpd"][~far], ".", color=BLUE, markersize=3.5)
        axes.plot(at[far], table["elpd"][far], "D", color=ORANGE, markersize=4.5)
        named = np.flatnonzero(far)[np.argsort(table["p"][far].to_numpy())][:6]
        heights = apart(table["elpd"].to_numpy()[named], 0.07 * float(np.ptp(table["elpd"].dropna())))
        for i, height in zip(named, heights, strict=True):
            left = i > len(table) / 2
            at_label = i + (-1 if left else 1) * 0.015 * len(table)
            side = "right" if left else "left"
            axes.annotate(table["row"].iloc[i], (i, height), (at_label, height), ha=side, va="center", fontsize=8)
        axes.set_xlabel("row, by unit and period")
        axes.set_ylabel("log density given the others")
        return Drawing(figure, title, f"{len(table)} rows, {int(far.sum())} of them farther out than the others allow")


def left_out_groups(table: pd.DataFrame, title: str) -> Drawing:
    """Draw by how much better each group is predicted from the others than under one slope for all.

    Parameters
    ----------
    table
        Columns group, difference; see `cbec_bayes.checks.comparison`.
    title
        Title of the figure.
    """
    with new_figure(0.28 * len(table) + 0.7) as (figure, axes):
        axes.axvline(0, color=GREY, linewidth=0.8)
        at = -np.arange(len(table))
        axes.hlines(at, 0, table["difference"], color=BLUE, linewidth=1.6)
        axes.plot(table["difference"], at, "o", color=BLUE)
        axes.set_yticks(at, list(table["group"]))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("log predictive density less that under one slope for all")
        return Drawing(figure, title, f"{len(table)} groups, in all {total_difference(table):+.1f}")


DRAWINGS: Mapping[str, Callable[[pd.DataFrame, str], Drawing]] = {
    "predictive_grid": predictive_grid,
    "predictive_statistics": predictive_statistics,
    "prior_predictive": prior_predictive,
    "agreement": agreement,
    "slopes_by": slopes_by,
    "influence": influence,
    "left_out_rows": left_out_rows,
    "left_out_groups": left_out_groups,
    "model_comparison": model_comparison,
}
"""Drawing of each figure that a `CheckResult` names."""


def check_drawings(results: Sequence[CheckResult], exposure: str) -> dict[str, Drawing]:
    """Return the drawings of the checks of a panel, by the check's name; those without a figure are left out."""
    drawn = {one.name: draw(one, title_of(one.name), exposure, printed=False) for one in results}
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}


def check_files(results: Sequence[CheckResult], exposure: str) -> dict[str, str]:
    """Return the drawings of checks as files, by name."""
    return {f"check_{name}.svg": one.svg() for name, one in check_drawings(results, exposure).items()}


def draw(check: CheckResult, title: str, exposure: str = "", *, printed: bool = True) -> Drawing | None:
    """Draw a check; None where it has no figure, or nothing to draw.

    Parameters
    ----------
    check
        The result.
    title
        Title of the figure; figures of one page need different ones.
    exposure
        The term whose cells are filled where classical cells are drawn.
    printed
        Whether a paper has printed the tables that these cells are of.
    """
    if check.figure is None or check.table.empty:
        return None
    if check.figure == "predictive_grid":
        return predictive_grid(check.table, title, exposure, printed=printed)
    return DRAWINGS[check.figure](check.table, title)
