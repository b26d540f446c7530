"""What posteriors of the same estimates share whose priors of the between-group scale differ: all that is given tau.

The posterior given tau does not depend on the prior of tau. Models that differ in it alone, as those of
sensitivity.csv do, are therefore sums over the same slices with other weights, where their posteriors of tau are alike
enough for the same nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.common_rule import Window, find_modes, starts, window_of
from cbec_bayes.published.robust.existence import Orders, highest_power
from cbec_bayes.published.robust.rows import Rows, rows_of
from cbec_bayes.published.robust.scales import Fineness
from cbec_bayes.published.robust.slices import Slice, slice_at
from cbec_bayes.published.robust.tau_rule import Layout, TauRule, lay_out
from cbec_bayes.published.summary_model import SummaryModel, between_shape

_ROUGH = Fineness(0.5, 0.3, 3e-2, 8)
"""Rules of the rows that show where the mass is."""

_NEAR = 1.15
"""Ratio of two values of tau up to which the common slope has its mass at the same place."""

_MOVED = 1.5
"""By how many widths the mode of another posterior of log tau may lie off for the same nodes to serve it."""

_NARROWER = 0.6
"""How narrow it may be, relative to the first."""

_PLACES = (3.5, 0.5)
"""By how much a density of log tau may be exponential only farther out than another, on the left and on the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """Where the mass of the common slope is at each tau, and the slices that were computed.

    Attributes
    ----------
    rough
        Rows with coarse rules, which show where the mass is.
    masses, places
        Rough log density of the estimates, and modes of the common slope, by value of tau.
    windows
        Where the common slope has its mass, by the highest moment that is read off and value of tau.
    layouts
        Layouts of tau whose nodes others may use.
    slices
        What was computed, by how fine the rules are, layout, node, and the highest moment of the common slope.
    solved
        Posteriors that passed their gate, by the prior of tau.
    """

    rough: Rows
    masses: dict[float, float] = field(default_factory=dict)
    places: dict[float, Array] = field(default_factory=dict)
    windows: dict[float, dict[float, Window]] = field(default_factory=dict)
    layouts: list[Layout] = field(default_factory=list)
    slices: dict[tuple[object, ...], tuple[Slice, float]] = field(default_factory=dict)
    solved: dict[tuple[object, ...], object] = field(default_factory=dict)

    def layout(self, model: SummaryModel) -> Layout | None:
        """Return where the posterior of tau has its mass, in the coordinate of an earlier layout where one serves."""
        if model.between.dist == "fixed":
            return None
        scale, reach = float(np.median(self.rough.scales)), float(np.ptp(self.rough.values))
        own = lay_out(model.between, (scale, max(reach, scale)), self._log_mass)
        for other in self.layouts:
            if _serves(other, own):
                return replace(own, left=other.left, right=other.right, mode=other.mode, width=other.width)
        self.layouts.append(own)
        return own

    def _log_mass(self, tau: float) -> float:
        if tau not in self.masses:
            values, scales = self.rough.values, self.rough.scales
            modes = find_modes(self.rough.at(tau), self.rough.model.slope, values, starts(values, scales))
            self.masses[tau], self.places[tau] = modes.log_mass, modes.places
        return self.masses[tau]

    def _starts(self, tau: float) -> Array:
        """Return where the search for modes begins: at those for the nearest values of tau, on both sides."""
        if not self.places:
            return starts(self.rough.values, self.rough.scales)
        known = np.array(sorted(self.places))
        place = int(np.searchsorted(known, tau))
        near = known[max(place - 1, 0) : place + 1]
        return np.unique(np.concatenate([self.places[float(one)] for one in near]))

    def window(self, tau: float, power: float) -> Window:
        """Return where the common slope has its mass given tau: as it is for a value near by, where one is known."""
        known = self.windows.setdefault(power, {})
        near = min(known, key=lambda other: abs(other - tau), default=math.inf)
        if tau == near or tau / _NEAR < near < tau * _NEAR:
            return known[near]
        prior, blocks = self.rough.model.slope, self.rough.at(tau)
        modes = find_modes(blocks, prior, self.rough.values, self._starts(tau))
        known[tau] = window_of(blocks, prior, modes, power)
        return known[tau]

    def slices_at(self, rows: Rows, rule: TauRule, order: Orders) -> list[tuple[Slice, float]]:
        """Return the posterior given each node of tau, and the log of its mass."""
        power, found = highest_power(order.common), []
        for u, node in zip(rule.u, rule.nodes, strict=True):
            tau = float(node)
            key = (rows.fineness, tau if rule.layout is None else _coordinate(rule.layout), round(u / (rule.step or 1)))
            if (*key, power) not in self.slices:
                self.slices[*key, power] = slice_at(self.window(tau, power), rows, tau)
            found.append(self.slices[*key, power])
        return found


def _coordinate(layout: Layout) -> tuple[object, ...]:
    """Return what the nodes of a layout depend on."""
    end = layout.prior.params["upper"] if layout.prior.dist == "uniform" else math.inf
    return end, layout.left, layout.right, layout.mode, layout.width


def _serves(other: Layout, own: Layout) -> bool:
    """Return whether the coordinate of another layout spreads nodes as this one needs them."""
    ends = "uniform" in (other.prior.dist, own.prior.dist)  # whose end is an end of the nodes
    alike = abs(other.mode - own.mode) <= _MOVED * min(other.width, own.width) and own.width > _NARROWER * other.width
    within = other.left <= own.left + _PLACES[0] and other.right >= own.right - _PLACES[1]
    return not ends and alike and within


class Shared:
    """Guides of several sets of estimates, for as long as one question is asked of them."""

    def __init__(self) -> None:
        self._guides: dict[tuple[object, ...], Guide] = {}

    def guide(self, estimates: Estimates, model: SummaryModel) -> Guide:
        """Return the guide of estimates under models that differ in the prior of tau alone."""
        if model.between.dist == "fixed":  # its rules reach as far as the value
            return Guide(rough=rows_of(estimates, model, _ROUGH))
        shape, slope = between_shape(model), model.slope
        given: Sequence[object] = (estimates.values.tobytes(), estimates.errors)
        key = (*given, shape.dist, *shape.params.items(), slope.dist, *slope.params.items())
        if key not in self._guides:
            self._guides[key] = Guide(rough=rows_of(estimates, model, _ROUGH))
        return self._guides[key]
