"""The PyMC twin compiled at points, and what is left there of the identity that holds the engines together."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytensor
from scipy import stats

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import with_unit_terms
from cbec_bayes.bayes.model.blocks import Blocks, make_blocks
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.model.terms import is_scale, unit_effects
from cbec_bayes.bayes.pymc.twin import pymc_of
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from tests.support.members import errors_written_out
from tests.support.regressions import design_of

NOT_COMPILED = "FAST_COMPILE"
"""Mode in which PyTensor makes no machine code: the same numbers at a point, without the wait."""


@functools.cache
def small_panel(name: str) -> Design:
    """Return 3 groups, 9 units, 6 periods; a fifth of the rows dropped, and the rest shuffled, where unbalanced."""
    rng = np.random.default_rng(5)
    unit, year = np.divmod(np.arange(54), 6)
    x = rng.normal(size=(54, 3)) * [1.0, 3.0, 0.5] + (unit + 0.5 * year)[:, None] * [0.1, 0.3, 0.05]
    y = 0.4 * x[:, 0] + unit - 0.3 * year + rng.normal(size=54)
    keep = np.arange(54) if name == "balanced" else rng.permutation(54)[:43]
    group = np.array(["east", "west", "centre"])[unit // 3]
    return design_of(y[keep], x[keep], unit[keep], 2014 + year[keep], group[keep])


@dataclass(frozen=True, slots=True)
class Twin:
    """A compiled twin: its log density by variable at a point of the parameters themselves, no Jacobian."""

    blocks: Blocks
    model: Any
    density: Any
    free: Any
    shapes: Mapping[str, tuple[int, ...]]

    def __call__(self, values: Mapping[str, Any]) -> dict[str, float]:
        names = [self.model.rvs_to_values[variable].name for variable in self.model.free_RVs]
        given = [np.asarray(values[variable.name], dtype=float) for variable in self.model.free_RVs]
        point = dict(zip(names, self.free(*given), strict=True))
        names = [variable.name for variable in (*self.model.basic_RVs, *self.model.potentials)]
        return {name: float(part.sum()) for name, part in zip(names, self.density(point), strict=True)}

    def random(self, seed: int) -> dict[str, Any]:
        """Return a point of every free variable."""
        rng = np.random.default_rng(seed)
        found = {}
        for name, shape in self.shapes.items():
            noise = rng.normal(size=shape)
            positive = is_scale(name) or name in ("nu", "innovation")
            found[name] = np.exp(0.5 * noise) if positive else noise
            if name == "rho":
                found["rho"] = np.tanh(noise)
        return found


def compiled(blocks: Blocks, *, conditioned: bool = False) -> Twin:
    model = pymc_of(blocks, conditioned=conditioned)
    density = model.compile_logp(jacobian=False, sum=False, mode=NOT_COMPILED)
    shapes = pytensor.function([], [variable.shape for variable in model.free_RVs], mode=NOT_COMPILED)()
    own = {variable.name: tuple(map(int, shape)) for variable, shape in zip(model.free_RVs, shapes, strict=True)}
    return Twin(blocks, model, density, _free(model), own)


def _free(model: Any) -> Any:
    """Return what maps values of every free variable to those that the density takes."""
    given, found = [], []
    for variable in model.free_RVs:
        transform, value = model.rvs_to_transforms[variable], variable.type()
        given.append(value)
        found.append(value if transform is None else transform.forward(value, *variable.owner.inputs))
    return pytensor.function(given, found, mode=NOT_COMPILED)


def blocks_of(member: str | PanelModel, design: Design) -> Blocks:
    """Return blocks with every coefficient, slopes of units too: see test_unit_slopes.py for what eliminates these."""
    return with_unit_terms(make_blocks(design, load_panel_model(member) if isinstance(member, str) else member))


def coefficients(blocks: Blocks, values: Mapping[str, Any]) -> Array:
    """Return the kept coefficients in the order of `Blocks.x`."""
    parts = []
    for block in blocks.every:
        kept = values.get(f"{block.name}_kept")
        parts.append(np.ravel(values[block.name])[list(block.kept)] if kept is None else kept)
    return np.concatenate(parts)


def log_scales(collapsed: Collapsed, values: Mapping[str, Any]) -> Array:
    by_group = dict(zip(collapsed.sigmas, np.atleast_1d(values.get("sigma", 1.0)), strict=False))
    return np.log([[by_group.get(name, values.get(name)) for name in collapsed.names]])


def mvn(x: Array, mean: Array, covariance: Array) -> float:
    z = x - mean
    return float(
        -(len(z) * math.log(2 * math.pi) + np.linalg.slogdet(covariance)[1] + z @ np.linalg.solve(covariance, z)) / 2
    )


def gap(own: Twin, collapsed: Collapsed, values: Mapping[str, Any]) -> float:
    """Return what is left of the identity of MODEL.md section 4."""
    blocks, design = own.blocks, own.blocks.design
    parts = own({**values})
    joint = sum(part for name, part in parts.items() if not is_scale(name))
    point, eta, mu = log_scales(collapsed, values), coefficients(blocks, values), values["unit_effect"]
    given = collapsed.conditional(point)
    of_eta = mvn(eta, given.mean[0], given.root[0] @ given.root[0].T)
    scales = {name: float(value[0]) for name, value in collapsed.scales(point).items()}
    sigma = np.array([scales[name] for name in collapsed.sigmas])
    rows = np.broadcast_to(sigma, len(sigma))[design.group] if len(sigma) > 1 else np.full(design.n_obs, sigma[0])
    residual, of_mu = design.y - blocks.x @ eta, 0.0
    for i in range(len(design.units)):
        mine = residual[design.unit == i]
        precision = len(mine) / rows[design.unit == i][0] ** 2
        own_precision = scales["sigma_mu"] ** -2 if "sigma_mu" in scales else 0.0
        total = precision + own_precision
        of_mu += float(stats.norm.logpdf(mu[i], mine.mean() * precision / total, total**-0.5))
    return joint - of_eta - of_mu - float(collapsed.log_likelihood(point)[0])


def factorisation_gap(own: Twin, collapsed: Collapsed, values: Mapping[str, Any]) -> float:
    """Return what is left of it in conditioned variables: standard normal, and independent of the scales."""
    joint = sum(part for name, part in own(values).items() if not is_scale(name))
    noise = stats.norm.logpdf(np.r_[values["location_z"], values["unit_effect_z"]]).sum()
    return joint - float(noise) - float(collapsed.log_likelihood(log_scales(collapsed, values))[0])


def with_unit_effects(blocks: Blocks) -> Blocks:
    """Return blocks with the effects of units among the coefficients, which the package never has there."""
    block = unit_effects(blocks.design, blocks.model.every_choice)
    if block.scale is not None:
        return replace(blocks, pooled=(*blocks.pooled, block))
    return replace(blocks, flat=(*blocks.flat, block))


def log_density_of_coefficients(own: Twin, values: Mapping[str, Any]) -> float:
    """Return log p(coefficients | y, scales), written out: those of units are among them, effects too."""
    blocks, design = with_unit_effects(own.blocks), own.blocks.design
    sigma = np.broadcast_to(values["sigma"], len(design.groups))[design.group]
    errors = errors_written_out(design, blocks.model.choice("correlation"), values.get("rho"))
    root = np.linalg.cholesky(errors * np.outer(sigma, sigma) / np.outer(design.root, design.root))
    z, y = np.linalg.solve(root, blocks.x), np.linalg.solve(root, design.y)
    prior = np.zeros(blocks.n_coefficients)
    for block in blocks.pooled:
        prior[blocks.positions[block.name]] = values[block.scale] ** -2.0
    precision = z.T @ z + np.diag(prior)
    mean = np.linalg.solve(precision, z.T @ y)
    return mvn(coefficients(blocks, values), mean, np.linalg.inv(precision))


def point_of(collapsed: Collapsed, values: Mapping[str, Any]) -> Array:
    by_group = dict(zip(collapsed.sigmas, np.atleast_1d(values["sigma"]), strict=True))
    return collapsed.point({name: by_group.get(name, values.get(name)) for name in collapsed.names})[None]
