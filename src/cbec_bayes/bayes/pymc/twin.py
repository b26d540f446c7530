"""The family of panel models as a readable `pymc.Model`: the independent check of the collapsed engine, to be extended.

It is also the engine of the members that cannot be collapsed, those with residuals that are not normal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed, with_unit_terms
from cbec_bayes.bayes.model.blocks import Block, Blocks, blocks_for, coefficient_names, labels_of, time_labels
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.prior import Prior, pymc_scale
from cbec_bayes.bayes.model.terms import Term, is_scale, term_of, unit_effects
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.observations import (
    GIVEN_EFFECTS,
    densities_given_others,
    described,
    located,
    points_of,
    with_groups,
)
from cbec_bayes.bayes.of_controls import stacked
from cbec_bayes.bayes.posterior import POINTWISE_MAX, means_over_units
from cbec_bayes.bayes.pymc.coordinates import (
    CONDITIONING,
    Data,
    conditioned_effects,
    deterministic,
    normal_prior,
)
from cbec_bayes.bayes.sampling.gates import SamplingDiagnostics
from cbec_bayes.bayes.sampling.nuts import sample
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes, sums_by
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.runtime.versions import versions

OUTCOME = "y"
"""Name of the observed variable; the stored tree has the outcome's own name in its place."""

CONDITIONED = ("location_z", "unit_effect_z")
"""Free variables of the conditioned model that are no parameters; the stored tree is without them."""


def build_pymc(design: Design, model: str | PanelModel = "partial_pooling", *, conditioned: bool = False) -> Any:
    """Build the model of MODEL.md section 2.

    Parameters
    ----------
    design
        From `make_design`. Without groups, or with one, the model reduces to its common slope.
    model
        A model of the family or the name of one.
    conditioned
        Whether it is written in variables that sample well, with the coefficients as deterministic functions of them:
        the same posterior, as the log density has the change of variables. Without, the free variables are the
        coefficients themselves, the density is the formula on paper, and scales of few groups make funnels of it.

    Returns
    -------
    pymc.Model
        Variables are named as the blocks are, and as the scales of MODEL.md; besides, ``rho``
        and the own parameters of the residuals that have them, and ``group_total_slope`` where the slope is pooled.
        Where some coefficients of a block are zero by convention, the free ones are ``<name>_kept``. The data can be
        exchanged by `pymc.set_data`.

    Raises
    ------
    InputError
        A slope is not identified; AR(1) residuals, and a time that is no whole number.

    Notes
    -----
    Where residuals are correlated the factors of the likelihood, and so its pointwise values, are of one row given the
    unit's row before it. ``sigma`` is the scale of what is new in it from one period to the next: of normal residuals
    its standard deviation. AR(1) residuals are stationary within a unit where they are normal.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> design = cb.make_design(cb.make_panel(frame, roles))
    >>> model = cb.build_pymc(design, "partial_pooling")
    >>> sorted(variable.name for variable in model.free_RVs)
    ['control_slope', 'group_slope', 'sigma', 'slope', 'tau', 'time_effect_kept', 'unit_effect']
    """
    return pymc_of(blocks_for(design, model), conditioned=conditioned)


def pymc_of(blocks: Blocks, *, conditioned: bool = False) -> Any:
    """Build the model of blocks; see `build_pymc`."""
    import pymc as pm

    blocks = with_unit_terms(blocks)
    model = blocks.model
    priors = _priors(blocks)
    with pm.Model(coords=_coords(blocks, conditioned=conditioned)) as pymc_model:
        data = _data(blocks)
        scales = _scales(model, priors)
        units = unit_effects(blocks.design, model.every_choice)
        if conditioned:
            effects = conditioned_effects(blocks, priors, scales)
        else:
            effects = {block.name: _flat(block, priors) for block in blocks.flat}
            effects |= {block.name: _pooled(block, scales) for block in blocks.pooled}
            effects[units.name] = _flat(units, priors) if units.scale is None else _pooled(units, scales)
        if "group_slope" in effects and "slope" in effects:
            total = effects["slope"] + effects["group_slope"]
            if blocks.characteristics is not None:
                total = total + effects[COVARIATE_SLOPE] @ blocks.characteristics.T
            pm.Deterministic("group_total_slope", total, dims="group")
        mean = sum(
            _owner(block).mean(block, effects[block.name], data, blocks.design) for block in (*blocks.every, units)
        )
        model.residuals.observe(OUTCOME, mean, scales, data)
    return pymc_model


def _owner(block: Block) -> Term:
    """Return the term of a block."""
    term = term_of(block.name)
    assert term is not None
    return term


