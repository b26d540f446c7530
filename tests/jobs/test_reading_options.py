"""How a file is read is said in the same words to every command that reads one."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.jobs.moments import gather
from cbec_bayes.jobs.moments_file import load_moments
from cbec_bayes.panel import Reading, Roles, load_study_panel, make_panel
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.panel.study import load_study
from cbec_bayes.runtime.errors import InputError
from tests.support.called import heard

COLUMNS = [
    "--outcome",
    "y",
    "--exposure",
    "x",
    "--control",
    "z",
    "--unit",
    "firm",
    "--time",
    "day",
    "--group",
    "region",
]
ROLES = Roles(outcome="y", exposure="x", controls=("z",), unit="firm", time="day", group="region")


def table() -> pd.DataFrame:
    """Quarterly rows whose dates are written day first, with a code for a missing cell, and rows of another sector."""
    rng = np.random.default_rng(3)
    firm, quarter = np.divmod(np.arange(18 * 8), 8)
    first = pd.PeriodIndex.from_fields(year=2010 + quarter // 4, quarter=quarter % 4 + 1, freq="Q").start_time
    found = pd.DataFrame({"firm": firm, "day": first.strftime("%d/%m/%Y"), "region": np.array(list("abc"))[firm % 3]})
    found = found.assign(**{name: rng.normal(size=144).round(4) for name in ("x", "z")}, sector=firm % 2)
    found["y"] = (0.4 * found["x"] + rng.normal(size=18)[firm] + rng.normal(size=144)).round(4)
    found.loc[[5, 20], "z"] = -99
    return found


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows as they would be without a word about reading."""
    kept = frame[frame["sector"] == 0].copy()
    day = pd.to_datetime(kept["day"], format="%d/%m/%Y")
    kept["day"] = [f"{d.year}Q{d.quarter}" for d in day]
    return kept.assign(z=kept["z"].where(kept["z"] != -99))


READ = [
    "--where",
    "sector == 0",
    "--missing",
    "-99",
    "--dates",
    "day-first",
    "--frequency",
    "quarter",
    "--decimal",
    ",",
]
READ += ["--encoding", "latin-1"]


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("odd.csv", index=False, sep=";", decimal=",", encoding="latin-1")
    plain(table()).to_csv("plain.csv", index=False)
    plain(table()).to_parquet("plain.parquet")

    return partial(heard, capsys)


def test_moments_read_as_fit_does(program):
    assert program("moments", "odd.csv", *COLUMNS, *READ, "--out", "odd.nc", "--disclose", "--quiet") == (0, "", "")
    assert program("moments", "plain.csv", *COLUMNS, "--out", "plain.nc", "--disclose", "--quiet") == (0, "", "")
    odd, same = load_moments("odd.nc"), load_moments("plain.nc")
    assert (odd.n_obs, odd.dropped, odd.times, odd.frequency) == (same.n_obs, same.dropped, same.times, same.frequency)
    np.testing.assert_allclose(odd.within, same.within)
    np.testing.assert_allclose(odd.centre, same.centre)


def test_moments_in_batches_meet_a_condition_on_a_column_that_is_no_other(program):
    whole = table().assign(day=[f"{2000 + k % 8}" for k in range(144)])
    whole["z"] = whole["z"].where(whole["z"] != -99)
    whole.to_parquet("whole.parquet")
    found = gather("whole.parquet", ROLES, reading=Reading(where="sector == 0"))
    other = gather([whole[whole["sector"] == 0]], ROLES)
    assert found.n_obs == other.n_obs
    np.testing.assert_allclose(found.within, other.within)
    with pytest.raises(InputError, match="no row meets --where sector == 7"):
        gather("whole.parquet", ROLES, reading=Reading(where="sector == 7"))
    with pytest.raises(InputError, match="--group-at needs all rows of a unit"):
        gather("whole.parquet", ROLES, reading=Reading(group_at="first"))
    with pytest.raises(InputError, match="--decimal is not of Parquet files"):
        gather("whole.parquet", ROLES, reading=Reading(decimal=","))


def test_missing_codes_count_in_names_too(program):
    frame = plain(table()).assign(region=lambda rows: rows["region"].replace("c", "-99"))
    found = gather([frame], ROLES, reading=Reading(missing=("-99",)))
    assert found.groups == ("a", "b")


def test_specifications_read_as_fit_does(program, tmp_path):
    for name, read in (("odd", READ), ("plain", [])):
        asked = ["--data", f"{name}.csv", *COLUMNS, *read, "--model", "partial_pooling", "--reduced"]
        code, _, said = program("specifications", *asked, "--workers", "1", "--out", name, "--quiet")
        assert (code, said) == (0, "")
    odd, same = (pd.read_csv(tmp_path / name / "specifications.csv") for name in ("odd", "plain"))
    pd.testing.assert_frame_equal(odd, same, rtol=1e-6)


