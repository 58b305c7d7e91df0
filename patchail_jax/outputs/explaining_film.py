"""Films that explain: an episode's frames beside their overlay, and the reward of each step in a strip below."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from patchail_jax.outputs.overlay import colours, limit_of, overlay
from patchail_jax.outputs.video import SIDE, enlargement

_PAPER, _INK, _FAINT = (255, 255, 255), (26, 26, 26), (190, 190, 190)
_TITLE, _STRIP, _GAP = 20, 48, 6  # pixels


class ExplainedEpisode(NamedTuple):
    """One episode: ``frames [T+1,H,W,3] uint8``, signed ``maps [T,H,W]`` and the ``rewards [T]`` of its steps."""

    title: str
    frames: np.ndarray
    maps: np.ndarray
    rewards: np.ndarray


def explaining_film(
    episodes: Sequence[ExplainedEpisode], *, side: int = SIDE, limit: float | None = None
) -> np.ndarray:
    """All ``episodes``, one under the other on one scale, ``[T,H,W,3] uint8``; short ones wait at their end.

    ``side`` is what small frames are enlarged to, in pixels; ``limit`` of the colours is None for the maps' own.
    """
    steps = max(len(episode.maps) for episode in episodes)
    limit = limit_of([episode.maps for episode in episodes]) if limit is None else limit
    highest = float(max(np.abs(episode.rewards).max() for episode in episodes)) or 1.0
    scales = [enlargement(episode.frames.shape[1], side) for episode in episodes]
    sides = [scale * episode.frames.shape[1] for scale, episode in zip(scales, episodes, strict=True)]
    # Filled in place: at the paper's size a film takes half a GiB.
    width = 2 * max(sides) + _GAP
    film = np.full((steps, sum(_TITLE + one + _GAP + _STRIP + _GAP for one in sides), width, 3), _PAPER, np.uint8)
    top = 0
    for episode, scale in zip(episodes, scales, strict=True):
        strip = reward_strip(episode.rewards, width=width, height=_STRIP, highest=highest)
        for step in range(steps):
            bottom = _draw(film[step, top:], episode, min(step, len(episode.maps) - 1), strip, limit=limit, scale=scale)
        top += bottom
    return film


def _draw(
    canvas: np.ndarray, episode: ExplainedEpisode, step: int, strip: np.ndarray, *, limit: float, scale: int
) -> int:
    """Draws one step of one episode at the top of ``canvas [H,W,3]``; returns how much of its height that took."""
    width, frame = canvas.shape[1], episode.frames[step]
    pictures = frame, overlay(frame[None], episode.maps[step][None], limit=limit)[0]
    side = scale * len(frame)
    for picture, left in zip(pictures, (0, side + _GAP), strict=True):
        canvas[_TITLE : _TITLE + side, left : left + side] = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    canvas[:_TITLE] = _title(episode.title, f", step {step}", f"reward {episode.rewards[step]:+.2f}", width)
    below = _TITLE + side + _GAP
    canvas[below : below + _STRIP] = strip
    cursor = min(step * width // len(episode.maps), width - 2)
    canvas[below : below + _STRIP, cursor : cursor + 2] = _INK
    return below + _STRIP + _GAP


def reward_strip(rewards: np.ndarray, *, width: int, height: int, highest: float) -> np.ndarray:
    """The rewards ``[T]`` of an episode as bars about 0, ``[height,width,3] uint8``; ``highest`` fills half of it."""
    middle = height // 2
    strip = np.full((height, width, 3), _PAPER, np.uint8)
    values = rewards[np.minimum(np.arange(width) * len(rewards) // width, len(rewards) - 1)]
    tips = middle - np.clip(values / highest, -1, 1) * (middle - 1)
    rows = np.arange(height)[:, None]
    bar = (rows >= np.minimum(tips, middle)) & (rows <= np.maximum(tips, middle))
    shade = np.broadcast_to(colours(0.75 * np.sign(values), limit=1.0), strip.shape)
    strip[bar] = shade[bar].astype(np.uint8)
    strip[middle] = _FAINT
    return strip


def _title(name: str, step: str, right: str, width: int) -> np.ndarray:
    """``name`` is cut where it and ``step`` would run into what is on the right."""
    canvas = Image.new("RGB", (width, _TITLE), _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    room, left = width - 12 - draw.textlength(right, font), name + step
    while name and draw.textlength(left, font) > room:
        name = name[:-1]
        left = f"{name}…{step}"
    draw.text((2, 2), left, fill=_INK, font=font)
    draw.text((width - 2, 2), right, fill=_INK, font=font, anchor="ra")
    return np.asarray(canvas)
