"""Weights, clusters and further effects that a study names: the same numbers as by the options of `fit`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import classical_frame, fit_columns, own_columns
from cbec_bayes.jobs.events import EventOptions, event_study
from cbec_bayes.jobs.events import question_of_study as event_question
from cbec_bayes.jobs.questions import question_of_file, question_of_study
from cbec_bayes.jobs.reconstruct import load_problem
from cbec_bayes.jobs.replicate import replicate_study
from cbec_bayes.panel import load_study_panel, read_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.panel.study import load_study, read_study
from cbec_bayes.panel.table import Roles
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import table

ROLES = {"outcome": "y", "exposure": "x", "controls": ("z",), "unit": "unit", "time": "time"}
STUDY = """title = "A study of one's own"
[panel]
files = ["rows.csv"]
outcome = "y"
exposure = "x"
controls = ["z"]
unit = "unit"
time = "time"
scheme = "regions.csv"
convention = "reghdfe"
"""

CASES = {
    "analytic": ('weights = "w"', {"weights": "w"}),
    "frequency": ('weights = "k"\nweights_kind = "frequency"', {"weights": "k", "weights_kind": "frequency"}),
    "one cluster": ('cluster = ["state"]', {"clusters": ("state",)}),
    "two clusters": ('cluster = ["state", "time"]', {"clusters": ("state", "time")}),
    "groups": ('cluster = ["regions"]', {"clusters": ("regions",)}),
    "effects": ('absorb = ["sort", "state^time"]', {"absorbed": (("sort",), ("state", "time"))}),
    "all": (
        'weights = "w"\ncluster = ["state"]\nabsorb = ["sort"]',
        {"weights": "w", "clusters": ("state",), "absorbed": (("sort",),)},
    ),
}


@pytest.fixture(params=[True, False], ids=["balanced", "unbalanced"])
def folder(request, tmp_path):
    """A study's folder: rows with weights, states of two units whose codes are 1.1 and 1.10, and a scheme of groups."""
    rows = table(n_units=12, n_times=6)
    rng = np.random.default_rng(2)
    unit, _ = pd.factorize(rows["unit"])
    states = np.array(["1.1", "1.10", "1.2", "1.3", "1.4", "1.5"])
    rows = rows.assign(
        w=rng.gamma(2.0, size=len(rows)),
        k=1 + np.arange(len(rows)) % 3,
        state=states[unit // 2],
        sort=np.array(list("abcd"))[rng.integers(4, size=len(rows))],
    )
    rows = rows if request.param else rows.drop(index=rows.index[[3, 4, 17, 40]])
    groups = rows[["unit"]].drop_duplicates().assign(group=lambda d: np.array(["east", "west"])[np.arange(len(d)) % 2])
    groups.to_csv(tmp_path / "regions.csv", index=False)
    rows.merge(groups.rename(columns={"group": "regions"}), on="unit").to_csv(tmp_path / "fit.csv", index=False)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def written(folder, *lines: str):
    (folder / "mine.toml").write_text("\n".join([STUDY, *lines]))
    return folder / "mine.toml"


@pytest.mark.parametrize("case", CASES)
def test_a_study_has_the_regressions_of_the_options_of_fit(folder, case):
    lines, asked = CASES[case]
    design = make_design(read_panel(folder / "fit.csv", Roles(**ROLES, group="regions", **asked)))
    expected = classical_frame(fit_columns(design, own_columns(design), "reghdfe"), design.origin)
    found = replicate_study(written(folder, lines), few=False).replication.classical()
    assert {"3"} <= set(found["table"])
    pd.testing.assert_frame_equal(found, expected, rtol=1e-12, atol=1e-12)
    whole = twfe(design, ssc="reghdfe", directly=True)
    own = found[(found["table"] == "3") & (found["term"] == "x")].iloc[-1]
    assert (own["estimate"], own["se"]) == pytest.approx((whole.estimate[0], whole.se[0]), rel=1e-10, nan_ok=True)


def test_few_cluster_methods_of_a_study_have_its_weights_and_clusters(folder):
    lines, asked = CASES["all"]
    design = make_design(read_panel(folder / "fit.csv", Roles(**ROLES, group="regions", **asked)))
    expected = few_clusters(design, ssc="reghdfe").frame()
    found = replicate_study(written(folder, lines), few=True).replication.few_frame()
    found = found[(found["table"] == "3") & (found["column"] == "(2)")].reset_index(drop=True)
    for name in ("estimate", "se", "p"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ["analytic", "frequency", "two clusters", "all"])
def test_specifications_of_a_study_have_the_design_of_the_options(folder, case):
    lines, asked = CASES[case]
    found = question_of_study(written(folder, lines), seed=1).design
    expected = make_design(read_panel(folder / "fit.csv", Roles(**ROLES, group="regions", **asked)))
    if "absorbed" not in asked:
        columns = {**ROLES, **asked, "group": "regions", "controls": ["z"]}
        by_option = question_of_file(folder / "fit.csv", ssc="reghdfe", seed=1, model="robust", **columns).design
        assert (by_option.y == found.y).all()
    for name in ("y", "x", "unit", "time", "group"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.root, expected.root)
    assert [one.labels for one in found.clusters] == [one.labels for one in expected.clusters]
    for own, other in zip(found.effects.further, expected.effects.further, strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_formula_of_a_study_takes_weights_and_clusters(folder):
    formula = "y ~ x + z | unit + time + sort"
    columns = 'outcome = "y"\nexposure = "x"\ncontrols = ["z"]\n'
    text = STUDY.replace(columns, f'formula = "{formula}"\n')
    (folder / "mine.toml").write_text(text + 'weights = "w"\ncluster = ["state"]\n')
    found = twfe(make_design(load_study_panel(folder / "mine.toml")), ssc="reghdfe")
    asked = replace(read_formula(formula, unit="unit", time="time"), weights="w", clusters=("state",))
    expected = twfe(make_design(read_panel(folder / "rows.csv", asked)), ssc="reghdfe")
    np.testing.assert_allclose(found.se, expected.se, rtol=1e-12)
    np.testing.assert_allclose(found.estimate, expected.estimate, rtol=1e-12)


def test_other_panels_of_a_study_keep_weights_and_have_no_differences(folder):
    lines = '[[panel.alternatives]]\nname = "alone"\nlabel = "no control"\ncontrols = []'
    table = replicate_study(written(folder, 'weights = "w"\ncluster = ["state"]', lines), few=False).alternatives
    assert set(table["regression"]) == {"levels", "trends"}
    design = make_design(read_panel(folder / "fit.csv", Roles(**ROLES, weights="w", clusters=("state",))))
    row = table[(table["alternative"] == "main") & (table["vcov"] == "reghdfe")].iloc[0]
    fit = twfe(design, ssc="reghdfe")
    assert row["se"] == pytest.approx(float(fit.se[0]), rel=1e-12)
    assert row["ci_low"] == pytest.approx(float(fit.estimate[0] - stats.t.ppf(0.975, 5) * fit.se[0]), rel=1e-12)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('weights_kind = "frequency"', "panel.weights_kind: it says what the weights are, and none are named"),
        ('weights = "w"\nweights_kind = "inverse"', "panel.weights_kind: unknown kind of weights 'inverse'"),
        ('cluster = ["a", "b", "c"]', "panel.cluster: clusters are named by one column or by two"),
        ('absorb = ["unit"]', "panel.absorb: 'unit' is no set of effects beside those of units and periods"),
        ('absorb = ["state^"]', "panel.absorb: 'state^' is no set of effects"),
    ],
)
def test_what_makes_no_sense_is_refused_by_file_and_key(tmp_path, lines, message):
    with pytest.raises(InputError, match=r"mine\.toml") as caught:
        read_study(written(tmp_path, lines))
    assert message in str(caught.value)


