"""The family of panel models: its members as files, and what a file must say."""

from __future__ import annotations

import itertools

import pytest

from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names, read_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms import TERMS, chosen_terms, parameters, scale_symbols, term_of
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir

HALF = 'dist = "half_normal"\nscale = 1.0'
GOOD = {
    "kind": '"panel"',
    "question": '"What?"',
    "unit_effect": '"fixed"',
    "time_effect": '"fixed"',
    "group_slope": '"pooled"',
    "group_control_slope": '"off"',
    "group_time_effect": '"off"',
    "unit_slope": '"off"',
    "unit_trend": '"off"',
    "residual": '"normal"',
    "correlation": '"off"',
    "spread": '"common"',
}
FIRST = {key: f'"{term.choices[0]}"' for key, term in chosen_terms().items()}
SCALES = {
    "residual": "sigma",
    "group_slope": "tau",
    "group_control_slope": "phi",
    "group_time_effect": "sigma_omega",
    "unit_slope": "kappa",
    "unit_trend": "xi",
    "unit_effect": "sigma_mu",
    "time_effect": "sigma_lambda",
}
PRIORS = {"slope": 'dist = "flat"', "control_slope": 'dist = "flat"', "sigma": HALF, "tau": HALF}


def write(tmp_path, top=None, priors=None):
    """Write a model; a key that is None is left out."""
    lines = [f"{key} = {value}" for key, value in (GOOD | (top or {})).items() if value is not None]
    for name, text in (PRIORS | (priors or {})).items():
        lines += [] if text is None else [f"[priors.{name}]", text]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_every_shipped_member_loads_and_says_what_it_answers():
    names = panel_model_names()
    assert {"complete_pooling", "no_pooling", "partial_pooling", "partial_pooling_all", "correlated_effects"} <= set(
        names
    )
    for name in names:
        model = load_panel_model(name)
        assert model.name == name
        assert model.question.endswith("?")
        assert model.assumes.endswith(".")  # a file of one's own need not say it
        assert (asset_dir("models") / f"{name}.toml").read_text(encoding="utf-8").startswith("# It assumes")
        assert set(model.priors) == {"slope", "control_slope", *model.scales}
        assert set(model.choices) == set(chosen_terms())
        for key, term in chosen_terms().items():
            assert model.choice(key) in term.choices


def test_no_two_shipped_members_are_the_same_model():
    models = [load_panel_model(name) for name in panel_model_names()]
    for a, b in itertools.combinations(models, 2):
        assert a.choices != b.choices
        assert a.question != b.question


@pytest.mark.parametrize(
    ("name", "scales", "uses_groups"),
    [
        ("complete_pooling", ("sigma",), False),
        ("no_pooling", ("sigma",), True),
        ("partial_pooling", ("sigma", "tau"), True),
        ("partial_pooling_all", ("sigma", "tau", "phi", "sigma_omega"), True),
        ("nested", ("sigma", "tau", "kappa"), True),
        ("correlated_effects", ("sigma", "tau", "sigma_mu", "sigma_lambda"), True),
        ("group_variance", ("sigma", "tau"), True),
        ("student_t", ("sigma", "tau"), True),
        ("ar1", ("sigma", "tau"), True),
        ("unit_trends", ("sigma", "tau", "xi"), True),
        ("robust", ("sigma", "tau", "phi", "sigma_omega", "kappa", "xi"), True),
        ("regional", ("sigma", "tau"), True),
        ("first_differences", ("sigma", "tau"), True),
    ],
)
def test_the_scales_of_shipped_members(name, scales, uses_groups):
    model = load_panel_model(name)
    assert model.scales == scales
    assert model.uses_groups is uses_groups
    assert model.is_gaussian is (name != "student_t")


def test_a_model_from_a_file_of_ones_own(tmp_path):
    path = write(tmp_path, priors={"tau": 'dist = "half_t"\ndf = 4\nscale = 0.25'})
    model = load_panel_model(path)
    assert model.assumes == ""
    assert model == read_panel_model(path) == load_panel_model(str(path))
    assert (model.name, model.question, model.choice("group_slope"), model.choice("unit_slope")) == (
        "mine",
        "What?",
        "pooled",
        "off",
    )
    assert model.priors["tau"] == Prior("half_t", {"df": 4.0, "scale": 0.25})
    assert model.priors["slope"] == Prior("flat", {})


