"""Members of the family for tests, panels with groups, and the dense formulas that the collapsed engine must equal.

Nothing here uses the blocks or moments of the package to compute: columns are written out from MODEL.md section 2, and
every integral is the multivariate normal one over the full covariance of the rows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.block import Block
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.panel import load_study_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.study import load_study
from cbec_bayes.panel.within import Array, TwoWay
from tests.support.regressions import load, random_design

FLAT = Prior("flat", {})
HALF = Prior("half_normal", {"scale": 1.0})
BASE = {"unit_effect": "fixed", "time_effect": "fixed", "residual": "normal"}


def member(priors: Mapping[str, Prior] | None = None, **terms: str) -> PanelModel:
    """Return a member of the family: two-way fixed effects and a common slope, but for the terms given."""
    bare = PanelModel(name="test", question="What?", choices=BASE | terms, priors={})
    bare = replace(bare, choices=bare.every_choice)
    own = {"slope": FLAT, "control_slope": FLAT} | dict.fromkeys(bare.scales, HALF)
    return replace(bare, priors=own | dict(priors or {}))


POOLED = dict.fromkeys(("group_slope", "group_control_slope", "group_time_effect", "unit_slope"), "pooled")
SHIPPED = (
    "complete_pooling",
    "no_pooling",
    "partial_pooling",
    "partial_pooling_all",
    "correlated_effects",
    "group_variance",
    "nested",
    "unit_trends",
    "regional",
)
MEMBERS: Mapping[str, PanelModel] = {name: load_panel_model(name) for name in SHIPPED} | {
    "group slopes fixed": member(group_slope="fixed"),
    "control slopes fixed": member(group_slope="pooled", group_control_slope="fixed"),
    "group times fixed": member(group_slope="pooled", group_time_effect="fixed", unit_slope="pooled"),
    "random times": member(time_effect="random", group_slope="pooled"),
    "correlated times": member(time_effect="correlated", group_slope="pooled", spread="by_group"),
    "random units": member(unit_effect="random"),
    "random units, group times": member(unit_effect="random", group_time_effect="fixed", spread="by_group"),
    "random both": member(unit_effect="random", time_effect="random", group_slope="fixed"),
    "correlated units": member(unit_effect="correlated", group_control_slope="pooled"),
    "trends fixed": member(group_slope="pooled", unit_trend="fixed"),
    "trends fixed, random units": member(unit_effect="random", unit_trend="fixed", spread="by_group"),
    "trends and slopes": member(unit_trend="pooled", unit_slope="pooled", group_slope="pooled", spread="by_group"),
    "trends and slopes, random units": member(unit_effect="random", unit_trend="pooled", unit_slope="pooled"),
    "everything pooled": member(**POOLED),
    "everything random": member(unit_effect="random", time_effect="random", **POOLED, spread="by_group"),
    "everything correlated": member(unit_effect="correlated", time_effect="correlated", **POOLED),
}
"""The shipped members with Gaussian errors, and others so that every choice of every term is there beside others."""


def weighted(design: Design, seed: int = 8) -> Design:
    """Return the rows with weights that differ by a factor of some twenty, one on average."""
    weight = np.random.default_rng(seed).gamma(2.0, size=design.n_obs) + 0.1
    weight = weight / weight.mean()
    return replace(design, weight=weight, effects=replace(design.effects, weight=weight))


def rearranged(design: Design, order: Array) -> Design:
    """Return the rows in another order."""
    unit, time = design.unit[order], design.time[order]
    group = None if design.group is None else design.group[order]
    return replace(
        design, y=design.y[order], x=design.x[order], unit=unit, time=time, group=group, effects=TwoWay(unit, time)
    )


def grouped(design: Design, n_groups: int) -> Design:
    """Return the design with its units dealt out to groups."""
    return replace(design, group=design.unit % n_groups, groups=tuple(f"g{r}" for r in range(n_groups)))


BALANCED = ("balanced", "grunfeld", "produc", "paper", "public")
UNBALANCED = ("unbalanced", "grunfeld_unbalanced", "produc_unbalanced")
SMALL = ("balanced", "unbalanced")


@functools.cache
def panel(name: str) -> Design:
    """Return a design with groups: random, golden (Grunfeld's firms are dealt out to two), or a study's."""
    if name in SMALL:
        return grouped(random_design(5, 12, 5, share=1.0 if name == "balanced" else 0.85), 3)
    if name in ("paper", "public"):
        spec = load_study(name).panel
        assert spec is not None
        return make_design(load_study_panel(spec))
    found = load(name)
    return found if found.groups else grouped(found, 2)


def collapsed(design: Design, model: PanelModel) -> Collapsed:
    """Return the engine's posterior."""
    return make_collapsed(make_blocks(design, model))


def some_scales(engine: Collapsed, seed: int) -> Array:
    """Return logarithms of scales, shape (k,), that the units of the data make plausible."""
    rng = np.random.default_rng(seed)
    return np.array([math.log(0.5 * engine.priors[n].params["scale"]) + 0.7 * rng.normal() for n in engine.names])


def point_of(engine: Collapsed, scales: Mapping[str, float]) -> Array:
    """Return logarithms of scales in the engine's order, shape (1, k)."""
    return np.log([[scales[name] for name in engine.names]])


def by_name(engine: Collapsed, point: Array) -> dict[str, float]:
    """Return every scale at one point, fixed ones too."""
    return {name: float(value[0]) for name, value in engine.scales(point.reshape(1, -1)).items()}


def conditional(design: Design, model: PanelModel, point: Array) -> tuple[pd.Series, pd.DataFrame]:
    """Return the engine's conditional mean and covariance of the coefficients, by their names."""
    blocks = make_blocks(design, model)
    found = make_collapsed(blocks).conditional(point.reshape(1, -1))
    names = coefficient_names(blocks) + mean_labels(design, blocks.eliminated)
    return pd.Series(found.mean[0], names), pd.DataFrame(found.root[0] @ found.root[0].T, names, names)


def mean_loading(design: Design, mean: str, names: Sequence[str]) -> Array:
    """Return a mean over units, as ``mean_unit_slope[g1]``, as a sum of the coefficients of these names, shape (p,)."""
    variable, _, group = mean.removeprefix("mean_").rstrip("]").partition("[")
    own = [i for i in range(len(design.units)) if not group or design.groups[design.group_of_unit[i]] == group]
    labels = {f"{variable}[{design.units[i]}]" for i in own}
    return np.array([(name in labels) / len(own) for name in names])


def mean_labels(design: Design, blocks: Sequence[Block]) -> tuple[str, ...]:
    """Return the names of the means over units of the blocks with a scale, in order."""
    of = [f"[{group}]" for group in design.groups] or [""]
    return tuple(f"mean_{block.name}{one}" for block in blocks if block.scale is not None for one in of)


def assert_covariance(found: Array, expected: Array, tolerance: float) -> None:
    """Compare covariances relative to the standard deviations of what they are of."""
    sd = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(np.asarray(found) / np.outer(sd, sd), expected / np.outer(sd, sd), atol=tolerance)


@dataclass(frozen=True)
class Dense:
    """A member on a design, written out: y = X b + Z u + e, b flat, u normal about `means` with scales or sds.

    Attributes
    ----------
    y, x, z
        Outcome, columns of flat coefficients (those of a collinear set that come last are left out), and of others.
    flat, normal
        Names of the coefficients of x and z; unit effects are in one of them.
    scales
        Of each column of z, a symbol, or a number where its prior is given.
    means
        Prior means of u.
    sigmas
        Symbol of each row's residual scale.
    weight
        Of each row: its residual has the variance sigma squared over it.
    unit_means
        Name of each mean over a group's units, as ``mean_unit_slope[g1]``, to the coefficients that it is of.
    """

    y: Array
    x: Array
    z: Array
    flat: tuple[str, ...]
    normal: tuple[str, ...]
    scales: tuple[str | float, ...]
    means: Array
    sigmas: tuple[str, ...]
    weight: Array
    unit_means: Mapping[str, tuple[str, ...]]

    def variances(self, scales: Mapping[str, float]) -> tuple[Array, Array]:
        """Return the prior variances of u and the variances of the residuals."""
        own = [scales[scale] if isinstance(scale, str) else scale for scale in self.scales]
        return np.array(own) ** 2, np.array([scales[name] for name in self.sigmas]) ** 2 / self.weight

    def solved(self, scales: Mapping[str, float]) -> tuple[Array, Array, Array, Array]:
        """Return the root L of V, the Q and R of L^-1 X, R in the columns' units, and L^-1 (y - Z m)."""
        prior, residual = self.variances(scales)
        root = np.linalg.cholesky((self.z * prior) @ self.z.T + np.diag(residual))
        size = np.linalg.norm(self.x, axis=0)
        q, r = np.linalg.qr(np.linalg.solve(root, self.x / size))
        return root, q, r * size, np.linalg.solve(root, self.y - self.z @ self.means)

    def log_likelihood(self, scales: Mapping[str, float]) -> float:
        """Return -((n - k) ln 2 pi + ln|V| + ln|X'V^-1 X| + r'V^-1 r) / 2, the integral over flat coefficients too."""
        root, q, r, y = self.solved(scales)
        left = y - q @ (q.T @ y)
        log_det = 2 * np.log(np.diag(root)).sum() + 2 * np.log(np.abs(np.diag(r))).sum()
        n, k = self.x.shape
        return float(-((n - k) * math.log(2 * math.pi) + log_det + left @ left) / 2)

    def conditional(self, scales: Mapping[str, float]) -> tuple[pd.Series, pd.DataFrame]:
        """Return generalised least squares of b, best linear unbiased prediction of u, and the covariance of both.

        Where units have slopes, or trends with a scale, the mean over the units of each group is a row more.
        """
        root, q, r, y = self.solved(scales)
        prior, _ = self.variances(scales)
        back = np.linalg.inv(r)
        z = np.linalg.solve(root, self.z)
        left = z - q @ (q.T @ z)
        names = [*self.flat, *self.normal]
        mean = np.r_[back @ (q.T @ y), self.means + prior * (left.T @ y)]
        cross = -(back @ (q.T @ z)) * prior
        own = np.diag(prior) - prior[:, None] * (left.T @ left) * prior
        covariance = np.block([[back @ back.T, cross], [cross.T, own]])
        for label, own in self.unit_means.items():
            at = np.array([name in own for name in names])
            whole = np.vstack([np.eye(len(names)), at / at.sum()])
            names, mean, covariance = [*names, label], whole @ mean, whole @ covariance @ whole.T
        return pd.Series(mean, names), pd.DataFrame(covariance, names, names)


def dense(design: Design, model: PanelModel, location: Mapping[str, tuple[float, float]] | None = None) -> Dense:
    """Write a member out on a design.

    Parameters
    ----------
    design, model
        What is written out.
    location
        Regressor to the mean and standard deviation of its slope's normal prior; flat if not given.
    """
    exposure = design.terms[0]
    groups = dict(enumerate(design.groups))
    weight = np.ones(design.n_obs) if design.weight is None else design.weight
    location = location or {}
    flat: dict[str, Array] = {}
    normal: dict[str, tuple[Array, str | float, float]] = {}

    def rows(codes: Array, code: int) -> Array:
        return (codes == code).astype(float)

    def slopes(term: str, name: str, column: Array) -> None:
        if term in location:
            mean, sd = location[term]
            normal[name] = column, sd, mean
        else:
            flat[name] = column

    units = {f"unit_effect[{label}]": rows(design.unit, i) for i, label in enumerate(design.units)}
    times = {f"time_effect[{label:g}]": rows(design.time, t) for t, label in enumerate(design.times)}
    years = np.asarray(design.times)[design.time]
    trends = {
        f"unit_trend[{label}]": rows(design.unit, i) * (years - years.mean()) for i, label in enumerate(design.units)
    }
    group_times = {
        f"group_time_effect[{group}][{label:g}]": rows(design.group, r) * rows(design.time, t)
        for r, group in groups.items()
        for t, label in enumerate(design.times)
    }
    if model.choice("unit_effect") == "fixed":
        flat |= units
    else:
        flat["intercept"] = np.ones(design.n_obs)
        normal |= {name: (column, "sigma_mu", 0.0) for name, column in units.items()}
    if model.choice("unit_trend") == "fixed":
        flat |= trends
    if model.choice("group_time_effect") == "fixed":
        flat |= group_times
    elif model.choice("time_effect") == "fixed":
        flat |= times
    else:
        normal |= {name: (column, "sigma_lambda", 0.0) for name, column in times.items()}
    if model.choice("group_time_effect") == "pooled":
        normal |= {name: (column, "sigma_omega", 0.0) for name, column in group_times.items()}
    if model.choice("unit_trend") == "pooled":
        normal |= {name: (column, "xi", 0.0) for name, column in trends.items()}
    mundlak: dict[str, Array] = {}
    for k, term in enumerate(design.terms):
        x = design.x[:, k]
        own = {group: x * rows(design.group, r) for r, group in groups.items()}
        choice = model.choice("group_slope") if term == exposure else model.choice("group_control_slope")
        common = "slope" if term == exposure else f"control_slope[{term}]"
        total = "group_total_slope" if term == exposure else f"group_total_control_slope[{term}]"
        if choice == "fixed":
            for group, column in own.items():
                slopes(term, f"{total}[{group}]", column)
        else:
            slopes(term, common, x)
        if choice == "pooled":
            name, scale = (
                ("group_slope", "tau") if term == exposure else (f"group_control_slope[{term}]", f"phi[{term}]")
            )
            normal |= {f"{name}[{group}]": (column, scale, 0.0) for group, column in own.items()}
        mundlak |= {term: x} if choice == "off" else {f"{term}[{group}]": column for group, column in own.items()}
    for effect, codes in (("unit", design.unit), ("time", design.time)):
        if model.choice(f"{effect}_effect") == "correlated":
            for name, column in mundlak.items():
                sums, total = (pd.Series(w).groupby(codes).transform("sum") for w in (weight * column, weight))
                flat[f"mundlak_{effect}[{name}]"] = (sums / total).to_numpy()
    if model.choice("unit_slope") == "pooled":
        d = design.x[:, 0]
        normal |= {
            f"unit_slope[{label}]": (d * rows(design.unit, i), "kappa", 0.0) for i, label in enumerate(design.units)
        }
    kept = independent(flat)
    by_group = model.choice("spread") == "by_group"
    return Dense(
        design.y,
        np.column_stack([flat[name] for name in kept]),
        np.column_stack([column for column, _, _ in normal.values()]) if normal else np.empty((design.n_obs, 0)),
        kept,
        tuple(normal),
        tuple(scale for _, scale, _ in normal.values()),
        np.array([mean for _, _, mean in normal.values()]),
        tuple(f"sigma[{groups[r]}]" if by_group else "sigma" for r in (design.group if by_group else design.unit)),
        weight,
        means_of_units(design, tuple(normal)),
    )


def means_of_units(design: Design, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return which of the coefficients a mean over the units of a group is of, by the mean's name."""
    found = {}
    for of in ("unit_slope", "unit_trend"):
        for r, group in enumerate(design.groups or ("",)):
            mine = [label for i, label in enumerate(design.units) if not group or design.group_of_unit[i] == r]
            own = tuple(f"{of}[{label}]" for label in mine if f"{of}[{label}]" in names)
            if own:
                found[f"mean_{of}[{group}]" if group else f"mean_{of}"] = own
    return found


def errors_written_out(design: Design, correlation: str, rho: float | None) -> Array:
    """Return the covariance of the errors over sigma squared, shape (n, n), by a model file's name of it."""
    when = np.asarray(design.times)[design.time]
    same, lag = design.unit[:, None] == design.unit, np.abs(when[:, None] - when)
    if correlation == "off":
        return np.eye(design.n_obs)
    if correlation == "random_walk":
        start = np.array([when[design.unit == i].min() for i in range(len(design.units))])[design.unit]
        return np.where(same, 1 + np.minimum(when[:, None], when) - start, 0.0)
    assert rho is not None
    return np.where(same, rho**lag / (1 - rho**2), 0.0)


def rows_covariance(design: Design, written: Dense, scales: Mapping[str, float], correlation: str) -> Array:
    """Return the covariance of the rows given flat coefficients."""
    prior, residual = written.variances(scales)
    errors = errors_written_out(design, correlation, scales.get(RHO)) * np.sqrt(np.outer(residual, residual))
    return np.asarray((written.z * prior) @ written.z.T + errors)


def independent(columns: Mapping[str, Array]) -> tuple[str, ...]:
    """Return the names of the columns that those before them do not span."""
    basis = np.empty((len(next(iter(columns.values()))), 0))
    kept = []
    for name, column in columns.items():
        left = column / np.linalg.norm(column) if column.any() else column
        for _ in range(2):
            left = left - basis @ (basis.T @ left)
        norm = np.linalg.norm(left)
        if norm > 1e-9:
            kept.append(name)
            basis = np.column_stack([basis, left / norm])
    return tuple(kept)
