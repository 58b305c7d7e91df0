"""Pictures of a video at any rate, one at a time: films by ffmpeg, gif and folders of png by Pillow."""

import abc
import logging
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from patchail_jax.errors import UserError

_log = logging.getLogger(__name__)

FILMS = (".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv")
# Only these containers, whatever a file is named: others (playlists) make ffmpeg open further files and addresses.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"
_EARLY = 0.25  # of a frame
_PICTURE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


class Clip(Protocol):
    """A video: its file, its frames a second, and whether its pictures were compressed with loss."""

    path: Path
    rate: float
    lossy: bool

    def at_rate(self, rate: float, start: float, end: float | None) -> Iterator[np.ndarray]:
        """``rate`` pictures ``[H,W,3] uint8`` for each second from ``start`` to ``end`` (None: the last)."""


def open_clip(path: Path, *, frames_per_second: float | None) -> Clip:
    """The video behind ``path``; ``frames_per_second`` None is what the file says. UserError for another kind."""
    if path.is_dir():
        return _Folder(path, frames_per_second)
    if not path.is_file():
        raise UserError(f"{path}: no such video")
    if path.suffix.lower() == ".gif":
        return _Gif(path, frames_per_second)
    if path.suffix.lower() in FILMS:
        return _Film(path, frames_per_second)
    raise UserError(f"{path}: not a video that can be read: {', '.join((*FILMS, '.gif'))} or a folder of .png")


class _Film:
    """ffmpeg decodes and keeps time; ``frames_per_second`` replaces the times that the file gives its frames."""

    lossy = True

    def __init__(self, path: Path, frames_per_second: float | None) -> None:
        self.path, self._given = path, frames_per_second
        told = subprocess.run(self._command(), capture_output=True, text=True, errors="replace").stderr
        found = re.search(r"Stream .*Video: .*?([\d.]+) (?:fps|tbr)", told)
        if "Video:" not in told:
            raise UserError(f"{path}: {_last_line(told)}")
        if frames_per_second is None and not found:
            raise UserError(f"{path}: does not say how many frames a second it has: use --frames_per_second")
        self.rate = frames_per_second or float(found[1] if found else 0)

    def _command(self) -> list[str]:
        import imageio_ffmpeg

        # "file:" so that no name is taken for an option or an address.
        source = ["-format_whitelist", _CONTAINERS, "-protocol_whitelist", "file", "-i", f"file:{self.path}"]
        return [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *source]

    def at_rate(self, rate: float, start: float, end: float | None) -> Iterator[np.ndarray]:
        times = f"N/({self._given}*TB)" if self._given else "PTS-STARTPTS"
        span = f"trim=start={start}" + ("" if end is None else f":end={end}")
        # For every step the newest frame; a quarter of a frame early, as a container's times are rounded.
        shift = f"setpts=PTS-STARTPTS-{_EARLY}/({self.rate}*TB)"
        filters = f"settb=1/90000,setpts={times},{span},{shift},fps=fps={rate}:round=up"
        # Each picture as a ppm, which says its size.
        command = [*self._command(), "-loglevel", "error", "-map", "0:v:0", "-vf", filters]
        command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)
            assert process.stdout is not None
            try:
                while picture := _read_ppm(process.stdout):
                    yield np.frombuffer(picture[0], np.uint8).reshape(picture[1])
                process.wait()
            finally:
                process.stdout.close()
                process.kill()
                process.wait()
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if process.returncode:
            raise UserError(f"{self.path}: {_last_line(said)}")
        if said.strip():
            _log.warning("%s is damaged, what can be read is taken (%s)", self.path, _last_line(said))


class _Pictures(abc.ABC):
    """Pictures with a time each; a picture is shown until the next."""

    path: Path
    rate: float
    lossy: bool
    _times: np.ndarray
    _length: float

    def at_rate(self, rate: float, start: float, end: float | None) -> Iterator[np.ndarray]:
        last = self._length if end is None else min(end, self._length)
        wanted = start + np.arange(max(0, round((last - start) * rate))) / rate
        try:
            for number in np.searchsorted(self._times, wanted + _EARLY / self.rate, side="right") - 1:
                yield np.asarray(self._picture(int(number)).convert("RGB"))
        except _PICTURE_ERRORS as error:
            raise UserError(f"{self.path}: cannot be read ({' '.join(str(error).split())[:120]})") from error

    @abc.abstractmethod
    def _picture(self, number: int) -> Any:
        """The picture of that number, opened by Pillow."""


class _Folder(_Pictures):
    lossy = False

    def __init__(self, path: Path, frames_per_second: float | None) -> None:
        self._files = sorted((file for file in path.iterdir() if file.suffix.lower() == ".png"), key=_by_number)
        if not self._files:
            raise UserError(f"{path}: a folder without .png files")
        if frames_per_second is None:
            raise UserError(f"{path}: a folder of png does not say how many there are a second: --frames_per_second")
        self.path, self.rate = path, frames_per_second
        self._times = np.arange(len(self._files)) / self.rate
        self._length = len(self._files) / self.rate

    def _picture(self, number: int) -> Any:
        with Image.open(self._files[number], formats=["PNG"]) as picture:
            picture.load()
            return picture


class _Gif(_Pictures):
    lossy = True  # 256 colours

    def __init__(self, path: Path, frames_per_second: float | None) -> None:
        self.path, shown = path, []
        try:
            self._gif = Image.open(path, formats=["GIF"])
            for number in range(getattr(self._gif, "n_frames", 1)):
                self._gif.seek(number)
                shown.append(1 / frames_per_second if frames_per_second else self._gif.info.get("duration", 0) / 1000)
        except _PICTURE_ERRORS as error:
            raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())[:120]})") from error
        if min(shown) <= 0:
            raise UserError(f"{path}: does not say how long its frames are shown: use --frames_per_second")
        self._times, self._length = np.cumsum([0.0, *shown[:-1]]), float(sum(shown))
        self.rate = len(shown) / self._length

    def _picture(self, number: int) -> Any:
        self._gif.seek(number)
        return self._gif


def _read_ppm(stream: Any) -> tuple[bytes, tuple[int, int, int]] | None:
    """The bytes and the shape of the next picture; None at the end."""
    if stream.readline() != b"P6\n":
        return None
    width, height = map(int, stream.readline().split())
    stream.readline()  # the largest value, 255
    pixels = stream.read(width * height * 3)
    return (pixels, (height, width, 3)) if len(pixels) == width * height * 3 else None


def _by_number(file: Path) -> list[Any]:
    """frame_2 before frame_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"ffmpeg says: {lines[-1]}" if lines else "ffmpeg cannot read it"
