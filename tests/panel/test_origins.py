"""Where rows come from: what their reader says, what they say themselves, and that neither makes them more observed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.jobs.moments import gather
from cbec_bayes.panel import Reading, Roles, load_study_panel, make_panel
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.panel.origins import origin_said
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import open_executor
from cbec_bayes.runtime.labels import Origin

ROLES = Roles(outcome="y", exposure="x", unit="firm", time="year")


def table(origin: object = None) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    firm, year = np.divmod(np.arange(60), 6)
    found = pd.DataFrame({"firm": firm, "year": 2000 + year, "x": rng.normal(size=60), "y": rng.normal(size=60)})
    return found if origin is None else found.assign(origin=origin)


def test_rows_of_which_nothing_is_said_are_observed():
    assert make_panel(table(), ROLES).origin is Origin.OBSERVED


@pytest.mark.parametrize("word", ["observed", "reconstructed", "simulated"])
def test_the_reader_says_where_rows_come_from(word):
    assert make_panel(table(), ROLES, reading=Reading(origin=word)).origin == word
    assert gather([table()], ROLES, reading=Reading(origin=word)).origin == word


def test_a_table_that_says_it_itself_never_looks_observed():
    simulated = table("simulated")
    assert make_panel(simulated, ROLES).origin is Origin.SIMULATED
    assert make_panel(simulated, read_formula("y ~ x | firm + year")).origin is Origin.SIMULATED
    assert gather([simulated], ROLES).origin is Origin.SIMULATED
    with pytest.raises(
        InputError, match="--origin says 'observed', but the column 'origin' of the file says 'simulated'"
    ):
        make_panel(simulated, ROLES, reading=Reading(origin="observed"))
    assert make_panel(table("observed"), ROLES, reading=Reading(origin="simulated")).origin is Origin.SIMULATED


def test_the_least_observed_row_counts_and_rows_that_are_not_taken_do_not():
    mixed = table(["simulated"] + ["observed"] * 58 + [None])
    assert make_panel(mixed, ROLES).origin is Origin.SIMULATED
    assert make_panel(mixed, ROLES, reading=Reading(where="year > 2000")).origin is Origin.OBSERVED


def test_a_column_of_this_name_with_other_words_says_nothing():
    assert make_panel(table("Beijing"), ROLES).origin is Origin.OBSERVED
    assert make_panel(table(["simulated", "Beijing"] * 30), ROLES).origin is Origin.OBSERVED
    assert origin_said(table(3.0).rename(columns={"x": "z"}), None, ["origin"]) is Origin.OBSERVED


def test_origins_that_are_given_by_column_hold():
    found = make_panel(table("simulated"), ROLES, origins={"x": Origin.INDEX})
    assert found.origins == {"y": Origin.OBSERVED, "x": Origin.INDEX}


def test_pieces_of_a_dataset_are_no_more_observed_than_one_of_them(tmp_path):
    whole = table("observed")
    whole[:24].to_parquet(tmp_path / "a.parquet")
    whole[24:].assign(origin="simulated").to_parquet(tmp_path / "b.parquet")
    assert gather(tmp_path, ROLES).origin is Origin.SIMULATED
    with open_executor(2) as executor:
        assert gather(tmp_path, ROLES, executor=executor).origin is Origin.SIMULATED
    (tmp_path / "b.parquet").unlink()
    assert gather(tmp_path, ROLES).origin is Origin.OBSERVED


def test_another_word_is_refused():
    with pytest.raises(InputError, match="--origin: unknown choice 'simulatd'; did you mean 'simulated'"):
        Reading(origin="simulatd")


def test_a_study_whose_file_says_it_is_simulated(tmp_path):
    table("simulated").to_csv(tmp_path / "rows.csv", index=False)
    text = 'title = "t"\n[panel]\nfiles = ["rows.csv"]\noutcome = "y"\nexposure = "x"\nunit = "firm"\ntime = "year"\n'
    (tmp_path / "mine.toml").write_text(text + 'convention = "reghdfe"\n')
    assert load_study_panel(tmp_path / "mine.toml").origin is Origin.SIMULATED
