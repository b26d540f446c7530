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
    conclusions = ReportTable(
        name="ensemble_conclusions",
        caption=(
            f"In how many of {found.n_panels} panels that print the same tables each conclusion has a posterior "
            "probability above .975, its opposite has, or neither. A conclusion that is not settled in "
            f"{percent(SURVIVES)} of them does not follow from what was printed. {found.gates}"
        ),
        origin=Origin.RECONSTRUCTED,
        columns=("Conclusion", "Holds", "Opposite", "Open", "Probability, lowest to highest", "By what was printed"),
        rows=tuple(
            (
                row["conclusion"],
                percent(row["yes"]),
                percent(row["no"]),
                percent(row["open"]),
                f"{probability(row['p_low'])} to {probability(row['p_high'])}",
                VERDICTS[row["survives"]],
            )
            for row in found.conclusions.to_dict("records")
        ),
        marks=tuple(
            ("", "", "", "", "", "pass" if row["survives"] != "no" else "fail")
            for row in found.conclusions.to_dict("records")
        ),
    )
    sizes = ReportTable(
        name="ensemble_sizes",
        caption=(
            "Posterior of each quantity averaged over the panels, with a 95 % interval; the panels' own means, "
            "lowest to "
            "highest; and the share of the variance that lies between panels, which the printed numbers leave open."
        ),
        origin=Origin.RECONSTRUCTED,
        columns=("Quantity", "Mean", "95 % interval", "Means of the panels", "Between panels"),
        rows=tuple(
            (
                named(row["quantity"]),
                number(row["mean"], 2),
                interval(row["ci_low"], row["ci_high"]),
                interval(row["mean_low"], row["mean_high"]),
                percent(row["between_share"]),
            )
            for row in found.sizes.to_dict("records")
        ),
    )
    return [conclusions, sizes]


def named(quantity: str) -> str:
    """Return what a quantity is called in the report."""
    return {"tau": "τ"}.get(quantity, GROUP_TITLES.get(quantity, quantity.replace(" less ", " − ")))


def ensemble_figure(found: Ensemble, exposure: str) -> str:
    """Draw every panel's interval of each slope, and the mixture over panels below."""
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
        told = f"intervals in {found.n_panels} panels, and over all: {described}"
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
    """Say how many panels were built, how many fits passed their gates, and how well these panels meet the print."""
    fewest, most = found.not_met
    misses = f"misses {fewest}{'' if fewest == most else f' to {most}'} of the printed numbers and meets all others"
    if not found.failed:
        return (
            f"{found.n_panels} panels were built, each of which {misses}, and the headline model was fitted to each. "
            f"{found.gates}"
        )
    these = f"Each of these {found.n_panels}" if found.n_panels > 1 else "This one"
    return (
        f"{found.n_built} panels were built. {found.n_panels} of the {found.n_built} fits of the headline model passed "
        f"their gates (left out: {found.left_out}). {these} {misses}."
    )