def test_a_folder_says_itself_how_it_is_read(program):
    code, _, said = program("specifications", "somewhere", "--where", "x > 0")
    assert code == 2
    assert "the settings of a fit or a study already say how its data are read; leave out --where" in said


def test_lags_are_taken_from_rows_that_do_not_meet_the_condition():
    frame = table().assign(day=[2000 + k % 8 for k in range(144)], z=0.0)
    frame["lag"] = frame.groupby("firm")["x"].shift(1)
    frame["lead"] = frame.groupby("firm")["x"].shift(-1)
    reading = Reading(where="day >= 2003 and day < 2006 and sector == 0")
    panel = make_panel(frame, read_formula("y ~ x + l(x, 1) + f(x, 1) | firm + day"), reading=reading)
    kept = frame[frame["day"].between(2003, 2005) & (frame["sector"] == 0)]
    assert panel.n_obs == len(kept)
    np.testing.assert_array_equal(panel.frame[["l(x, 1)", "f(x, 1)"]], kept[["lag", "lead"]])
    assert any("lags and leads are taken from all rows" in note for note in panel.notes)
    without = make_panel(frame, read_formula("y ~ x | firm + day"), reading=reading)
    assert not any("lags" in note for note in without.notes)


def test_functions_of_the_table_are_of_the_rows_that_meet_the_condition():
    frame = table().assign(day=[2000 + k % 8 for k in range(144)])
    panel = make_panel(frame, read_formula("y ~ scale(x) + l(x, 1) | firm + day"), reading=Reading(where="day >= 2001"))
    values = frame["x"][frame["day"] >= 2001]
    np.testing.assert_allclose(panel.frame["scale(x)"], (values - values.mean()) / values.std(ddof=1))


def test_rows_beside_the_condition_have_to_be_periods_where_lags_are_taken():
    frame = table().assign(day=[2000 + k % 8 for k in range(144)])
    frame.loc[9, "day"] = 2000  # firm 1 twice in 2000
    formula = read_formula("y ~ x + l(x, 1) | firm + day")
    with pytest.raises(InputError, match="twice"):
        make_panel(frame, formula, reading=Reading(where="sector == 0"))
    assert make_panel(frame, read_formula("y ~ x | firm + day"), reading=Reading(where="sector == 0")).n_obs == 72


STUDY = """title = "A study"

[panel]
files = ["{one}", "{two}"]
{asked}
unit = "firm"
time = "day"
convention = "reghdfe"
"""


def study(tmp_path, asked: str, more: str = ""):
    frame = plain(table()).assign(size=lambda rows: np.exp(rows["x"]))
    frame[["firm", "day", "y", "size"]].to_csv(tmp_path / "one.csv", index=False)
    frame[["firm", "day", "z", "x"]].to_csv(tmp_path / "two.csv", index=False)
    path = tmp_path / "s.toml"
    names = {"one": tmp_path / "one.csv", "two": tmp_path / "two.csv"}
    path.write_text(STUDY.format(asked=asked, **{key: one.name for key, one in names.items()}) + more)
    return load_study(path)


def test_a_study_has_a_formula_and_quarters(tmp_path):
    asked = 'formula = "y ~ log(size) + z | firm + day"\nfirst = "2010Q2"\nlast = "2011Q3"'
    panel = load_study_panel(study(tmp_path, asked))
    assert panel.roles.regressors == ("log(size)", "z")
    assert (panel.periods[0], panel.periods[-1], len(panel.periods)) == ("2010Q2", "2011Q3", 6)
    same = load_study_panel(study(tmp_path, 'outcome = "y"\nexposure = "x"\ncontrols = ["z"]\nfirst = "2010Q2"'))
    rows = same.frame[[time < 2011 * 4 + 3 for time in same.frame["day"]]]
    np.testing.assert_allclose(panel.frame["log(size)"], rows["x"], atol=1e-12)


def test_a_study_of_a_formula_has_alternatives_of_their_own(tmp_path):
    more = '[[panel.alternatives]]\nname = "b"\nlabel = "in logarithms"\nformula = "y ~ x + log(size) | firm + day"\n'
    found = study(tmp_path, 'formula = "y ~ x | firm + day"', more)
    assert found.panel.panels["b"].controls == ("log(size)",)
    assert (found.panel.outcome, found.panel.exposure, found.panel.controls) == ("y", "x", ())


def test_periods_of_a_study_must_be_those_of_its_files(tmp_path):
    with pytest.raises(InputError, match="the file has quarters"):
        load_study_panel(study(tmp_path, 'formula = "y ~ x | firm + day"\nfirst = 2010'))


def test_the_settings_of_a_fit_say_how_dates_are_written(program, tmp_path):
    asked = ["--data", "odd.csv", *COLUMNS, *READ, "--model", "partial_pooling", "--no-neighbours", "--quiet"]
    assert program("fit", *asked, "--out", "o") == (0, "", "")
    reading = json.loads((tmp_path / "o" / "fit.json").read_text())["reading"]
    assert (reading["dates"], reading["frequency"]) == ("day-first", "quarter")
