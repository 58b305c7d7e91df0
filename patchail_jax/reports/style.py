"""How figures look and how they are written. A method has the same colour in every figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchail_jax.files.whole_file import whole_file
from patchail_jax.outputs.overlay import overlay
from patchail_jax.reports.published import METHOD_LABELS

mpl.use("Agg")

# In the order of METHOD_LABELS. Okabe and Ito's colours, which people who do not see red or green can tell apart, and
# for LAIfO, BCO and DrQ-v2 from features a violet, a teal and a grey.
_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#6A3D9A", "#56B4E9", "#1B9E9E", "#8C6D31", "#000000",
    "#8A8A8A",
)  # fmt: skip
INK, MUTED, RULE = "#1a1a1a", "#6b6b6b", "#c8c8c8"
HIGH, LOW = "#b2182b", "#2166ac"  # of signed values, as in overlays

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # a task's name may have a $
    "pdf.fonttype": 42,  # text stays text
}


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each of ``names``: a method has its own, another name gets the next free one."""
    fixed = dict(zip(METHOD_LABELS, _COLOURS, strict=True))
    chosen = {name: fixed[name] for name in names if name in fixed}
    free = [colour for colour in _COLOURS if colour not in chosen.values()] or list(_COLOURS)
    for number, name in enumerate(name for name in names if name not in chosen):
        chosen[name] = free[number % len(free)]
    return chosen


def from_zero(axis: Axes) -> None:
    """Lets the vertical axis begin at 0, unless something is drawn below it."""
    if axis.dataLim.ymin >= 0:
        axis.set_ylim(bottom=0)


def legend_below(figure: Figure, handles: Mapping[str, Artist], *, columns: int) -> None:
    """Draws a legend of ``handles`` by label below ``figure``, in as many of ``columns`` as its width has room for."""
    for number in range(min(len(handles), columns), 0, -1):
        legend = figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=number)
        if number == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def colour_bar(figure: Figure, axes: Sequence[Axes], limit: float, label: str) -> None:
    """Draws beside ``axes`` the scale of signed maps up to ``limit``, as it looks over white."""
    values = np.linspace(-limit, limit, 256)
    shades = overlay(np.full((1, 256, 1, 3), 255, np.uint8), values[None, :, None], limit=limit)[0, :, 0] / 255.0
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(-limit, limit), mpl.colors.ListedColormap(shades))
    bar = figure.colorbar(scale, ax=axes, fraction=0.025, pad=0.01, aspect=35, extend="both")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)


def save(figure: Figure, *paths: Path) -> None:
    """Writes ``figure`` under every name and closes it. Each file appears when it is whole."""
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as unfinished:
                figure.savefig(unfinished, format=path.suffix[1:], dpi=200, facecolor="white")
    finally:
        plt.close(figure)


def write_figure(figure: Figure, stem: Path) -> list[Path]:
    """Writes ``stem.png`` and ``stem.pdf`` and closes the figure; returns both paths."""
    paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".png", ".pdf")]
    save(figure, *paths)
    return paths


def thousands(value: float, _: float = 0) -> str:
    """``500000`` as ``500k`` and ``1500000`` as ``1.5M``, for an axis of frames."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
