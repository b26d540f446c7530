"""How figures are drawn: one style, readable without colour, SVG text that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW

type Array = NDArray[np.float64]

WIDTH = 5.4  # inches; narrow enough to be read on a telephone, scaled up on a desk
INK = "#010203"  # stands for the page's own text colour, see `as_svg`
# Okabe and Ito's palette, the tones that hold on white and on near-black.
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A8A8A"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cbec_bayes",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
GROUP_TITLES = {GROUP_AVERAGE: "average over units", GROUP_ALL: "groups in general", GROUP_NEW: "a group not seen"}
"""What the rows of effects that are no group are called."""


@contextmanager
def new_figure(height: float, *, panels: tuple[int, int] = (1, 1), **options: Any) -> Iterator[tuple[Any, Any]]:
    """Open a figure of the page's width and a height in inches, with its axes; options as of `Figure.subplots`."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots(*panels, **options)


def as_svg(figure: Any, title: str, description: str) -> str:
    """Return the SVG element, with the page's text colour for ink and a title and description for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = svg.replace("'DejaVu Sans', 'Bitstream Vera Sans',", "")
    # matplotlib numbers ids alike in every figure, or hashes coordinates; a page needs them unique and stable.
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower())
    names = {name: f"{slug}-{n}" for n, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))}
    svg = re.sub(r'(\bid="|href="#|url\(#)([^")]+)', lambda m: m[1] + names.get(m[2], m[2]), svg)
    opening, rest = svg.split(">", 1)
    return f'{opening} role="img" aria-label="{escape(f"{title}: {description}")}">{rest}'


def apart(values: Array, gap: float) -> Array:
    """Move values apart until each two differ by the gap, as little as their order allows."""
    order = np.argsort(values)
    moved = values[order].astype(float)
    for _ in range(50):
        close = np.diff(moved) < gap - 1e-12
        if not close.any():
            break
        for i in np.flatnonzero(close):
            middle = (moved[i] + moved[i + 1]) / 2
            moved[i], moved[i + 1] = middle - gap / 2, middle + gap / 2
    found = np.empty_like(moved)
    found[order] = moved
    return found
