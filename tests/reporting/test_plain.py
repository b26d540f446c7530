"""Tables that need no key: natural order, notes that stand once, and no dash or empty column without a reason."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.reporting.plain import in_natural_order, natural_key, pairs_in_natural_order, plain
from cbec_bayes.reporting.tables import ReportTable
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW, Origin


def table(columns: tuple[str, ...], *rows: tuple[str, ...], marks: tuple[tuple[str, ...], ...] = ()) -> ReportTable:
    return ReportTable(name="t", caption="A table.", origin=Origin.OBSERVED, columns=columns, rows=rows, marks=marks)


def test_numbers_in_names_are_sorted_as_numbers():
    names = ["10", "r10", "2", "r2", "1", "r1b", "r1a"]
    assert sorted(names, key=natural_key) == ["1", "2", "10", "r1a", "r1b", "r2", "r10"]


@given(st.lists(st.text(max_size=6)))
def test_any_names_have_an_order(names):
    """Superscripts and digits of other scripts too; an order does not depend on where it begins."""
    turned = names[::-1]
    assert sorted(names, key=natural_key) == sorted(turned, key=natural_key)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_whole_numbers_are_sorted_as_python_sorts_them(numbers):
    assert sorted(map(str, numbers), key=natural_key) == [str(n) for n in sorted(numbers)]


def test_rows_that_are_no_group_keep_their_places():
    groups = [GROUP_NEW, "10", GROUP_ALL, "9", GROUP_AVERAGE]
    ordered = in_natural_order(pd.DataFrame({"group": groups, "at": range(5)}))
    assert ordered["group"].tolist() == [GROUP_AVERAGE, "9", "10", GROUP_ALL, GROUP_NEW]
    assert ordered["at"].tolist() == [4, 3, 1, 2, 0]
    assert ordered.index.tolist() == list(range(5))


def test_the_same_note_stands_once():
    rows = [(f"r{k}", "1.0", "Too few clusters.") for k in range(20)]
    found = plain(table(("Row", "Number", "Note"), *rows), {})
    assert found.columns == ("Row", "Number")
    assert found.notes == ("Too few clusters.",)


def test_different_notes_have_numbers():
    rows = [("a", "1", "First."), ("b", "2", ""), ("c", "3", "Second."), ("d", "4", "First.")]
    found = plain(table(("Row", "Number", "Note"), *rows), {})
    assert [row[2] for row in found.rows] == ["1", "", "2", "1"]
    assert found.notes == ("1. First.", "2. Second.")


def test_pairs_are_in_natural_order_and_rows_of_one_stay():
    pairs = [("10", "2"), ("", ""), ("2", "10"), ("2", "1"), ("2", "10")]
    frame = pd.DataFrame(pairs, columns=["group", "minus"]).assign(at=range(5))
    assert pairs_in_natural_order(frame)["at"].tolist() == [1, 3, 2, 4, 0]


def test_a_column_of_dashes_is_left_out_with_its_reason():
    found = plain(table(("Row", "Wild p", "p"), ("a", "–", "0.1"), ("b", "", "0.2")), {"Wild p": "no clusters"})
    assert found.columns == ("Row", "p")
    assert found.rows == (("a", "0.1"), ("b", "0.2"))
    assert found.notes == ("Left out, because no row has a number: Wild p (no clusters).",)


def test_every_dash_is_explained_and_no_cell_is_blank():
    found = plain(table(("Row", "Units", "q"), ("a", "", "1"), ("b", "3", "0.2 / – / 0.3")), {"Units": "none yet"})
    assert found.rows[0] == ("a", "–", "1")
    assert found.notes == ("A dash has a reason. Units: none yet; q: there is no such number in that row.",)


@pytest.mark.parametrize("whole", [table(("Row",)), table(("Row",), ("–",), marks=(("fail",),))])
def test_what_has_no_rows_or_has_marks_is_left_as_it_is(whole):
    assert plain(whole, {}) is whole


def test_notes_go_into_every_form():
    found = plain(table(("Row", "Note"), ("a", "Seen once & for all.")), {})
    assert found.markdown().endswith("\nSeen once & for all.\n")
    assert "Seen once \\& for all." in found.latex()
