"""The marginal likelihood where most coefficients are of single groups: these are integrated out group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.by_group_conditional import ByGroupConditional, OwnGivenCommon
from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional
from cbec_bayes.bayes.likelihood.marginal import Scales
from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, NormalEquations, conditional_of, log_density
from cbec_bayes.bayes.likelihood.residual_covariance import (
    Conditionals,
    CrossProducts,
    ErrorModel,
    ResidualCovariance,
    RowsGivenOthers,
    UnitMeans,
)
from cbec_bayes.bayes.likelihood.triangular import forward, squared
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes

_CHUNK = 2**18
_DOMINANT = 1e7
"""How much data may weigh against the prior of a group's coefficient before integrating it out first costs digits.

What is left for the others is then a small difference of large numbers. The likelihood with every coefficient, whose
columns are orthogonal first, takes such points.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPart:
    """The coefficients of one group.

    Attributes
    ----------
    errors
        Errors of the group's rows. The columns of its cross-products are the outcome, those of the c coefficients that
        groups have in common, flat ones orthonormal, and then the o columns of the group's own coefficients.
    scales
        Name of the scale that pools each of the group's own coefficients, o of them.
    own
        Positions of these among all coefficients, shape (o,).
    """

    errors: ResidualCovariance
    scales: tuple[str, ...]
    own: NDArray[np.intp]

    def systems(self, scales: Scales) -> OwnSystems:
        """Return the equations of the group's own coefficients at every point."""
        found, o = self.errors.cross_products(scales), len(self.scales)
        width = np.stack([scales[name] for name in self.scales], axis=1)
        own = found.gram[:, -o:, -o:] * width[:, :, None]
        own *= width[:, None, :]
        diagonal = np.einsum("sii->si", own)
        weight = diagonal.max(axis=1)
        diagonal += 1.0
        root = np.linalg.cholesky(own)
        half = forward(root, found.gram[:, -o:, :-o] * width[:, :, None])
        left = squared(half)
        np.subtract(found.gram[:, :-o, :-o], left, out=left)
        log_det = np.log(np.einsum("sii->si", root)).sum(axis=1)
        products = CrossProducts(left, [*found.constant, -log_det])
        return OwnSystems(products=products, weight=weight, width=width, root=root, half=half)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPart(OwnPart):
    """The coefficients of one group, with its rows.

    Attributes
    ----------
    errors
        See `OwnPart`.
    rows
        Positions of the rows in the panel.
    blocks
        Blocks of these rows, with one block: the columns of the model's own coefficients, common ones and then the
        group's.
    """

    errors: ErrorModel
    rows: NDArray[np.intp]
    blocks: Blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSystems:
    """The equations of a group's o own coefficients, over their scales, at S points.

    Attributes
    ----------
    products
        Cross-products of the outcome and the common coefficients with the group's own ones integrated out.
    weight
        How much data weigh against the priors, shape (S,).
    width
        The scales, shape (S, o).
    root
        L of the precision L L', shape (S, o, o).
    half
        L^-1 times the cross-products with the outcome and the c common coefficients, shape (S, o, 1 + c).
    """

    products: CrossProducts
    weight: Array
    width: Array
    root: Array
    half: Array

    def given_common(self) -> tuple[Array, Array, Array]:
        """Return the group's own coefficients given the common ones: mean where these are zero, pull, and root."""
        eye = np.broadcast_to(np.eye(self.root.shape[1]), self.root.shape)
        root = np.swapaxes(forward(self.root, eye), 1, 2) * self.width[:, :, None]
        solved = root @ self.half
        return solved[:, :, 0], solved[:, :, 1:], root


