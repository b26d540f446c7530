"""How figures are drawn: one style, readable without colour, SVG text that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
    "pdf.fonttype": 42,
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


IMAGES = ("png", "pdf")
"""Formats that figures can be written in beside SVG, which a page needs; each is the ending of a file."""

DPI = 200
"""Dots per inch of a figure as PNG: 1,080 across, which a slide and a printed column can show."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure that is drawn, and what it is called.

    Attributes
    ----------
    figure
        A `matplotlib.figure.Figure`.
    title
        Title of the figure; figures of one page need different ones.
    description
        What it shows, for readers who cannot see it.
    """

    figure: Any
    title: str
    description: str

    def svg(self) -> str:
        """Return the figure as the SVG element of a page."""
        return as_svg(self.figure, self.title, self.description)

    def image(self, ending: str) -> bytes:
        """Return the figure as a file of one of `IMAGES`, which is the same whenever it is made."""
        import matplotlib as mpl

        nothing = dict.fromkeys({"png": ("Software",), "pdf": ("Creator", "Producer", "CreationDate")}[ending])
        buffer = io.BytesIO()
        with mpl.rc_context(_STYLE):
            self.figure.savefig(buffer, format=ending, dpi=DPI, metadata={"Title": self.title, **nothing})
        return buffer.getvalue()


def as_svg(figure: Any, title: str, description: str) -> str:
    """Return the SVG element, with the page's text colour for ink and a title and description for screen readers."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
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


def label_rows(axes: Any, at: Array, labels: Sequence[Sequence[str]], size: float = 8) -> None:
    """Write labels of one or several lines at the left of rows, in place of the ticks of the vertical axis.

    Each line is a text of its own that ends at the axis: of a text of several lines matplotlib writes where each
    begins, in the widths of its own font, which are not those of the page's.

    Parameters
    ----------
    axes
        Axes of the figure.
    at
        Where the rows are, shape (n,).
    labels
        Lines of each of the n labels.
    size
        Size of the letters, in points.
    """
    axes.set_yticks([])
    for y, lines in zip(at, labels, strict=True):
        for k, line in enumerate(lines):
            down = ((len(lines) - 1) / 2 - k) * 1.15 * size
            options = {
                "xycoords": ("axes fraction", "data"),
                "textcoords": "offset points",
                "ha": "right",
                "va": "center",
            }
            axes.annotate(line, (0, y), (-4, down), fontsize=size, **options)


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
