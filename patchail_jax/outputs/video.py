"""Frames written as a film: mp4 by PyAV, gif by Pillow."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from patchail_jax.errors import UserError
from patchail_jax.files.whole_file import whole_file

FRAMES_PER_SECOND = 25.0  # agent steps a second, for the eye: not the simulator's time
FEW_STEPS = 125  # what is no mp4 has every k-th step, at most so many
SIDE = 256  # pixels a side that small frames are enlarged to


def write_video(path: Path, frames: np.ndarray, *, fps: float, scale: int = 1, keyframes: int = 0) -> None:
    """Writes ``frames [T,H,W,3] uint8`` to ``path``, ``.mp4`` or ``.gif``, each pixel as ``scale x scale``.

    An mp4 has a frame that needs no other every ``keyframes`` frames (0: where the encoder likes). The file appears
    under its name when it is whole. ``UserError`` for another suffix, ``OSError`` where it cannot be written.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"frames must be [T,H,W,3] uint8 with T >= 1, not {frames.dtype}{list(frames.shape)}")
    writers: dict[str, Callable[..., None]] = {".mp4": _write_mp4, ".gif": write_gif}
    if path.suffix not in writers:
        raise UserError(f"{path} is not the name of a video; end it with {' or '.join(writers)}")
    enlarged = frames if scale == 1 else frames.repeat(scale, axis=1).repeat(scale, axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        writers[path.suffix](unfinished, enlarged, fps, **({"keyframes": keyframes} if keyframes else {}))


def enlargement(image_size: int, side: int = SIDE) -> int:
    """The whole factor by which frames of ``image_size`` pixels come close to ``side``, 1 at least."""
    return max(1, side // image_size)


def _write_mp4(path: Path, frames: np.ndarray, fps: float, keyframes: int = 0) -> None:
    import av

    # Colour is stored at half the resolution, so odd sizes get their last row or column twice.
    odd = [(0, size % 2) for size in frames.shape[1:3]]
    even = np.pad(frames, [(0, 0), *odd, (0, 0)], mode="edge") if (0, 1) in odd else np.ascontiguousarray(frames)
    try:
        with av.open(f"file:{path}", "w", format="mp4") as container:
            options = {"crf": "18"} | ({"g": str(keyframes)} if keyframes else {})
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
            stream.height, stream.width = even.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in even:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        failed = OSError(f"PyAV cannot write {path}: {error}")
        failed.errno = getattr(error, "errno", None)  # by which a full disk is known
        raise failed from error


def write_gif(out: Path | BinaryIO, frames: np.ndarray, fps: float) -> None:
    """``frames [T,H,W,3] uint8`` as an animated picture, shown again and again."""
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(out, "GIF", save_all=True, append_images=rest, duration=1000 / fps, loop=0)