@dataclass(frozen=True, slots=True, kw_only=True)
class ByGroup:
    """The density of what groups have in common; coefficients and derivatives of the likelihood with all of them.

    Given the scales a group's own coefficients are normal about zero, so that they add to the covariance of the group's
    rows, and nothing to that of others. With R groups and o coefficients of each there are then R systems of o
    equations in the place of one of R o.

    Attributes
    ----------
    parts
        The groups.
    common
        Coefficients that groups have in common.
    shared
        Positions of these among all, shape (c,).
    whole
        The likelihood with every coefficient.
    """

    parts: tuple[OwnPart, ...]
    common: Coefficients
    shared: NDArray[np.intp]
    whole: NormalEquations

    @property
    def n_coefficients(self) -> int:
        """See `MarginalLikelihood`."""
        return self.whole.n_coefficients

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `MarginalLikelihood`."""
        return self.whole.unit_means

    @property
    def is_scalar(self) -> bool:
        """See `MarginalLikelihood`."""
        return False

    @property
    def is_separated(self) -> bool:
        """See `MarginalLikelihood`."""
        return False

    @property
    def conditional_size(self) -> int:
        """See `MarginalLikelihood`."""
        own = sum(len(part.scales) * (len(part.scales) + len(self.shared)) for part in self.parts)
        return own + len(self.shared) ** 2 + len(self.unit_means) * self.n_coefficients

    def log_likelihood(self, scales: Scales) -> Array:
        """See `MarginalLikelihood`."""
        n = len(next(iter(scales.values())))
        size = max(len(part.scales) for part in self.parts) + self.common.location.shape[1] + 1
        step = max(1, _CHUNK // size**2)
        parts = [{name: values[i : i + step] for name, values in scales.items()} for i in range(0, n, step)]
        return np.concatenate([self._log_likelihood(part) for part in parts]) if parts else np.empty(0)

    def _log_likelihood(self, scales: Scales) -> Array:
        try:
            every = [part.systems(scales) for part in self.parts]
            found = log_density(_added_up(every), self.common, scales)
        except np.linalg.LinAlgError:
            return self.whole.log_likelihood(scales)
        far = np.max([one.weight for one in every], axis=0) > _DOMINANT
        if far.any():
            found[far] = self.whole.log_likelihood({name: values[far] for name, values in scales.items()})
        return found

    def gradient(self, scales: Mapping[str, float]) -> tuple[float, Mapping[str, float]]:
        """See `MarginalLikelihood`."""
        return self.whole.gradient(scales)

    def conditional(self, scales: Scales) -> DenseConditional:
        """See `MarginalLikelihood`."""
        return self.whole.conditional(scales)

    def compact_conditional(self, scales: Scales, *, means: bool = True) -> Conditional:
        """See `MarginalLikelihood`."""
        try:
            every = [part.systems(scales) for part in self.parts]
            if np.max([one.weight for one in every]) > _DOMINANT:
                return self.whole.compact_conditional(scales, means=means)
            shared = conditional_of(_added_up(every), self.common, scales)
        except np.linalg.LinAlgError:
            return self.whole.compact_conditional(scales, means=means)
        back = np.linalg.inv(self.common.transform)
        given = [one.given_common() for one in every]
        groups = tuple(
            OwnGivenCommon(part.own, mean, pull @ back, root)
            for part, (mean, pull, root) in zip(self.parts, given, strict=True)
        )
        over_units = self._means_over_units(scales) if means else None
        return ByGroupConditional(shared=shared, at=self.shared, groups=groups, means=over_units)

    def _means_over_units(self, scales: Scales) -> UnitMeans | None:
        """Return them as the errors have them, less what the model's own coefficients take."""
        found = self.whole.covariance.means_over_units(scales)
        if found is None:
            return None
        pull = found.pull.copy()
        pull[:, :, 1:] = pull[:, :, 1:] @ np.linalg.inv(self.whole.coefficients.transform)
        return UnitMeans(pull, found.root)


def _added_up(every: Sequence[OwnSystems]) -> CrossProducts:
    """Return the cross-products of all groups, with the constants of each."""
    constant = [term for one in every for term in one.products.constant]
    gram = every[0].products.gram.copy()
    for one in every[1:]:
        gram += one.products.gram
    return CrossProducts(gram, constant)


@dataclass(frozen=True, slots=True)
class ByGroupErrors:
    """The errors of all rows, which give rows given all others group by group; all else is the mechanism's."""

    whole: ErrorModel
    parts: tuple[GroupPart, ...]

    @property
    def sigmas(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return self.whole.sigmas

    @property
    def other_parameters(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return self.whole.other_parameters

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `ResidualCovariance`."""
        return self.whole.unit_means

    def cross_products(self, scales: Scales) -> CrossProducts:
        """See `ResidualCovariance`."""
        return self.whole.cross_products(scales)

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """See `ResidualCovariance`."""
        return self.whole.slopes(spread, scales)

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """See `ResidualCovariance`."""
        return self.whole.means_over_units(scales)

    def row_log_density(self, design: Design, residual: Array, scales: Scales) -> Array:
        """See `ErrorModel`."""
        return self.whole.row_log_density(design, residual, scales)

    def draw_units(
        self, blocks: Blocks, coefficients: Array, scales: Scales, rng: np.random.Generator
    ) -> dict[str, Array]:
        """See `ErrorModel`."""
        return self.whole.draw_units(blocks, coefficients, scales, rng)

    def rows_given_others(
        self, blocks: Blocks, rows: Codes, scales: Scales, conditionals: Conditionals
    ) -> RowsGivenOthers:
        """See `ErrorModel`."""
        n_points = len(next(iter(scales.values())))
        found = np.empty((3, n_points, len(rows)))
        for points, given_all in conditionals:
            own = {name: values[points] for name, values in scales.items()}
            if not isinstance(given_all, ByGroupConditional):
                whole = self.whole.rows_given_others(blocks, rows, own, [(slice(None), given_all)])
                found[:, points] = whole.pull, whole.precision, whole.known
                continue
            for r, part in enumerate(self.parts):
                asked = np.flatnonzero(np.isin(rows, part.rows))
                if not len(asked):
                    continue
                at = np.searchsorted(part.rows, rows[asked])
                conditional = [(slice(None), given_all.of_group(r))]
                one = part.errors.rows_given_others(part.blocks, at, own, conditional)
                for k, values in enumerate((one.pull, one.precision, one.known)):
                    found[k, points][:, asked] = values
        return RowsGivenOthers(*found)
