"""The posterior that a fit left in its folder, read again: it may have been written, damaged or made up by anyone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cbec_bayes.bayes.fit import PanelFit, restore
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.model.blocks import stored
from cbec_bayes.bayes.model.densities import log_density
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.observations import points_of
from cbec_bayes.bayes.of_controls import unstacked
from cbec_bayes.bayes.posterior import store
from cbec_bayes.bayes.sampling.importance import Draws
from cbec_bayes.jobs.fit_settings import DIAGNOSTICS, POSTERIOR
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.opening import read_json
from cbec_bayes.runtime.trial import require_sound

_ROOM = 2**26
"""Bytes that the values of a posterior may have beside those of its file: they are stored as they are, unpacked."""

_SAMPLES = ("chain", "draw")
_REQUIRED = ("posterior", "sample_stats", "log_prior")
_NUMBERS = ("rhat_max", "ess_bulk_min", "ess_tail_min", "divergences", "ebfmi_min", "draws", "khat")


def read_tree(path: Path) -> Any:
    """Return the DataTree of a netCDF file, all of it in memory.

    Raises
    ------
    InputError
        It cannot be read, or its values are more than a file of its size has.
    """
    import xarray as xr

    require_sound("netcdf", [path], 2 * path.stat().st_size + _ROOM, "not a posterior")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except Exception as error:  # the readers of netCDF fail in every way there is
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"not a posterior ({reason})", file=path) from None


def read_kept(folder: Path, design: Design, model: PanelModel) -> PanelFit:
    """Return the fit that a folder keeps.

    Parameters
    ----------
    folder
        Folder that `cbec-bayes fit` has written.
    design, model
        That were fitted.

    Raises
    ------
    InputError
        What is in the folder is not of a fit of this model on this design.
    """
    path = folder / DIAGNOSTICS
    try:
        diagnostics = read_json(path)
        fault = _fault_of_diagnostics(diagnostics)
    except ValueError:
        fault = "no JSON"
    if fault:
        raise InputError(f"this file is not one that a fit writes ({fault}); run the fit again with --fresh", file=path)
    tree = read_tree(folder / POSTERIOR)
    try:
        found = restore(design, model, tree, diagnostics)
        fault = _fault_of_tree(found)
    except (KeyError, ValueError, TypeError) as error:
        fault = " ".join(str(error).split())[:300] or type(error).__name__
    if fault:
        raise InputError(
            f"this is not the posterior of this fit ({fault}); run the fit again with --fresh", file=folder / POSTERIOR
        )
    return found


def _fault_of_diagnostics(held: Any) -> str:
    """Say what in diagnostics.json no fit writes, or return a blank."""
    if not isinstance(held, Mapping):
        return "no entries"
    evidence = ("log_evidence", "log_evidence_mcse", "log_evidence_khat")
    for name in (*_NUMBERS, *evidence):
        value = held.get(name)
        if name not in held or isinstance(value, bool) or not isinstance(value, int | float | None):
            return f"'{name}' is no number"
    seconds = held.get("seconds")
    if not isinstance(held.get("engine"), str) or not isinstance(held.get("log_evidence_note"), str | None):
        return "no engine"
    if not isinstance(seconds, Mapping) or not all(isinstance(value, int | float) for value in seconds.values()):
        return "no seconds"
    return ""


def _fault_of_tree(found: PanelFit) -> str:
    """Say in what a posterior is not one of its fit, or return a blank.

    It has the groups, variables, names and labels that two draws of the same posterior have, and numbers.
    """
    posterior = found.tree.children.get("posterior")
    if posterior is None or not set(_SAMPLES) <= set(posterior.sizes):
        return "there are no draws"
    sizes = tuple(posterior.sizes[name] for name in _SAMPLES)
    if math.prod(sizes) != found.diagnostics.draws:
        return "another number of draws"
    if found.collapsed is None:
        missing = [block.name for block in found.blocks.variables if block.name not in found.posterior]
        return f"'{missing[0]}' is missing" if missing else _fault_of_numbers(posterior.dataset)
    two = np.zeros((1, 2, len(found.collapsed.names)))
    drawn = Draws(points=two, method="importance", khat=0.0, ess=2.0, proposals=2, divergences=0, ebfmi=math.nan)
    like = store(found.blocks, found.collapsed, drawn, seed=0, attrs={})
    for name, node in like.children.items():
        if name in found.tree.children:
            fault = _unlike(found.tree[name].dataset, node.dataset, dict(zip(_SAMPLES, sizes, strict=True)))
        else:
            fault = f"'{name}' is missing" if name in _REQUIRED else ""
        if fault:
            return fault
    return _fault_of_scales(found, found.collapsed)


def _fault_of_scales(found: PanelFit, collapsed: Collapsed) -> str:
    """Say which scale has draws that its prior does not give the stored density, or return a blank."""
    with np.errstate(all="ignore"):
        scales = collapsed.scales(points_of(collapsed, found.tree["posterior"].dataset))
        densities = unstacked(found.tree["log_prior"].dataset)
        for name, prior in collapsed.priors.items():
            held = densities[stored(name)].to_numpy().ravel()
            if not np.allclose(log_density(prior, scales[name])[0], held, rtol=1e-6, atol=1e-6):
                return f"'{name}' has draws of another density"
    return ""


def _unlike(held: Any, like: Any, sizes: Mapping[str, int]) -> str:
    """Say in what a dataset is unlike another that differs in its draws alone, or return a blank."""
    for name, expected in like.data_vars.items():
        if name not in held.data_vars:
            return f"'{name}' is missing"
        own = held[name]
        if own.dims != expected.dims or own.shape != tuple(sizes.get(d, expected.sizes[d]) for d in expected.dims):
            return f"'{name}' has another shape"
    for name, labels in like.coords.items():
        if name in _SAMPLES:
            continue
        if name not in held.coords or held[name].to_numpy().tolist() != labels.to_numpy().tolist():
            return f"'{name}' has other labels"
    return _fault_of_numbers(held[list(like.data_vars)])


def _fault_of_numbers(held: Any) -> str:
    for name, values in held.data_vars.items():
        numbers = values.to_numpy()
        if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
            return f"'{name}' is not all numbers"
    return ""
