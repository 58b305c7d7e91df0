"""Frames written as a film: mp4 by ffmpeg, gif by Pillow."""

import os
import subprocess
from pathlib import Path

import numpy as np

from patchail_jax.errors import UserError


def write_video(path: Path, frames: np.ndarray, *, fps: float, scale: int = 1) -> None:
    """Writes ``frames [T,H,W,3] uint8`` to ``path``, ``.mp4`` or ``.gif``, each pixel as ``scale x scale``.

    The file appears under its name when it is whole. ``UserError`` for another suffix, or without imageio-ffmpeg.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"frames must be [T,H,W,3] uint8 with T >= 1, not {frames.dtype}{list(frames.shape)}")
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    if path.suffix not in writers:
        raise UserError(f"{path} is not the name of a video; end it with {' or '.join(writers)}")
    enlarged = frames if scale == 1 else frames.repeat(scale, axis=1).repeat(scale, axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    try:
        writers[path.suffix](unfinished, enlarged, fps)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError("mp4 needs ffmpeg: pip install imageio-ffmpeg, or use a name that ends in .gif") from error
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _write_mp4(path: Path, frames: np.ndarray, fps: float) -> None:
    ffmpeg = _ffmpeg()
    # Colour is stored at half the resolution, so odd sizes get their last row or column twice.
    odd = [(0, size % 2) for size in frames.shape[1:3]]
    even = np.pad(frames, [(0, 0), *odd, (0, 0)], mode="edge") if (0, 1) in odd else np.ascontiguousarray(frames)
    height, width = even.shape[1:3]
    # Not imageio_ffmpeg.write_frames: it runs Python between fork and exec, which may hang beside JAX's threads.
    command = [ffmpeg, "-y", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", str(path)]
    done = subprocess.run(command, input=even.data.cast("B"), capture_output=True)
    if done.returncode:
        raise OSError(f"ffmpeg cannot write {path}: {done.stderr.decode(errors='replace').strip()}")


def _write_gif(path: Path, frames: np.ndarray, fps: float) -> None:
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=1000 / fps, loop=0)
