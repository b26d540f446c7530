from __future__ import annotations

import pytest

from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.classical.conventions import CONVENTIONS
from cbec_bayes.panel.study import load_study, read_study, study_names
from cbec_bayes.published.summary_model import load_summary_model, model_names
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir

GOOD = {
    "kind": 'kind = "published"',
    "question": 'question = "x"',
    "unit": 'unit = "auto"',
    "slope": '[slope]\ndist = "normal"\nmean = 0\nsd = 1',
    "between": '[between]\ndist = "half_t"\ndf = 4\nscale = 0.5',
}


def read(tmp_path, **changes):
    path = tmp_path / "m.toml"
    path.write_text("\n".join({**GOOD, **changes}.values()))
    return load_summary_model(path)


def test_every_shipped_model_and_study_loads():
    assert len(model_names()) + len(panel_model_names()) == len(list(asset_dir("models").glob("*.toml")))
    for name in model_names():
        assert load_summary_model(name).question.endswith((".", "?"))
    for name in panel_model_names():
        assert load_panel_model(name).question.endswith((".", "?"))
    for name in study_names():
        study = load_study(name)
        if study.published is not None:
            assert {study.published.model, *study.published.sensitivity} <= set(model_names())
        if study.panel is not None:
            assert study.panel.convention in CONVENTIONS
        assert set(study.beside) <= set(study_names())


PANEL = {
    "files": '["observed/provinces.csv"]',
    "outcome": '"retail"',
    "exposure": '"pilot_zones"',
    "unit": '"province"',
    "time": '"year"',
    "convention": '"reghdfe"',
}


@pytest.mark.parametrize(
    ("changes", "extra", "message"),
    [
        ({"files": "[]"}, "", "panel.files: a list of texts is needed, and it may not be empty"),
        ({"files": '"one.csv"'}, "", "panel.files: a list of texts is needed"),
        ({"outcome": "3"}, "", "panel.outcome: a text is needed"),
        ({"first": "[1]"}, "", "panel.first: a finite number is needed, or a period as text"),
        ({"outcome": '""'}, "", "panel.outcome: a text is needed"),
        ({"formula": '"a ~ b | province + year"'}, "", "panel.outcome: the formula says it already"),
        ({}, '[[panel.alternatives]]\nname = "a"\nlabel = "b"\nformula = "a +"\n', "alternatives[1].formula: "),
        ({"contols": '["a"]'}, "", "panel.contols: unknown key; did you mean 'controls'?"),
        ({}, '[panel.origins]\nretail = "seen"\n', "panel.origins.retail: unknown origin 'seen'"),
        ({}, "[panel.labels]\nretail = 1\n", "panel.labels.retail: a text is needed"),
        ({"labels": "3"}, "", "panel.labels: a table of texts is needed"),
        ({"origins": '["observed"]'}, "", "panel.origins: a table of texts is needed"),
        ({}, '[panel.origins]\nretial = "observed"\n', "panel.origins.retial: unknown key; did you mean 'retail'?"),
        ({}, '[panel.rounding]\nrail = "r"\n', "panel.rounding.rail: unknown key; did you mean 'retail'?"),
        ({}, '[panel.proxies]\ncontrols = ["a"]\n', "panel.proxies.controls: unknown key; there are outcome, exposure"),
        ({}, "[panel.proxies]\noutcome = []\n", "panel.proxies.outcome: a list of texts is needed, and it may not be"),
        ({"files": '["a.csv", 3]'}, "", "panel.files[2]: a text is needed"),
        ({"last": "true"}, "", "panel.last: a finite number is needed"),
        ({}, '[panel.derived]\na = { log = "retail", ratio = ["a", "b"] }\n', "panel.derived.a: exactly one of log"),
        ({}, "[panel.derived]\na = { }\n", "panel.derived.a: exactly one of log, ratio and index is needed"),
        ({}, '[panel.derived]\na = { ratio = ["retail"] }\n', "panel.derived.a.ratio: two columns are needed"),
        ({}, '[panel.derived]\na = { lag = "retail" }\n', "panel.derived.a.lag: unknown key"),
        ({"derived": '"log"'}, "", "panel.derived: a table of tables is needed"),
        ({}, '[[panel.alternatives]]\nname = "a"\n', "panel.alternatives[1].label: a text is needed"),
        ({}, '[[panel.alternatives]]\nname = "main"\nlabel = "b"\n', "alternatives[1].name: 'main' is the name of"),
        ({}, '[[panel.alternatives]]\nname = "a"\nlabel = "b"\nunit = "c"\n', "panel.alternatives[1].unit: unknown"),
        ({}, '[published]\ntables = "a"\n', "published.reading: a text is needed"),
    ],
)
def test_a_bad_study_names_file_and_key(tmp_path, changes, extra, message):
    path = tmp_path / "s.toml"
    panel = "".join(f"{key} = {value}\n" for key, value in (PANEL | changes).items())
    path.write_text(f'title = "t"\n[panel]\n{panel}{extra}')
    with pytest.raises(InputError, match=r"s\.toml") as error:
        read_study(path)
    assert message in str(error.value)