@pytest.mark.parametrize("term", chosen_terms())
def test_every_choice_of_every_term_has_the_scales_that_it_needs(tmp_path, term):
    for choice in TERMS[term].choices:
        chosen = FIRST | {term: f'"{choice}"'}
        needed = [SCALES[term]] if choice in ("pooled", "random", "correlated") else []
        priors = {"tau": None} | dict.fromkeys(needed, HALF)
        model = read_panel_model(write(tmp_path, chosen, priors))
        assert model.scales == ("sigma", *needed)
        for scale in needed:
            with pytest.raises(InputError, match=f"priors.{scale}: a table is needed"):
                read_panel_model(write(tmp_path, chosen, {**priors, scale: None}))


@pytest.mark.parametrize(
    ("top", "priors", "message"),
    [
        ({"kind": '"published"'}, {}, "kind: 'published' is not a model of panels; it must be 'panel'"),
        ({"kind": None}, {}, "kind: a text is needed"),
        ({"question": None}, {}, "question: a text is needed"),
        ({"question": '""'}, {}, "question: a text is needed"),
        ({"residual": None}, {}, "residual: a text is needed"),
        ({"assumes": '""'}, {}, "assumes: a text is needed"),
        ({"group_slope": "true"}, {}, "group_slope: a text is needed"),
        (
            {"group_slope": '"poled"'},
            {},
            "group_slope: unknown choice 'poled'; did you mean 'pooled'? there are off, fixed, pooled",
        ),
        ({"unit_effect": '"off"'}, {}, "unit_effect: unknown choice 'off'; there are fixed, random, correlated"),
        ({"unit_slope": '"fixed"'}, {}, "unit_slope: unknown choice 'fixed'; there are off, pooled"),
        ({"residual": '"cauchy"'}, {}, "residual: unknown choice 'cauchy'; there are normal, student_t"),
        (
            {"residual": '"ar1"'},
            {},
            'residual: \'ar1\' is not a choice any more; write residual = "normal" and correlation = "ar1"',
        ),
        (
            {"residual": '"by_group"'},
            {},
            'residual: \'by_group\' is not a choice any more; write residual = "normal" and spread = "by_group"',
        ),
        ({"spread": '"by_grou"'}, {}, "spread: unknown choice 'by_grou'; did you mean 'by_group'?"),
        ({"group_slopes": '"off"'}, {}, "group_slopes: unknown key; did you mean 'group_slope'?"),
        ({}, {"sigma": None}, "priors.sigma: a table is needed"),
        ({}, {"tau": None}, "priors.tau: a table is needed"),
        ({}, {"slope": None}, "priors.slope: a table is needed"),
        ({}, {"control_slope": None}, "priors.control_slope: a table is needed"),
        ({}, {"kappa": HALF}, "priors.kappa: unknown key; there are slope, control_slope, sigma, tau"),
        ({"group_slope": '"fixed"'}, {}, "priors.tau: unknown key; there are slope, control_slope, sigma"),
        ({}, {"tua": HALF}, "priors.tua: unknown key; did you mean 'tau'?"),
        ({}, {"tau": 'dist = "flat"'}, "priors.tau.dist: unknown prior 'flat'; there are half_normal"),
        ({}, {"tau": 'dist = "half_norm"\nscale = 1'}, "did you mean 'half_normal'?"),
        ({}, {"slope": HALF}, "priors.slope.dist: unknown prior 'half_normal'"),
        ({}, {"tau": 'dist = "half_normal"\nscale = 0'}, "priors.tau.scale: must be positive, not 0"),
        ({}, {"tau": 'dist = "half_normal"\nscale = -1'}, "priors.tau.scale: must be positive, not -1"),
        ({}, {"tau": 'dist = "half_normal"\nscale = inf'}, "priors.tau.scale: a finite number is needed"),
        ({}, {"tau": 'dist = "half_normal"\nscale = true'}, "priors.tau.scale: a finite number is needed"),
        ({}, {"tau": 'dist = "half_t"\nscale = 1'}, "priors.tau.df: a finite number is needed"),
        ({}, {"tau": f"{HALF}\nupper = 3"}, "priors.tau.upper: unknown key; there are dist, scale"),
    ],
)
def test_a_malformed_file_is_refused_by_file_and_key(tmp_path, top, priors, message):
    path = write(tmp_path, top, priors)
    with pytest.raises(InputError) as caught:
        load_panel_model(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_without_priors_is_refused(tmp_path):
    path = write(tmp_path, priors=dict.fromkeys(PRIORS))
    with pytest.raises(InputError, match="priors: a table is needed"):
        load_panel_model(path)
    path.write_text(path.read_text() + "\npriors = 3\n")
    with pytest.raises(InputError, match="priors: a table is needed"):
        load_panel_model(path)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="unknown model 'partial_poling'; did you mean 'partial_pooling'"):
        load_panel_model("partial_poling")
    with pytest.raises(InputError, match="unknown model 'eight_schools'"):
        load_panel_model("eight_schools")
    with pytest.raises(InputError, match="nowhere"):
        load_panel_model("nowhere.toml")


