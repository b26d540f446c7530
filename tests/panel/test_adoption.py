"""Cohorts, event times and the rows that effects of adoption can be learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.panel.adoption import adoption_of, cells_of
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import InputError
from tests.support.staggered import first_period, staggered


def with_exposure(design: Design, exposure: np.ndarray) -> Design:
    return replace(design, x=np.column_stack([exposure, design.x[:, 1:]]))


def when(design: Design) -> np.ndarray:
    return np.asarray(design.times)[design.time]


def test_cohorts_and_event_times_follow_from_the_first_treated_period():
    design = staggered()
    found = adoption_of(design)
    assert found.notes == ()
    assert found.cohorts == (2004.0, 2006.0, 2007.0)
    assert found.design.n_obs == design.n_obs
    first = first_period(design)
    assert (found.has_cohort == (first > 0)).all()
    at = found.has_cohort
    assert (found.event_time[at] == (when(design) - first)[at]).all()
    assert (np.asarray(found.cohorts)[found.cohort[design.unit][at]] == first[at]).all()


def test_without_units_that_are_never_treated_the_last_cohort_is_a_control():
    found = adoption_of(staggered(cohorts=(2004, 2006, 2006, 2008)))
    assert found.cohorts == (2004.0, 2006.0)
    assert found.design.times[-1] == 2007
    assert (found.cohort == -1).sum() == 8
    assert found.notes[0].startswith("No unit is never treated: all have adopted by 2008.")
    assert "2008, 2009 (64 of 288)" in found.notes[0]


def test_a_unit_that_is_treated_from_its_first_row_on_is_left_out():
    found = adoption_of(staggered(cohorts=(2001, 2004, 0, 2006)))
    assert len(found.design.units) == 24
    assert "8 units with a positive exposure from the first row on (u00, u04" in found.notes[0]
    assert "(72 rows)" in found.notes[0]


def test_an_exposure_that_grows_or_is_switched_off_is_told():
    design = staggered()
    treated = design.x[:, 0] > 0
    grows = with_exposure(design, np.where(treated, when(design) - 2000, 0.0))
    found = adoption_of(grows)
    assert [note for note in found.notes if "goes on changing after adoption in 24 of 24" in note]
    off = with_exposure(design, np.where(when(design) == 2008, 0.0, design.x[:, 0]))
    found = adoption_of(off)
    assert [note for note in found.notes if "zero again later in 24 of 24 adopting units (u00, u01" in note]
    assert (found.treated == treated).all()


def test_cohorts_of_one_unit_and_periods_with_few_untreated_units_are_told():
    notes = " ".join(adoption_of(staggered(n_units=6, cohorts=(2004, 2006, 2006, 2007, 0, 0))).notes)
    assert "2 cohorts have one unit each (u00, u03)" in notes
    assert "2 in 2007" in notes


def test_a_unit_without_a_row_before_its_first_treated_one_is_told():
    design = staggered()
    first = first_period(design)
    gone = (design.unit == 3) & (when(design) == first - 1)
    (note,) = adoption_of(design.rows(~gone)).notes
    assert note.startswith("1 unit has no row in the period before the first treated one (u03)")


def test_periods_that_are_not_equally_far_apart_are_told():
    design = staggered()
    gap = replace(design, times=(1990.0, *design.times[1:]))
    assert any("not equally far apart" in note for note in adoption_of(gap).notes)


@pytest.mark.parametrize(
    ("exposure", "message"),
    [
        (lambda x: x - 1, "below zero"),
        (lambda x: 0 * x, "no unit is ever treated"),
        (lambda x: 0 * x + 1, "nothing can be compared"),
    ],
)
def test_what_is_no_adoption_is_refused(exposure, message):
    design = staggered()
    with pytest.raises(InputError, match=message):
        adoption_of(with_exposure(design, exposure(design.x[:, 0])))


@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_cells_part_the_rows(drop):
    found = adoption_of(staggered(drop=drop))
    cells = cells_of(found, leads=True, by_group=True)
    at = cells.code >= 0
    assert (at == found.has_cohort & (found.event_time != -1)).all()
    assert (cells.event_time[cells.code[at]] == found.event_time[at]).all()
    assert (cells.group[cells.code[at]] == found.design.group[at]).all()
    assert cells.rows.sum() == at.sum()
    assert (cells.columns.sum(axis=1) == at).all()
    assert cells.shares(cells.is_treated).sum() == pytest.approx(1)
    assert list(cells.is_treated) == sorted(cells.is_treated, reverse=True)


def test_too_many_cells_are_refused(monkeypatch):
    monkeypatch.setattr("cbec_bayes.panel.adoption._LARGEST", 100)
    with pytest.raises(InputError, match="too many for a saturated regression"):
        cells_of(adoption_of(staggered()), leads=True)
