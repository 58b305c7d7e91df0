"""Films that explain: an episode's frames beside their overlay, and the reward of each step in a strip below."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from patchail_jax.outputs.overlay import colours, limit_of, overlay

_PAPER, _INK, _FAINT = (255, 255, 255), (26, 26, 26), (190, 190, 190)
_TITLE, _STRIP, _GAP = 20, 48, 6  # pixels
_SIDE = 256  # pixels a side that small frames are enlarged to


class Explained(NamedTuple):
    """An episode: ``frames [T+1,H,W,3] uint8``, signed ``maps [T,H,W]`` and ``rewards [T]`` of its steps."""

    title: str
    frames: np.ndarray
    maps: np.ndarray
    rewards: np.ndarray


def explaining_film(episodes: Sequence[Explained], *, side: int = _SIDE, limit: float | None = None) -> np.ndarray:
    """All ``episodes``, one under the other on one scale, ``[T,H,W,3] uint8``; short ones wait at their end.

    ``side`` is what small frames are enlarged to, in pixels; ``limit`` of the colours is None for the maps' own.
    """
    steps = max(len(episode.maps) for episode in episodes)
    limit = limit_of([episode.maps for episode in episodes]) if limit is None else limit
    highest = float(max(np.abs(episode.rewards).max() for episode in episodes)) or 1.0
    blocks = []
    for episode in episodes:
        block = _block(episode, limit=limit, highest=highest, scale=max(1, side // episode.frames.shape[1]))
        blocks.append(np.concatenate([block, block[-1:].repeat(steps - len(block), axis=0)]))
    return np.concatenate(blocks, axis=1)


def _block(episode: Explained, *, limit: float, highest: float, scale: int) -> np.ndarray:
    count, side = len(episode.maps), episode.frames.shape[1] * scale
    plain = episode.frames[:count]
    overlaid = overlay(plain, episode.maps, limit=limit)
    pair = [frames.repeat(scale, axis=1).repeat(scale, axis=2) for frames in (plain, overlaid)]
    width = 2 * side + _GAP
    block = np.full((count, _TITLE + side + _GAP + _STRIP + _GAP, width, 3), _PAPER, np.uint8)
    block[:, _TITLE : _TITLE + side, :side] = pair[0]
    block[:, _TITLE : _TITLE + side, side + _GAP :] = pair[1]
    strip = reward_strip(episode.rewards, width=width, height=_STRIP, highest=highest)
    top = _TITLE + side + _GAP
    for step in range(count):
        block[step, top : top + _STRIP] = strip
        cursor = min(step * width // count, width - 2)
        block[step, top : top + _STRIP, cursor : cursor + 2] = _INK
        block[step, :_TITLE] = _title(f"{episode.title}, step {step}", f"reward {episode.rewards[step]:+.2f}", width)
    return block


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


def _title(left: str, right: str, width: int) -> np.ndarray:
    canvas = Image.new("RGB", (width, _TITLE), _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    draw.text((2, 2), left, fill=_INK, font=font)
    draw.text((width - 2, 2), right, fill=_INK, font=font, anchor="ra")
    return np.asarray(canvas)
