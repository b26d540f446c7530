"""A row that alone sets the unit of the priors, or nearly all of the common slope, is named."""

from __future__ import annotations

import pytest

from cbec_bayes.jobs.published import pool_file

CLOSE = "a,0.10,0.1\nb,0.2,0.1\nc,0.15,0.1\n"


@pytest.fixture
def notes(tmp_path):
    def of(rows: str, unit: float | None = None) -> list[str]:
        (tmp_path / "t.csv").write_text("label,estimate,se\n" + rows)
        found = pool_file(tmp_path / "t.csv", model="published_half_normal", unit=unit)
        return [note for note in found.notes if "alone sets" in note or "of the weight" in note]

    return of


def test_no_row_of_close_ones_dominates(notes):
    assert notes(CLOSE) == []


def test_an_outlier_that_sets_the_unit_is_named(notes):
    (note,) = notes(CLOSE + "d,9,0.1\n")
    assert note.startswith("'d' alone sets the automatic unit of the priors: 7.")
    assert "0.2" in note.partition(" and ")[2]
    assert notes(CLOSE + "d,9,0.1\n", unit=1.0) == []


def test_a_row_with_nearly_all_of_the_weight_is_named(notes):
    rows = "a,0.1,0.001\nb,0.1,0.5\nc,0.1,0.6\n"
    (note,) = notes(rows, unit=0.01)
    assert note.startswith("'a' has ")
    assert "of the weight of the common slope" in note


def test_sensitivity_has_half_and_twice_the_unit(tmp_path):
    (tmp_path / "t.csv").write_text("label,estimate,se\n" + CLOSE)
    table = pool_file(tmp_path / "t.csv", model="published_half_normal", unit=0.4).sensitivity
    assert table.columns[-1] == "unit"
    own = table[table["model"] == "published_half_normal"]
    assert sorted(own["unit"].unique()) == pytest.approx([0.2, 0.4, 0.8])
    tau = own[own["group"] == "(tau)"].set_index("unit")["mean"].sort_index()
    assert tau.is_monotonic_increasing
    others = table[table["model"] != "published_half_normal"]
    assert set(others["unit"]) == {0.4}
