"""The ensemble of reconstructions in the report: what was printed settles, and what it does not."""

from __future__ import annotations

from cbec_bayes.jobs.ensemble import SURVIVES, Ensemble
from cbec_bayes.reporting.drawing import BLUE, GREY, GROUP_TITLES, ORANGE, as_svg, new_figure
from cbec_bayes.reporting.tables import ReportTable, interval, number, percent, probability
from cbec_bayes.runtime.labels import Origin

VERDICTS = {"yes": "settled", "opposite": "settled: the opposite", "no": "not settled"}
"""What each value of `survives` is called."""


def ensemble_tables(found: Ensemble) -> list[ReportTable]:
    """Return the conclusions with how often each holds, and the sizes with how much of them is not settled."""
    rows = found.conclusions.to_dict("records")
    conclusions = ReportTable(
        name="ensemble_conclusions",
        caption=(
            f"In how many of {found.n_panels} panels that print the same tables, under each of "
            f"{len(found.specifications)} specifications, each conclusion has a posterior probability above .975, its "
            f"opposite has, or neither. A conclusion follows from what was printed only if it is settled in "
            f"{percent(SURVIVES)} of the panels under every specification; the last but one column has the "
            f"specification under which it is settled in the fewest. {found.gates}"
        ),
        origin=Origin.RECONSTRUCTED,
        columns=(
            "Conclusion",
            "Holds",
            "Opposite",
            "Open",
            "Probability, lowest to highest",
            "Fewest, and under which",
            "By what was printed",
        ),
        rows=tuple(
            (
                row["conclusion"],
                percent(row["yes"]),
                percent(row["no"]),
                percent(row["open"]),
                f"{probability(row['p_low'])} to {probability(row['p_high'])}",
                f"{percent(row['lowest'])}, {row['lowest_under']}",
                VERDICTS[row["survives"]],
            )
            for row in rows
        ),
        marks=tuple((*[""] * 6, "pass" if row["survives"] != "no" else "fail") for row in rows),
    )
    sizes = ReportTable(
        name="ensemble_sizes",
        caption=(
            "Posterior of each quantity averaged over panels and specifications, each counting alike, with a 95 % "
            "interval; the posterior means, lowest to highest; and the shares of the variance that lie between panels, "
            "which the printed numbers leave open, and between specifications, which readers may weigh otherwise."
        ),
        origin=Origin.RECONSTRUCTED,
        columns=("Quantity", "Mean", "95 % interval", "Means", "Between panels", "Between specifications"),
        rows=tuple(
            (
                named(row["quantity"]),
                number(row["mean"], 2),
                interval(row["ci_low"], row["ci_high"]),
                interval(row["mean_low"], row["mean_high"]),
                percent(row["between_share"]),
                percent(row["specifications_share"]),
            )
            for row in found.sizes.to_dict("records")
        ),
    )
    return [conclusions, sizes]


def named(quantity: str) -> str:
    """Return what a quantity is called in the report."""
    return {"tau": "τ"}.get(quantity, GROUP_TITLES.get(quantity, quantity.replace(" less ", " − ")))


def ensemble_figure(found: Ensemble, exposure: str) -> str:
    """Draw the interval of each slope in every panel under every specification, and the mixture below."""
    quantities = [q for q in found.sizes["quantity"] if " less " not in q and q != "tau"]
    columns = 2
    n_rows = -(-len(quantities) // columns)
    with new_figure(1.75 * n_rows + 0.5, panels=(n_rows, columns), squeeze=False, sharex=True) as (figure, grid):
        for axes, quantity in zip(grid.ravel(), quantities, strict=False):
            own = found.panels[found.panels["quantity"] == quantity].sort_values("mean").reset_index(drop=True)
            size = found.sizes.set_index("quantity").loc[quantity]
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.hlines(own.index, own["ci_low"], own["ci_high"], color=BLUE, linewidth=0.5)
            axes.plot(own["mean"], own.index, ".", color=BLUE, markersize=2)
            below = -0.09 * len(own) - 1
            axes.hlines(below, size["ci_low"], size["ci_high"], color=ORANGE, linewidth=2.4)
            axes.plot(size["mean"], below, "D", color=ORANGE, markersize=5)
            axes.set_title(named(quantity), fontsize=9)
            axes.set_yticks([])
        for axes in grid.ravel()[len(quantities) :]:
            axes.set_visible(False)
        figure.supxlabel(f"slope of {exposure}", fontsize=9)
        described = "; ".join(
            f"{named(row['quantity'])} {row['mean']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})"
            for row in found.sizes.to_dict("records")
            if row["quantity"] in quantities
        )
        told = f"intervals in {found.n_panels} panels under each specification, and over all: {described}"
        return as_svg(figure, "Ensemble of reconstructions", told)


def ensemble_sentences(found: Ensemble) -> tuple[str, ...]:
    """Say which conclusions survive, and which do not."""
    settled = [*found.concluded("yes"), *(f"not that {opposite}" for opposite in found.concluded("opposite"))]
    rest = found.concluded("no")
    return (
        _built(found),
        f"Settled by what was printed: {'; '.join(settled) or 'nothing'}.",
        f"Not settled by it, whatever one panel says: {'; '.join(rest) or 'nothing'}.",
    )


def _built(found: Ensemble) -> str:
    """Say how many panels were built, how well they meet the print, and under which specifications they were fitted."""
    fewest, most = found.not_met
    misses = f"misses {fewest}{'' if fewest == most else f' to {most}'} of the printed numbers and meets all others"
    several = len(found.specifications) > 1
    under = f"each of the specifications {', '.join(found.specifications)}" if several else found.specifications[0]
    return f"{found.n_panels} panels were built, each of which {misses}, and fitted under {under}. {found.gates}"
