"""Other people's panels and tables: odd units, years and orders, groups left out, files that do not go together."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.classical.few import FewClusters
from cbec_bayes.commands.program import main
from cbec_bayes.panel import load_study_panel, study_frame
from cbec_bayes.panel.study import Study, read_study
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import load_paper
from cbec_bayes.replication import Cell, match_sentence, observed_rows, replicate, shown_cell, shown_tables, stars_of
from cbec_bayes.reporting.classical import classical_tables, jackknife_sentence
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin
from tests.support.studies import make_study

BOTH = ("observed.csv", "unknown.csv")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change(path: Path, function) -> None:
    function(pd.read_csv(path)).to_csv(path, index=False)


def printed(folder: Path, function) -> None:
    """Rewrite the printed cells one by one; None removes a cell."""
    path = folder / "tables" / "tables.csv"
    header, *lines = [line.split(",") for line in path.read_text().splitlines()]
    kept = [cells for cells in map(function, lines) if cells is not None]
    path.write_text("".join(",".join(cells) + "\n" for cells in (header, *kept)))


def again(folder: Path, **panel) -> Study:
    study = read_study(folder / "study.toml")
    return dataclasses.replace(study, panel=dataclasses.replace(study.panel, **panel))


def cell(number: str, value: float | str, quantity: str = "estimate", **more) -> Cell:
    return Cell(
        table="2",
        column="(1)",
        term="x",
        quantity=quantity,
        printed=PrintedNumber.parse(number),
        replicated=value,
        origin=Origin.OBSERVED,
        **more,
    )


# Panels that are stored another way, and say the same


def numeric_units(folder):
    for name in (*BOTH, "tables/scheme.csv"):
        change(folder / name, lambda frame: frame.assign(unit=frame["unit"].str[1:].astype(int) + 100))


def float_years(folder):
    change(folder / "observed.csv", lambda frame: frame.assign(year=frame["year"].astype(float)))


def dates(folder):
    for name in BOTH:
        change(folder / name, lambda frame: frame.assign(year=frame["year"].astype(str) + "-12-31"))


def shuffled(folder):
    change(folder / "observed.csv", lambda frame: frame.sample(frac=1, random_state=1))


def exposure_last(folder):
    path = folder / "tables" / "tables.csv"
    header, *lines = path.read_text().splitlines()
    last = [line for line in lines if line.split(",")[2] == "d" and line[0] != "2"]
    path.write_text("\n".join([header, *(line for line in lines if line not in last), *last]) + "\n")


def other_constant(folder):
    printed(folder, lambda cells: [*cells[:2], "_cons", *cells[3:]] if cells[2] == "constant" else cells)


def more_in_the_scheme(folder):
    with (folder / "tables" / "scheme.csv").open("a") as file:
        file.write("u98,south\nu99,islands\n")


@pytest.mark.parametrize(
    "ssc", [numeric_units, float_years, dates, shuffled, exposure_last, other_constant, more_in_the_scheme]
)
def test_the_same_tables_are_met_however_the_panel_is_stored(tmp_path, ssc):
    make_study(tmp_path)
    ssc(tmp_path)
    found = replicate(read_study(tmp_path / "study.toml"))
    assert found.counts() == {"yes": 37, "rounding": 0, "no": 0}
    frame = found.frame()
    assert frame[frame["printed"] != ""]["match"].tolist() == ["yes"] * (37 + 7 + 4)  # with stars and constants
    assert len(found.columns) == 4


def test_an_unbalanced_panel_is_replicated(tmp_path):
    make_study(tmp_path)
    for name in BOTH:
        change(tmp_path / name, lambda frame: frame.sample(frac=0.8, random_state=2))
    found = replicate(read_study(tmp_path / "study.toml"))
    assert not found.panel.is_balanced
    counts = {column.spec.key: column.fit.n_obs for column in found.columns}
    assert counts["3: (1)"] == counts["3: (2)"] == counts["4: north"] + counts["4: south"] <= found.panel.n_obs == 115


def test_a_study_without_groups(tmp_path):
    make_study(tmp_path)
    printed(tmp_path, lambda cells: None if cells[0] == "4" else cells)
    edit(tmp_path / "tables" / "paper.toml", '[groups]\n"4: north" = "north"\n"4: south" = "south"\n', "")
    found = replicate(again(tmp_path, scheme=None))
    assert [column.spec.key for column in found.columns] == ["3: (1)", "3: (2)"]
    assert found.counts()["no"] == 0


# Cells and their marks


def test_a_number_on_the_edge_of_its_rounding_is_met():
    """1.15 in binary lies beyond 1.15: a computed number may miss the edge by its last bits, and by no more."""
    assert cell("1.1", 1.15 + 1e-12).match == "yes"
    assert cell("1.1", 1.15 + 1e-8).match == "no"
    assert cell("-1.1", -1.15 - 1e-12).match == "yes"


def test_no_level_is_reached_at_the_level_itself(paper):
    assert [stars_of(p, paper) for p in (0.1, 0.05, 0.01, math.nan)] == ["", "*", "**", ""]


def test_an_estimate_with_other_stars_is_not_met():
    stars = Cell(
        table="2", column="(1)", term="x", quantity="stars", printed="**", replicated="***", origin=Origin.OBSERVED
    )
    assert shown_cell(cell("0.50", 0.501), stars) == "0.50*** [≠ 0.50**]"
    same = dataclasses.replace(stars, replicated="**")
    assert shown_cell(cell("0.50", 0.501), same) == "0.50** [= 0.50**]"
    assert shown_cell(cell("0.50", 0.511, slack=0.01), same) == "0.51** [~ 0.50**]"


def test_numbers_that_nobody_printed_are_written_plainly():
    def shown(quantity, value):
        return shown_cell(
            Cell(
                table="2",
                column="(1)",
                term="x",
                quantity=quantity,
                printed=None,
                replicated=value,
                origin=Origin.OBSERVED,
            )
        )

    assert shown("n_obs", 123456.0) == "123456"
    assert shown("estimate", 1234.5678) == "1235"
    assert shown("parenthesis", 0.012345) == "(0.01235)"
    assert shown("r2", math.nan) == "–"
    assert shown_cell(cell("1,234", 1234.0, "n_obs")) == "1234 [= 1,234]"


def test_a_negative_parenthesis_is_a_t_statistic(tmp_path):
    """A paper that prints t statistics: the sign is replicated too."""
    make_study(tmp_path)
    fits = {column.spec.key: column.fit for column in replicate(read_study(tmp_path / "study.toml")).columns}

    def to_t(cells):
        if cells[3] != "parenthesis":
            return cells
        fit = fits[f"{cells[0]}: {cells[1]}"]
        return [*cells[:4], f"{fit.t[fit.terms.index(cells[2])]:.2f}", cells[5]]

    printed(tmp_path, to_t)
    path = tmp_path / "tables" / "paper.toml"
    path.write_text('claimed_reading = "t"\n' + path.read_text())
    found = [c for c in replicate(read_study(tmp_path / "study.toml")).cells if c.quantity == "parenthesis"]
    negative = [c for c in found if c.printed is not None and float(c.printed) < 0]
    assert len(negative) == 3
    assert {(c.term, c.reading, c.match) for c in negative} == {("x", "t", "yes")}
    assert shown_cell(negative[0]).startswith("(t = -")


def test_rows_are_those_of_the_fullest_column(tmp_path):
    found = shown_tables(replicate(make_study(tmp_path)))
    frame = next(table for title, table in found if title == "Table 3")
    assert frame[""].tolist() == ["d", "d (se)", "x", "x (se)", "Constant", "Constant (se)", "Observations", "R2"]
    assert frame["(1)"].tolist()[2:4] == ["", ""]


def test_labels_of_the_study_come_before_those_of_the_paper(tmp_path):
    make_study(tmp_path)
    path = tmp_path / "tables" / "paper.toml"
    path.write_text(path.read_text() + '[labels]\nd = "Dose"\nx = "Exercise"\n')
    tables = shown_tables(replicate(again(tmp_path, labels={"d": "Drug"})))
    assert tables[0][1][""].tolist() == ["y", "Drug", "Exercise"]
    assert tables[1][1][""].tolist()[:2] == ["Drug", "Drug (se)"]


# Groups and columns that cannot be had


def test_a_group_that_cannot_be_fitted_says_why(tmp_path):
    """One unit alone has no slope: the group that the paper leaves out is there with the reason."""
    make_study(tmp_path)
    change(tmp_path / "tables" / "scheme.csv", lambda f: f.assign(group=["north"] * 12 + ["south"] * 11 + ["islands"]))
    found = replicate(read_study(tmp_path / "study.toml"))
    alone = [c for c in found.cells if c.column == "islands"]
    assert [(c.quantity, c.printed, math.isnan(c.replicated)) for c in alone] == [("n_obs", None, True)]
    assert "no slope can be estimated" in alone[0].note
    head = "islands (not in the paper)"
    assert set(shown_tables(found)[-1][1][head]) == {"–", ""}
    assert "islands" not in set(found.classical()["column"])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("paper.toml", '"4: north" = "north"', '"4: north" = "North"', "'4: north' is 'North'; did you mean 'north'?"),
        (
            "tables.csv",
            "4,north,x,",
            "4,north,z,",
            "the printed column '4: north' has the row 'z', but the panel has no such regressor",
        ),
    ],
)
def test_names_that_differ_are_said(tmp_path, file, old, new, message):
    make_study(tmp_path)
    edit(tmp_path / "tables" / file, old, new)
    with pytest.raises(InputError) as caught:
        replicate(read_study(tmp_path / "study.toml"))
    assert message in caught.value.message


# The files of a study


def test_periods_are_kept_from_first_to_last(tmp_path):
    spec = make_study(tmp_path).panel
    assert load_study_panel(dataclasses.replace(spec, first=2002, last=2004)).times == (2002, 2003, 2004)
    assert load_study_panel(dataclasses.replace(spec, last=2004)).times == (2001, 2002, 2003, 2004)
    assert load_study_panel(dataclasses.replace(spec, first=2005)).times == (2005, 2006)


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("unknown.csv", lambda frame: frame.assign(x=1.0), "the column is in another file of the study too"),
        ("unknown.csv", lambda frame: frame.iloc[:-2], "2 rows are not in every file of the study, the first is u23"),
        ("observed.csv", lambda frame: frame.iloc[1:], "1 rows are not in every file of the study, the first is u00"),
        ("unknown.csv", lambda frame: frame.rename(columns={"year": "Year"}), "no such column"),
    ],
)
def test_files_that_do_not_go_together(tmp_path, name, function, message):
    study = make_study(tmp_path)
    change(tmp_path / name, function)
    with pytest.raises(InputError) as caught:
        study_frame(study.panel)
    assert message in str(caught.value)
    assert "unknown.csv" in str(caught.value)


def test_a_column_of_half_widths_must_be_there(tmp_path):
    make_study(tmp_path)
    with pytest.raises(InputError, match="no such column in the study's files"):
        replicate(again(tmp_path, rounding={"x": "half"}))
    change(tmp_path / "observed.csv", lambda frame: frame.assign(half=0.25))
    found = {(c.term, c.quantity): c for c in replicate(again(tmp_path, rounding={"x": "half"})).cells}
    assert found[("x", "mean")].slack == found[("x", "min")].slack == 0.25
    assert found[("x", "sd")].slack == pytest.approx(0.25 * math.sqrt(144 / 143))
    assert found[("x", "n_obs")].slack == found[("d", "mean")].slack == 0.0


def test_only_observed_controls_are_rows_for_the_audit(tmp_path):
    make_study(tmp_path)
    change(tmp_path / "observed.csv", lambda frame: frame.assign(z=frame["x"] ** 2))
    study = again(tmp_path, controls=("x", "z"), origins={"z": Origin.RECONSTRUCTED})
    rows = observed_rows(study, load_paper(tmp_path / "tables"))
    assert {tuple(frame.columns) for frame in rows.values()} == {("x", "unit", "time")}
    assert {key: len(frame) for key, frame in rows.items()} == {
        "3: (1)": 144,
        "3: (2)": 144,
        "4: north": 72,
        "4: south": 72,
    }
    assert set(rows["4: south"]["unit"]) == {f"u{i}" for i in range(12, 24)}
    assert observed_rows(dataclasses.replace(study, panel=None), load_paper(tmp_path / "tables")) == {}


# The report


@pytest.fixture(scope="module")
def of_report(tmp_path_factory):
    """A digit of the paper changed, the group of the south left out of the paper; few clusters made up."""
    folder = tmp_path_factory.mktemp("study")
    make_study(folder)
    edit(folder / "tables" / "paper.toml", '"4: south" = "south"\n', "")
    printed(
        folder,
        lambda cells: (
            None if cells[1] == "south" else [*cells[:4], "9.999", ""] if cells[2:4] == ["d", "mean"] else cells
        ),
    )
    found = replicate(read_study(folder / "study.toml"))
    jackknife = {"3: (1)": (1.24, 0.34), "3: (2)": (1.5, 0.001), "4: north": (1.76, 0.5), "4: south": (math.nan,) * 2}
    few = {}
    for column in found.columns:
        ratio, p = (np.full(len(column.fit.terms), value) for value in jackknife[column.spec.key])
        ends = np.column_stack([p, p])
        few[column.spec.key] = FewClusters(
            regression=column.fit,
            cr2_se=2 * column.fit.se,
            cr2_df=p,
            cr2_p=p,
            crv3_se=ratio * column.fit.se,
            crv3_p=p,
            wild_p=p / 2,
            wild_interval=ends,
            weights="webb",
            replications=99,
            seed=1,
        )
    return dataclasses.replace(found, few=few)


def test_the_reports_tables(of_report):
    tables = {table.name: table for table in classical_tables(of_report)}
    assert list(tables) == ["study_table2", "study_table3", "study_table4", "study_few"]
    assert tables["study_table2"].caption.endswith(" y and d: simulated; the other columns of the panel are observed.")
    assert tables["study_table3"].caption.endswith("≠ not met.")
    marks = [mark for table in tables.values() for row in table.marks for mark in row]
    assert marks.count("fail") == 1
    assert tables["study_table2"].mark(1, 2) == "fail"
    assert {str(table.origin) for table in tables.values()} == {"simulated"}
    assert match_sentence(of_report).endswith("d mean (9.999).")


def test_the_reports_few_clusters(of_report):
    rows = classical_tables(of_report)[-1].rows
    assert [row[:2] for row in rows] == [
        ("Table 3 (1)", "24"),
        ("Table 3 (2)", "24"),
        ("Table 4 north", "12"),
        ("Table 4 south", "12"),
    ]
    se = [column.fit.se[0] for column in of_report.columns]
    assert [row[3] for row in rows] == [f"{value:.3f} (p < 0.01)" for value in se]
    assert rows[0][4] == f"{2 * se[0]:.3f} (p = 0.34)"
    assert [row[5] for row in rows[:2]] == [f"{1.24 * se[0]:.3f} (p = 0.34)", f"{1.5 * se[1]:.3f} (p < 0.01)"]
    assert rows[3][5] == "not defined"
    assert [row[6] for row in rows[:3]] == ["p = 0.17", "p < 0.01", "p = 0.25"]
    assert [row[7] for row in rows] == ["0.340 to 0.340", "0.001 to 0.001", "0.500 to 0.500", "not defined"]


def test_the_jackknifes_sentence(of_report):
    sentence = jackknife_sentence(of_report)
    assert "standard error is 1.2 to 1.8 times the clustered one, most in column 4: north:" in sentence
    assert jackknife_sentence(dataclasses.replace(of_report, few={})) == ""


# The command


def test_the_command_passes_its_options_on(monkeypatch, capsys):
    seen = {}

    def stop(study, **given):
        seen.update(given, study=study.name)
        raise InputError("enough")

    monkeypatch.setattr("cbec_bayes.jobs.replicate.replicate", stop)
    with pytest.raises(SystemExit):
        main(["replicate", "--study", "public", "--seed", "7", "--no-few"])
    assert callable(seen.pop("on_progress"))
    assert seen == {"study": "public", "few": False, "seed": 7}
    assert capsys.readouterr().err == "error: enough\n"