def test_a_study_is_a_name_or_a_file(tmp_path):
    """What lies beside the file is meant before what ships; a name with the ending of a file never means the latter."""
    path = tmp_path / "mine.toml"
    shipped = load_study("paper").path.read_text()
    path.write_text(shipped)
    study = load_study(path)
    assert (study.name, study.panel) == ("mine", load_study("paper").panel)
    assert study.beside == ("circulation", "public")
    (tmp_path / "near.csv").write_text("unit,group\na,b\n")
    for old, new in (
        ('beside = ["circulation", "public"]', 'beside = "other.toml"'),
        ('scheme = "four_regions"', 'scheme = "near.csv"'),
        ('model = "published_half_normal"', 'model = "own.toml"'),
        ('sensitivity = ["published_half_normal",', 'sensitivity = ["more.toml",'),
    ):
        shipped = shipped.replace(old, new)
    path.write_text(shipped)
    study = load_study(str(path))
    assert study.published is not None
    assert study.panel is not None
    assert study.beside == (str(tmp_path / "other.toml"),)
    assert study.panel.scheme == str(tmp_path / "near.csv")
    assert study.published.model == str(tmp_path / "own.toml")
    assert study.published.sensitivity[:2] == (str(tmp_path / "more.toml"), "published_half_t")
    with pytest.raises(InputError, match="or name a TOML file"):
        load_study("mine")


def test_a_study_needs_something(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('title = "t"\n')
    with pytest.raises(InputError, match="needs printed tables"):
        read_study(path)


def test_a_model_is_read_and_resolved(tmp_path):
    model = read(tmp_path)
    assert (model.name, model.unit) == ("m", "auto")
    assert model.resolved(2).between == Prior("half_t", {"df": 4.0, "scale": 1.0})
    assert model.resolved(2).slope == Prior("normal", {"mean": 0.0, "sd": 2.0})
    assert str(model.between) == "half-t(df = 4, scale = 0.5)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": 'kind = "panel"'}, "'panel' is not a model of published estimates"),
        ({"kind": ""}, "kind: a text is needed"),
        ({"unit": "unit = -1"}, "unit: 'auto' or a positive number is needed"),
        ({"unit": 'unit = "big"'}, "unit: 'auto' or a positive number is needed"),
        ({"unit": "unit = true"}, "unit: 'auto' or a positive number is needed"),
        ({"between": '[between]\ndist = "fixed"\nvalue = -1'}, "between.value: must be zero or positive, not -1"),
        ({"slope": "slope = [1]"}, "slope: a table is needed"),
        ({"slope": "[slope]\nmean = 0"}, "slope.dist: a text is needed"),
        ({"unit": "units = 1"}, "units: unknown key; did you mean 'unit'?"),
        ({"slope": ""}, "slope: a table is needed"),
        ({"slope": '[slope]\ndist = "half_normal"\nscale = 1'}, "slope.dist: unknown prior 'half_normal'"),
        ({"between": '[between]\ndist = "half_normal"'}, "between.scale: a finite number is needed"),
        ({"between": '[between]\ndist = "half_norma"\nscale = 1'}, "did you mean 'half_normal'"),
        ({"between": '[between]\ndist = "half_normal"\nscale = inf'}, "between.scale: a finite number is needed"),
        ({"between": '[between]\ndist = "half_normal"\nscale = 0'}, "must be positive, not 0"),
        ({"between": '[between]\ndist = "half_normal"\nscale = 1\ndf = 3'}, "between.df: unknown key"),
        ({"between": '[between]\ndist = "flat"'}, "unknown prior 'flat'"),
    ],
)
def test_a_malformed_model_is_named_by_file_and_key(tmp_path, changes, message):
    with pytest.raises(InputError, match=r"m\.toml") as caught:
        read(tmp_path, **changes)
    assert message in str(caught.value)
