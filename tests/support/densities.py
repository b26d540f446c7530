"""Densities that are known and hard to sample."""

from __future__ import annotations

import numpy as np

WIDTH = 0.2
"""Spread of the second of each pair of `curved` about the square of the first."""


def curved(pairs):
    """Pairs of which one is normal about the square of the other: no bent ellipse has the form of a parabola."""

    def log_density(at):
        first, second = at[:, ::2], at[:, 1::2]
        return -(first**2 / 2 + ((second - first**2) / WIDTH) ** 2 / 2).sum(axis=1)

    def gradient(at):
        first, second = at[::2], at[1::2]
        off = (second - first**2) / WIDTH**2
        slope = np.empty(2 * pairs)
        slope[::2], slope[1::2] = -first + 2 * first * off, -off
        return float(log_density(at[None])[0]), slope

    return log_density, gradient