def _priors(blocks: Blocks) -> dict[str, Prior]:
    """Return the resolved priors of what the blocks have: no scale of an effect that another one spans."""
    used = {"sigma", "sigma_mu", *(block.scale for block in blocks.pooled)}
    resolved = resolve(blocks.model, blocks.design)
    return {name: prior for name, prior in resolved.items() if name in used or not is_scale(name)}


def _coords(blocks: Blocks, *, conditioned: bool) -> dict[str, Any]:
    design = blocks.design
    coords: dict[str, Any] = {
        "obs": np.arange(design.n_obs),
        "unit": design.units,
        "time": list(time_labels(design)),
    }
    if design.group is not None:
        coords["group"] = design.groups
    if design.controls:
        coords["coef"] = design.controls
    for block in blocks.every:
        coords |= dict(zip(block.dims, block.labels, strict=True))
        if not conditioned and len(block.kept) < block.size:
            labels = labels_of(block)
            coords[f"kept_{block.name}"] = [labels[k] for k in block.kept]
    if conditioned:
        coords["location"] = coefficient_names(blocks)
    return coords


def _data(blocks: Blocks) -> dict[str, Any]:
    """Register outcome, regressors and codes."""
    import pymc as pm

    design = blocks.design
    found: dict[str, tuple[Array | Codes, tuple[str, ...]]] = {
        "outcome": (design.y, ("obs",)),
        "exposure": (design.x[:, 0], ("obs",)),
        "unit_code": (design.unit, ("obs",)),
        "time_code": (design.time, ("obs",)),
    }
    if design.controls:
        found["controls"] = design.x[:, len(design.exposures) :], ("obs", "coef")
    if design.group is not None:
        found["group_code"] = design.group, ("obs",)
    for block in blocks.every:
        found |= _owner(block).data(block)
    found |= blocks.model.residuals.data(design)
    return {name: pm.Data(name, values, dims=dims) for name, (values, dims) in found.items()}


def _scales(model: PanelModel, priors: Mapping[str, Prior]) -> dict[str, Any]:
    """Add the scales, and the other parameters of the residuals."""
    found = model.residuals.add_parameters()
    for name, prior in priors.items():
        if name == "sigma":
            found[name] = model.residuals.add_sigma(prior)
        elif is_scale(name):
            found[name] = pymc_scale(name, prior)
    return found


def _flat(block: Block, priors: Mapping[str, Prior]) -> Any:
    """Add coefficients without a scale; those not kept are zero."""
    import pymc as pm

    if len(block.kept) < block.size:
        return deterministic(block, pm.Flat(f"{block.name}_kept", dims=f"kept_{block.name}"))
    normal = normal_prior(block, priors)
    if normal is None:
        return pm.Flat(block.name, dims=block.dims or None)
    mean, sd = (values.reshape(block.shape) for values in normal)
    return pm.Normal(block.name, mean, sd, dims=block.dims or None)


def _pooled(block: Block, scales: Data) -> Any:
    """Add coefficients that share a scale."""
    import pymc as pm

    return pm.Normal(block.name, 0, scales[str(block.scale)], dims=block.dims)


def fit_twin(
    blocks: Blocks,
    *,
    draws: int = 1_000,
    tune: int = 1_000,
    chains: int = 4,
    seed: int = 1,
    target_accept: float = 0.95,
    on_progress: OnProgress = ignore_progress,
) -> tuple[Any, SamplingDiagnostics]:
    """Sample the twin by nutpie.

    Parameters
    ----------
    blocks
        Model, design, and which coefficients are identified.
    draws, tune, chains, seed, target_accept, on_progress
        As in `cbec_bayes.bayes.sampling.nuts.sample`.

    Returns
    -------
    tree, diagnostics
        An ArviZ DataTree with the groups and names of `cbec_bayes.bayes.posterior.store`, and diagnostics over every
        coefficient and scale; the gates are not yet enforced.
    """
    import pymc as pm
    import xarray as xr

    blocks = with_unit_terms(blocks)
    pymc_model = pymc_of(blocks, conditioned=True)
    zeros = {block.name for block in blocks.every if len(block.kept) < block.size}
    gated = [variable.name for variable in (*pymc_model.free_RVs, *pymc_model.deterministics)]
    tree, diagnostics = sample(
        pymc_model,
        [name for name in gated if name not in zeros],  # a constant zero has no R-hat; location_z stands for the others
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        target_accept=target_accept,
        on_progress=on_progress,
    )
    begun = time.perf_counter()
    on_progress(Progress("densities of rows", 0, 1))
    priors = _priors(blocks)
    collapsed = _integrated(blocks)
    if collapsed is None:
        pm.compute_log_likelihood(tree, model=pymc_model, progressbar=False)
    top_level = _top_level(blocks, priors)
    if top_level.free_RVs:
        pm.stats.compute_log_prior(tree, model=top_level, progressbar=False)
    data = tree["constant_data"].to_dataset().drop_vars(CONDITIONING, errors="ignore")
    tree["constant_data"] = xr.DataTree(data)
    held = {name: tree["constant_data"][name] for name, prior in priors.items() if prior.dist == "fixed"}
    tree["posterior"] = xr.DataTree(_posterior(tree["posterior"].to_dataset(), held, blocks, seed))
    with_groups(tree, {name: stacked(tree[name].to_dataset()) for name in ("posterior", "log_prior") if name in tree})
    with_groups(tree, _of_rows(tree, blocks, collapsed))
    diagnostics.seconds["pointwise"] = time.perf_counter() - begun
    tree.attrs |= {
        "engine": "pymc",
        "sampler": "nuts",
        "model": blocks.model.name,
        "question": blocks.model.question,
        "origin": str(blocks.design.origin),
        "seed": seed,
        "priors": json.dumps({name: str(prior) for name, prior in priors.items()}),
        "versions": json.dumps(versions()),
    }
    return tree, diagnostics


