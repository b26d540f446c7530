"""Figures from Python: matplotlib figures that show what the tables say, and files that are the same each time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import cbec_bayes as cb
from cbec_bayes.checks import CheckResult, Severity
from cbec_bayes.estimands.shrinkage import path_of_frame, shrinkage_path
from cbec_bayes.reporting.drawing import IMAGES, Drawing, new_figure
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin

GROUPS = ("10", "9", "2")


@pytest.fixture(scope="module")
def found():
    """A fit to a panel whose groups are numbers, which a text would order as 10, 2, 9."""
    rng = np.random.default_rng(3)
    unit, time = np.divmod(np.arange(12 * 5), 5)
    x = rng.normal(size=len(unit))
    y = (0.3 + 0.2 * (unit % 3)) * x + rng.normal(size=12)[unit] + 0.5 * rng.normal(size=len(unit))
    frame = pd.DataFrame({"y": y, "x": x, "unit": unit, "time": time, "group": np.array(GROUPS)[unit % 3]})
    roles = cb.Roles(outcome="y", exposure="x", unit="unit", time="time", group="group")
    return cb.fit(cb.make_panel(frame, roles), "partial_pooling", draws=400)


def names(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_effects_are_drawn_in_natural_order_where_the_table_has_them(found):
    figure = cb.plot_effects(found, label="dose")
    assert isinstance(figure, Figure)
    assert names(figure) == ["average over units", "2", "9", "10", "groups in general", "a group not seen"]
    assert figure.axes[0].get_xlabel() == "slope of dose"
    table = cb.effects(found).set_index("group")
    drawn = {line.get_label(): line for line in figure.axes[0].lines}
    means = drawn["partial pooling, 95 % interval"].get_xdata()
    assert np.allclose(means, table.loc[["(average)", "2", "9", "10", "(all)", "(new)"], "mean"], rtol=0, atol=1e-12)
    own = drawn["own regression, clustered 95 % interval"].get_xdata()
    # The regressions of classical.csv stand in the order of the panel's groups.
    assert sorted(own) == pytest.approx(sorted(table.loc[list(GROUPS), "no_pooling"]), abs=1e-10)


def test_intervals_have_the_probability_that_is_asked_for(found):
    figure = cb.plot_effects(found, ci=0.5)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()][1] == "partial pooling, 50 % interval"


def test_the_path_ends_at_the_scales_it_was_made_of(found):
    figure = cb.plot_path(found)
    upper = figure.axes[0]
    assert len(upper.lines) == 3 + 1
    first = np.array([line.get_ydata()[0] for line in upper.lines[:3]])
    assert np.ptp(first) < 0.01  # one slope, where the groups hardly differ


def test_a_path_that_is_kept_as_a_table_is_read_to_the_last_bit(found):
    path = shrinkage_path(found, np.array([0.01, 0.1, 1.0]))
    again = path_of_frame(path.frame(Origin.OBSERVED))
    assert again.labels == path.labels
    assert again.missed == path.missed
    for name in ("tau", "means", "sds", "low", "high", "common"):
        assert np.array_equal(getattr(again, name), getattr(path, name))


def test_a_model_without_a_path_says_so(found):
    alone = cb.fit(found.design, "complete_pooling", draws=400)
    with pytest.raises(InputError, match="'complete_pooling' has no path"):
        cb.plot_path(alone)


def test_checks_that_have_a_figure_are_drawn_by_name():
    table = pd.DataFrame({"group": ["a", "b"], "difference": [1.0, -0.5], "elpd": [0.0, 0.0]})
    checks = [
        CheckResult("left_out_groups", Severity.FINE, table, "left_out_groups", "Fine."),
        CheckResult("agreement", Severity.IDLE, pd.DataFrame(), None, "It does not apply."),
    ]
    drawn = cb.plot_checks(checks)
    assert list(drawn) == ["left_out_groups"]
    assert names(drawn["left_out_groups"]) == ["a", "b"]


@pytest.mark.slow
def test_arviz_draws_the_standard_diagnostics_of_a_fit(found):
    """What docs/python.md shows; names and groups are those that ArviZ looks for."""
    import arviz as az
    import matplotlib as mpl

    mpl.use("agg")
    tree = cb.with_predictions(found).tree
    told = {"backend": "matplotlib"}
    forest = az.plot_forest(tree, var_names=["slope", "tau"], ci_probs=(0.5, 0.95), **told)
    rank = az.plot_rank_dist(tree, var_names=["tau", "sigma"], **told)
    predicted = az.plot_ppc_dist(tree, num_samples=20, **told)
    trace = az.plot_trace_dist(tree, var_names=["tau"], **told)
    for one in (forest, rank, predicted, trace):
        assert isinstance(one.get_viz("figure"), Figure)
    mpl.pyplot.close("all")


def drawing() -> Drawing:
    with new_figure(1.0) as (figure, axes):
        axes.plot([0, 1], [0, 1])
        axes.set_xlabel("slope, τ")
        return Drawing(figure, "A line", "from 0 to 1")


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_images_are_the_same_whenever_they_are_made(ending, begins, monkeypatch):
    assert ending in IMAGES
    first = drawing().image(ending)
    assert first.startswith(begins)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert drawing().image(ending) == first
    assert b"atplotlib" not in first.replace(b"matplotlib.org", b"")


def test_the_element_of_a_page_is_that_of_its_figure():
    assert drawing().svg() == drawing().svg()
    assert 'aria-label="A line: from 0 to 1"' in drawing().svg()


def test_importing_the_package_imports_no_matplotlib():
    code = "import sys, cbec_bayes; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