@pytest.mark.parametrize("term", chosen_terms())
def test_every_deviation_by_group_needs_groups_pooled_or_not(tmp_path, term):
    for choice in TERMS[term].choices:
        chosen = FIRST | {term: f'"{choice}"'}
        needed = [SCALES[term]] if choice in ("pooled", "random", "correlated") else []
        model = read_panel_model(write(tmp_path, chosen, {"tau": None} | dict.fromkeys(needed, HALF)))
        by_group = (term.startswith("group_") and choice != "off") or choice == "by_group"
        assert model.uses_groups is by_group
        assert not model.without_groups().uses_groups


@pytest.mark.parametrize("name", panel_model_names())
def test_without_groups_a_member_keeps_what_needs_none(name):
    model = load_panel_model(name)
    reduced = model.without_groups()
    assert not reduced.uses_groups
    assert {reduced.choice(term) for term in ("group_slope", "group_control_slope", "group_time_effect")} == {"off"}
    for term in ("unit_effect", "time_effect", "unit_slope", "unit_trend"):
        assert reduced.choice(term) == model.choice(term)
    assert [reduced.choice(key) for key in ("residual", "correlation")] == [
        model.choice(key) for key in ("residual", "correlation")
    ]
    assert reduced.choice("spread") == "common"
    assert set(reduced.priors) == {"slope", "control_slope", *reduced.scales}
    assert all(reduced.priors[key] == model.priors[key] for key in reduced.priors)
    assert reduced.without_groups() == reduced


def test_without_groups_leaves_scales_that_need_none():
    priors = {
        name: Prior("exponential", {"mean": 1.0 + k})
        for k, name in enumerate(("slope", "control_slope", *SCALES.values()))
    }
    pooled = dict.fromkeys([key for key, term in TERMS.items() if "pooled" in term.choices], "pooled")
    model = PanelModel(
        name="all",
        question="What?",
        choices=pooled
        | {"unit_effect": "random", "time_effect": "correlated", "residual": "normal", "spread": "by_group"},
        priors=priors,
    )
    assert model.scales == tuple(SCALES.values())
    assert tuple(model.without_groups().priors) == (
        "slope",
        "control_slope",
        "sigma",
        "kappa",
        "xi",
        "sigma_mu",
        "sigma_lambda",
    )


def test_every_term_has_its_prior_and_variables_of_its_own():
    locations = ("slope", "control_slope", "covariate_slope", "exposure_slope")
    assert tuple(parameters()) == (*locations, *SCALES.values(), "tau_beside")
    assert scale_symbols() == (*SCALES.values(), "tau_beside")
    assert {key: TERMS[key].parameter.name for key in SCALES} == SCALES
    assert {one.unit for one in parameters().values()} == {"slope", "control", "exposure", "outcome", "level", "trend"}
    variables = [name for term in TERMS.values() for name in term.variables]
    assert len(variables) == len(set(variables))
    for key, term in TERMS.items():
        assert term.key == key
        assert {term_of(name) for name in term.variables} <= {term}
    assert term_of("group_control_slope[x]") is TERMS["group_control_slope"]
    assert term_of("group_control") is None


def test_a_term_that_can_be_off_need_not_be_named(tmp_path):
    left_out = [key for key, term in TERMS.items() if term.default is not None]
    off = ["group_slope", "group_control_slope", "group_time_effect", "unit_slope", "unit_trend", "correlation"]
    assert left_out == [*off, "spread"]
    model = read_panel_model(write(tmp_path, dict.fromkeys(left_out), {"tau": None}))
    assert {model.choice(key) for key in off} == {"off"}
    assert model.choice("spread") == "common"
    assert model.choices == model.every_choice
    for key in ("unit_effect", "time_effect", "residual"):
        with pytest.raises(InputError, match=f"{key}: a text is needed"):
            read_panel_model(write(tmp_path, {key: None}))


def test_a_choice_of_no_term_is_a_mistake_of_the_programmer():
    model = load_panel_model("nested")
    with pytest.raises(KeyError, match="group_slopes"):
        model.choice("group_slopes")
    with pytest.raises(KeyError, match="residual"):
        PanelModel(name="mine", question="What?", choices={}, priors={}).choice("residual")