def _integrated(blocks: Blocks) -> Collapsed | None:
    """Return the density with the coefficients integrated out, where it is known in closed form and has a scale."""
    if not blocks.model.is_gaussian:
        return None
    try:
        found = make_collapsed(blocks)
    except InputError:  # more units or columns than the collapsed engine has room for
        return None
    return found if found.names else None


def _of_rows(tree: Any, blocks: Blocks, collapsed: Collapsed | None) -> dict[str, Any]:
    """Return the outcome and the densities of every row, given the others where these are known in closed form."""
    design = blocks.design
    outcome = {OUTCOME: design.outcome}
    found = {"observed_data": located(tree["observed_data"].to_dataset().rename(outcome), design)}
    if collapsed is None:
        densities = tree["log_likelihood"].to_dataset().rename(outcome)
        return found | {"log_likelihood": described(densities, design, GIVEN_EFFECTS)}
    posterior = tree["posterior"].dataset
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    if shape[0] * shape[1] * design.n_obs > POINTWISE_MAX:
        return found
    given_others = densities_given_others(blocks, collapsed, points_of(collapsed, posterior), shape)
    return found if given_others is None else found | {"log_likelihood": given_others}


def _top_level(blocks: Blocks, priors: Mapping[str, Prior]) -> Any:
    """Return the model of what has a prior in plain numbers alone, whose sensitivity can be asked for."""
    import pymc as pm

    with pm.Model(coords=_coords(blocks, conditioned=False)) as pymc_model:
        _scales(blocks.model, priors)
        for block in blocks.flat:
            if normal_prior(block, priors) is not None:
                _flat(block, priors)
    return pymc_model


def _averaged(blocks: Blocks) -> tuple[str, ...]:
    """Return the names of pooled coefficients of units whose mean over units is stored."""
    return tuple(block.name for block in blocks.pooled if _owner(block).is_integrated("pooled"))


def _posterior(posterior: Any, held: Mapping[str, Any], blocks: Blocks, seed: int) -> Any:
    """Drop what only the sampler needs; add scales that are held, the slope of a new group, and means over units."""
    kept = posterior.drop_vars([*CONDITIONED, "location"], errors="ignore")
    shape = {name: kept.sizes[name] for name in ("chain", "draw")}
    for name, value in held.items():
        kept[name] = value.expand_dims(shape)
    if "group_total_slope" in kept and "tau" in kept:
        noise = np.random.default_rng([seed, 2]).standard_normal(tuple(shape.values()))
        kept["new_group_slope"] = kept["slope"] + kept["tau"] * noise
    design, sizes = blocks.design, blocks.design.counts.group_units
    for name in _averaged(blocks):
        drawn = kept[name].transpose("unit", "chain", "draw").to_numpy()
        by_group = sums_by(design.group_of_unit, drawn.reshape(len(drawn), -1), len(sizes)).T / sizes
        for label, values in means_over_units(name, by_group, sizes, grouped=bool(design.groups)).items():
            dims = (*shape, *(["group"] if values.ndim == 2 else []))
            kept[label] = (dims, values.reshape(*shape.values(), *values.shape[1:]))
    return kept.assign_coords(group=list(design.groups)) if "group" in kept.dims else kept
