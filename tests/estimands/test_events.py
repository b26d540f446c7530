"""Effects by time since adoption: means over rows, groups, and standard deviations over units."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from cbec_bayes.bayes.events.fit import EventFit, evidence_without_leads, fit_events
from cbec_bayes.bayes.events.model import event_blocks
from cbec_bayes.classical.events.paths import SATURATED, fit_saturated, path_of_cells
from cbec_bayes.estimands.events import EventEffect, event_effects, step_scales
from cbec_bayes.estimands.jackknife import sds_over_units
from cbec_bayes.panel.adoption import adoption_of, cells_of
from tests.support.staggered import growing, staggered


@functools.cache
def fitted(errors: str = "independent", prior_scale: float = 1.0) -> EventFit:
    return fit_events(adoption_of(staggered(noise=0.3)), errors, prior_scale=prior_scale)


def effects_of(fit: EventFit, prob: float = 0.95) -> tuple[EventEffect, ...]:
    return event_effects(fit, cells_of(fit.adoption, leads=False), prob=prob).effects


def test_every_lead_and_lag_has_an_effect_and_so_has_each_group():
    fit = fitted()
    found = effects_of(fit)
    every = [one.event_time for one in found if one.group == "(all)"]
    assert every == [*fit.adoption.leads, *fit.adoption.lags, None]
    assert {one.group for one in found} == {"(all)", "east", "west"}
    assert all(one.event_time is None or one.event_time >= 0 for one in found if one.group != "(all)")
    assert all(one.sd_ij > 0 and one.summary.mcse < 0.1 * one.summary.sd for one in found)


def test_the_mean_effect_is_the_mean_over_cells_and_over_groups():
    fit = fitted()
    effects = {(one.event_time, one.group): one.summary.mean for one in effects_of(fit)}
    cells = cells_of(fit.adoption, leads=False)
    whole = event_effects(fit, cells)
    mean, sd = whole.cell_mean, whole.cell_sd
    shares = cells.rows / cells.rows.sum()
    assert effects[None, "(all)"] == pytest.approx(float(shares @ mean), abs=1e-10)
    assert (sd > 0).all()
    for r, group in enumerate(("east", "west")):
        own = fit.adoption.treated & (fit.adoption.design.group == r)
        expected = fit.effects(own[None] / own.sum())[0].mean()
        assert effects[None, group] == pytest.approx(float(expected), abs=1e-10)
    assert effects[None, "east"] != effects[None, "west"]
    sizes = [int((fit.adoption.treated & (fit.adoption.design.group == r)).sum()) for r in (0, 1)]
    by_group = np.average([effects[None, "east"], effects[None, "west"]], weights=sizes)
    assert effects[None, "(all)"] == pytest.approx(float(by_group), abs=1e-10)


def test_intervals_hold_the_effects_that_were_simulated():
    """Leads are zero; of sixteen intervals of 99.9 % none should miss."""
    fit = fitted()
    adoption = fit.adoption
    first = np.asarray(adoption.cohorts)[adoption.cohort[adoption.design.unit]]
    effects = np.where(adoption.treated, growing(first, adoption.event_time), 0.0)
    for one in effects_of(fit, 0.999):
        if one.group == "(all)" and one.event_time is not None:
            rows = adoption.has_cohort & (adoption.event_time == one.event_time)
            assert one.summary.ci_low < effects[rows].mean() < one.summary.ci_high, one.event_time


@pytest.mark.parametrize("drop", [0.0, 0.2], ids=["balanced", "unbalanced"])
def test_where_nothing_is_pooled_sd_ij_is_the_clustered_error_of_the_saturated_regression(drop):
    """Of independent errors, but for the factor N / (N - 1)."""
    adoption = adoption_of(staggered(drop=drop))
    columns = event_blocks(adoption, "independent")
    held = columns.collapsed().holding({"psi": 1e5, "zeta": 1e5, "tau": 0.0, "chi": 1e5})
    path = path_of_cells(SATURATED, fit_saturated(adoption, "plm", leads=True))
    rows = np.stack([adoption.has_cohort & (adoption.event_time == e) for e in path.event_times]).astype(float)
    rows /= rows.sum(axis=1, keepdims=True)
    found = sds_over_units(columns.blocks, held, np.log([[0.5]]), columns.loadings(rows))
    n_units = len(adoption.design.units)
    assert found == pytest.approx(path.se * np.sqrt(n_units / (n_units - 1)), rel=1e-6)


def test_scales_are_recovered_and_no_effect_before_adoption_is_found_where_there_is_none():
    fit = fitted()
    scales = step_scales(fit)
    assert list(scales) == ["sigma", "psi", "zeta", "tau", "chi"]
    assert scales["sigma"].ci_low < 0.3 < scales["sigma"].ci_high
    none, some = evidence_without_leads(fit), fit.evidence
    assert none.value > some.value
    assert evidence_without_leads(fit).value == none.value


def test_correlated_errors_are_found():
    fit = fit_events(adoption_of(staggered(2, noise=0.5, rho=0.7)), "ar1")
    rho = step_scales(fit)["rho"]
    assert rho.ci_low < 0.7 < rho.ci_high
    assert rho.ci_low > 0.3