def test_effects_beside_a_formula_are_refused(tmp_path):
    text = STUDY.replace('outcome = "y"\nexposure = "x"\ncontrols = ["z"]\n', 'formula = "y ~ x"\n')
    (tmp_path / "mine.toml").write_text(text + 'absorb = ["sort"]\n')
    with pytest.raises(InputError, match="the formula says after"):
        read_study(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('weights = "w"', "an event study takes no weights"),
        ('weights = "k"\nweights_kind = "frequency"', "an event study takes no weights"),
        ('cluster = ["state"]', "an event study has standard errors clustered by unit alone"),
        ('absorb = ["sort"]', "an event study has effects of units and periods alone"),
    ],
)
def test_event_studies_refuse_what_they_do_not_take(folder, lines, message):
    question = event_question(written(folder, lines), options=EventOptions())
    with pytest.raises(InputError, match=message):
        event_study(question.design, question.options)


def test_a_reconstruction_refuses_what_it_does_not_take(folder):
    text = written(folder, 'weights = "w"').read_text()
    published = '\n[published]\ntables = "cbec_circulation"\nreading = "coherent"\nmodel = "published_half_normal"\n'
    (folder / "mine.toml").write_text(text + published)
    with pytest.raises(InputError, match=r"names panel\.weights: a reconstruction takes no weights"):
        load_problem(load_study(folder / "mine.toml"))
