"""The posterior in a fit's folder is that of the fit, or is refused in a line, whoever sealed what is in the folder."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.jobs.fit_settings import DIAGNOSTICS, POSTERIOR
from cbec_bayes.jobs.fit_tables import netcdf_bytes, tabulate
from cbec_bayes.jobs.kept import read_kept
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.runtime.errors import InputError
from tests.support.bad_inputs import COLUMNS, table

MODELS = ("partial_pooling", "robust")


@pytest.fixture(scope="module", params=MODELS)
def fitted(request) -> PanelFit:
    roles = Roles(**{**COLUMNS, "controls": ("x",)})
    return fit(make_design(make_panel(table(n_units=6), roles)), request.param, draws=5, chains=2)


@functools.cache
def files_of(found: PanelFit) -> dict[str, str | bytes]:
    return tabulate(found).files()


def written(folder: Path, found: PanelFit, tree: Any = None, **diagnostics: object) -> None:
    files = files_of(found)
    (folder / POSTERIOR).write_bytes(files[POSTERIOR] if tree is None else netcdf_bytes(tree))
    (folder / DIAGNOSTICS).write_text(json.dumps(json.loads(files[DIAGNOSTICS]) | diagnostics))


def test_what_a_fit_left_is_read_again(fitted, tmp_path):
    written(tmp_path, fitted)
    again = read_kept(tmp_path, fitted.design, fitted.model)
    assert tabulate(again).files()["effects.csv"] == files_of(fitted)["effects.csv"]


def without(group: str, name: str | None = None) -> Callable[[Any], Any]:
    def change(tree: Any) -> None:
        if name is None:
            del tree[group]
        else:
            tree[group] = tree[group].to_dataset().drop_vars(name)

    return change


def valued(group: str, name: str, value: float) -> Callable[[Any], Any]:
    def change(tree: Any) -> None:
        held = tree[group].to_dataset().copy(deep=True)
        held[name].to_numpy().ravel()[3] = value
        tree[group] = held

    return change


def relabelled(tree: Any) -> None:
    held = tree["posterior"].to_dataset()
    tree["posterior"] = held.assign_coords(group=[f"{label}!" for label in held["group"].to_numpy()])


def turned(tree: Any) -> None:
    held = tree["posterior"].to_dataset()
    tree["posterior"] = held.assign(group_slope=held["group_slope"].transpose("group", "chain", "draw"))


def shorter(tree: Any) -> None:
    for group in ("posterior", "sample_stats", "log_prior"):
        tree[group] = tree[group].to_dataset().isel(draw=slice(3))


def text(tree: Any) -> None:
    held = tree["posterior"].to_dataset()
    tree["posterior"] = held.assign(slope=held["slope"].astype(str))


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no draws": (without("posterior"), "there are no draws"),
    "no scale": (without("posterior", "sigma"), "'sigma'"),
    "no slope": (without("posterior", "slope"), "'slope' is missing"),
    "no priors": (without("log_prior"), "'log_prior' is missing"),
    "other labels": (relabelled, "'group' has other labels"),
    "another order": (turned, "'group_slope' has another shape"),
    "fewer draws": (shorter, "another number of draws"),
    "text": (text, "'slope' is not all numbers"),
    "no number": (valued("posterior", "slope", np.nan), "'slope' is not all numbers"),
    "beyond numbers": (valued("posterior", "control_slope", np.inf), "'control_slope' is not all numbers"),
    "a scale below zero": (valued("posterior", "tau", -1.0), "'tau' has draws of another density"),
    "a scale of nothing": (valued("posterior", "tau", 1e308), "'tau' has draws of another density"),
    "another density": (valued("log_prior", "tau", 0.0), "'tau' has draws of another density"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_posterior_that_is_not_of_the_fit_is_refused(name, fitted, tmp_path):
    change, said = CHANGES[name]
    tree = fitted.tree.copy()
    change(tree)
    written(tmp_path, fitted, tree)
    with pytest.raises(InputError, match=rf"{POSTERIOR}: this is not the posterior of this fit \({said}"):
        read_kept(tmp_path, fitted.design, fitted.model)


def test_the_posterior_of_another_model_is_refused(fitted, tmp_path):
    written(tmp_path, fitted)
    (other,) = set(MODELS) - {fitted.model.name}
    with pytest.raises(InputError, match="this is not the posterior of this fit"):
        read_kept(tmp_path, fitted.design, load_panel_model(other))


@pytest.mark.parametrize(
    "entry",
    [
        {"rhat_max": "1"},
        {"divergences": True},
        {"draws": []},
        {"seconds": {"sample": "x"}},
        {"seconds": 1},
        {"engine": None},
        {"log_evidence": "x"},
        {"log_evidence_note": 1},
    ],
    ids=str,
)
def test_diagnostics_that_no_fit_writes_are_refused(entry, fitted, tmp_path):
    written(tmp_path, fitted, **entry)
    with pytest.raises(InputError, match=rf"{DIAGNOSTICS}: this file is not one that a fit writes"):
        read_kept(tmp_path, fitted.design, fitted.model)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 10_000])
def test_diagnostics_that_are_none_are_refused(content, fitted, tmp_path):
    written(tmp_path, fitted)
    (tmp_path / DIAGNOSTICS).write_text(content)
    with pytest.raises(InputError, match=rf"{DIAGNOSTICS}: this file is not one that a fit writes"):
        read_kept(tmp_path, fitted.design, fitted.model)
