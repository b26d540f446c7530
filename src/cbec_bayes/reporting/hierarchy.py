"""The hierarchical model of the report: region effects beside the classical ones, every member, the shrinkage path."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from cbec_bayes.jobs.difference_sentences import tau_text
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.differences import difference_tables
from cbec_bayes.reporting.drawing import GROUP_TITLES
from cbec_bayes.reporting.tables import ReportTable, number, probability, sampled, whole, with_interval
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import CI_PROB, Origin, level


def hierarchy_tables(name: str, fits: StudyFits, digits: int = 2) -> list[ReportTable]:
    """Return a study's region effects, its effects under every member, its contrasts and its diagnostics.

    Parameters
    ----------
    name
        Name of the study.
    fits
        From `fit_models`.
    digits
        Decimals of a slope that is not sampled.
    """
    headline = next(iter(fits.questions))
    own = fits.effects[fits.effects["model"] == headline]
    contrasts = contrast_table(
        f"{name}_hierarchical_contrasts",
        fits.contrasts,
        "Differences between regions under partial pooling, with 95 % intervals.",
        fits.origin,
    )
    return [
        _effects_table(name, own, digits, fits.origin),
        _members_table(name, fits, list(own["group"])),
        contrasts,
        *difference_tables(f"{name}_", fits.differences, digits),
        _diagnostics_table(name, fits),
    ]


def _effects_table(name: str, effects: pd.DataFrame, digits: int, origin: Origin) -> ReportTable:
    rows = tuple(
        (
            GROUP_TITLES.get(row["group"], row["group"]),
            whole(row["n_units"]),
            own_slope(row, digits),
            number(row["complete_pooling"], digits),
            *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
            probability(row["p_positive"]),
            number(row["pooling_factor"], 2) or "–",
        )
        for row in effects.to_dict("records")
    )
    return ReportTable(
        name=f"{name}_hierarchical_effects",
        caption=(
            "Slope of the exposure by region: its own regression with clustered standard errors (no pooling), the "
            "pooled regression (complete pooling), and partial pooling with a 95 % equal-tailed credible interval. The "
            "pooling factor is 0 where the region keeps its own slope, and 1 where it takes that of regions in "
            "general. "
            "The average is over the units of the panel; groups in general are the distribution that the groups come "
            "from."
        ),
        origin=origin,
        columns=(
            "Region",
            "Units",
            "No pooling (se)",
            "Complete pooling",
            "Partial pooling",
            "95 % interval",
            "P(slope > 0)",
            "Pooling",
        ),
        rows=rows,
    )


def own_slope(row: Mapping[Hashable, Any], digits: int) -> str:
    """Write the slope of a group's own regression with its standard error; a dash where there is none."""
    slope = number(row["no_pooling"], digits)
    return f"{slope} ({number(row['no_pooling_se'], digits)})" if slope else "–"


def _members_table(name: str, fits: StudyFits, groups: Sequence[str]) -> ReportTable:
    rows = tuple(
        (
            model,
            *(
                with_interval(row["mean"], row["ci_low"], row["ci_high"], row["mcse"])
                for row in fits.effects[fits.effects["model"] == model].to_dict("records")
            ),
        )
        for model in fits.questions
    )
    return ReportTable(
        name=f"{name}_members",
        caption="The same slopes under every member of the family: posterior mean and 95 % interval.",
        origin=fits.origin,
        columns=("Model", *(GROUP_TITLES.get(group, group) for group in groups)),
        rows=rows,
    )


def contrast_table(
    name: str, contrasts: pd.DataFrame, caption: str, origin: Origin, prob: float = CI_PROB
) -> ReportTable:
    """Return the differences between groups, in the order of the rows, as a table; intervals have a probability."""
    return ReportTable(
        name=name,
        caption=caption,
        origin=origin,
        columns=("Difference", "Mean", f"{level(prob)} interval", "P(difference > 0)"),
        rows=tuple(
            (
                f"{row['group']} − {row['minus']}",
                *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
                probability(row["p_positive"]),
            )
            for row in contrasts.to_dict("records")
        ),
    )


def _diagnostics_table(name: str, fits: StudyFits) -> ReportTable:
    return ReportTable(
        name=f"{name}_diagnostics",
        caption=(
            "How well each posterior was sampled: smallest effective size, largest R-hat, and the Pareto shape of the "
            "importance ratios (to be trusted up to 0.7) or the divergent transitions of NUTS (there may be none)."
        ),
        origin=fits.origin,
        columns=("Model", "Engine", "Draws", "Effective size", "R-hat", "Pareto k", "Divergences"),
        rows=tuple(
            (
                row["model"],
                row["engine"],
                whole(row["draws"]),
                f"{row['ess_bulk_min']:.0f}",
                number(row["rhat_max"], 3),
                number(row["khat"], 2) or "–",
                whole(row["divergences"]),
            )
            for row in fits.diagnostics.to_dict("records")
        ),
    )


def hierarchy_path(name: str, fits: StudyFits, label: str) -> str | None:
    """Draw a study's shrinkage path; None where no fit along it passed its gates."""
    path = fits.path
    if path.is_empty:
        return None
    return figures.path(
        labels=path.labels,
        tau=path.tau,
        means=path.means,
        density=fits.tau_density,
        complete=path.complete,
        xlabel=f"sd of slopes between regions, τ ({label})",
        title=f"Shrinkage path of {name}",
    ).svg()


def province_map(name: str, fits: StudyFits, outcome: str) -> str | None:
    """Draw a study's unit effects on the tile grid; None where its units are not those of maps/provinces.csv."""
    tiles = pd.read_csv(asset_dir("data") / "maps" / "provinces.csv")
    if not set(fits.unit_effects["unit"]) <= set(tiles["unit"]):
        return None
    xlabel = f"effect of the province on {outcome}, about the mean of all; framed: 95 % interval leaves zero out"
    return figures.tile_map(fits.unit_effects, tiles, xlabel, f"Province effects of {name}").svg()


def tau_sentence(fits: StudyFits) -> str:
    """Say what the data say about the between-group scale."""
    mean, ends = tau_text(fits.tau.mean, fits.tau.ci_low, fits.tau.ci_high)
    return (
        f"Between groups the slopes differ with a standard deviation τ of {mean} ({level(CI_PROB)} interval {ends}); "
        f"prior τ ~ {fits.priors['tau']}."
    )


def unlearned_sentences(fits: StudyFits) -> list[str]:
    """Say which scales no datum speaks of."""
    return [
        f"Under {model} the data say nothing about {' and '.join(names)}: the posterior is the prior."
        for model, names in fits.unlearned.items()
        if names
    ]
