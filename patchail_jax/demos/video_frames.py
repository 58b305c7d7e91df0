"""Pictures of a video at chosen times, one at a time: films by PyAV, moving pictures and folders of them by Pillow."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from patchail_jax.demos import file_kinds, film_pixels, picture_files, pictures
from patchail_jax.demos.picture_files import EARLY, VARIES
from patchail_jax.demos.pictures import Notes
from patchail_jax.errors import UserError
from patchail_jax.files.ordinary import require_file

_log = logging.getLogger(__name__)

# Only these containers, whatever a file is named: others (playlists) make the library open further files and addresses.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts"
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
_MICROSECONDS = 1_000_000  # of a second: a container's clock
_SHORT = 1.1  # times the length that can be read: a film that declares more is cut short
_SKIPPED = 10.0  # seconds, from which on it is quicker to look for the place than to decode what lies before
_HDR = {"smpte2084": 16, "arib-std-b67": 18}  # transfer functions, by their numbers in ITU-T H.273
_BT2020 = 9  # colour primaries


class Clip(Protocol):
    """A video: its file, seconds, whether it was compressed with loss, and what is odd about it.

    ``rate`` is frames a second as they usually come, ``slowest`` where they lie farthest apart.
    """

    path: Path
    rate: float
    slowest: float
    length: float
    lossy: bool
    notes: Notes

    def pictures(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """``[H,W,3] uint8``: what is shown at each of ``times``, rising seconds from the first frame on."""


def open_clip(path: Path, *, frames_per_second: float | None) -> Clip:
    """The video behind ``path``; ``frames_per_second`` None is what the file says. UserError where it is none."""
    if path.is_dir():
        return picture_files.Folder(path, frames_per_second)
    require_file(path, "video")
    if path.suffix.lower() in file_kinds.MOVING:
        return picture_files.Moving(path, frames_per_second)
    return Film(path, frames_per_second)


def every_picture(clip: Clip) -> Iterator[np.ndarray]:
    """Every picture of a clip that was opened with a rate of its own."""
    return clip.pictures(np.arange(round(clip.length * clip.rate)) / clip.rate)


class Film:
    """PyAV decodes. The times of all frames are known before the first is decoded.

    ``frames_per_second`` replaces the times that the file gives its frames.
    """

    def __init__(self, path: Path, frames_per_second: float | None) -> None:
        self.path, self._given = path, frames_per_second
        self.notes: Notes = {}
        self._size: tuple[int, int] | None = None
        with self._open() as container:
            stream = self._choose(container)
            self.lossy = bool(stream.codec_context.codec.lossy)
            self._pixel_shape = Fraction(stream.sample_aspect_ratio or 1)
            self._describe(stream)
            count, stamps = self._stamps(container, stream)
            self._base: Fraction = stream.time_base
            self._declared = _declared(container, stream)
            frames = int(stream.frames)
        if count < 2 and frames_per_second is None:
            raise UserError(f"{path}: has {count} frame{'s' * (count != 1)}: a video has two or more")
        gaps = np.diff(stamps) * float(self._base)
        if frames_per_second is None and (len(stamps) < count or gaps.min() <= 0):
            raise UserError(f"{path}: does not say when its frames are shown: use --frames_per_second")
        self._first = int(stamps[0]) if len(stamps) else 0
        if frames_per_second is not None:
            self.rate = self.slowest = frames_per_second
            self.length = count / frames_per_second
            if frames > _SHORT * count:
                self.notes.setdefault(f"{path.name}: has {count} of the {frames} frames that it declares: is it cut?")
            self._declared = 0.0
            return
        usual = np.median(gaps)
        if gaps.max() > VARIES * usual:
            self.notes.setdefault(f"{path.name}: frames are {gaps.min():.3g} to {gaps.max():.3g} s apart")
        # Times are rounded to the container's clock, so many gaps together say more than the middle one.
        self.rate = 1 / float(gaps[np.abs(gaps - usual) <= 0.5 * usual].mean())
        self.slowest = 1 / float(gaps.max())
        self.length = float(gaps.sum()) + 1 / self.rate
        # Of an edited film some frames lie outside of its duration.
        few = frames > count and self._declared > self.length + 0.5 / self.rate
        if few or self._declared > _SHORT * self.length:
            self.notes.setdefault(
                f"{path.name}: has {self.length:.2f} s of the {self._declared:.2f} s that it declares: is it cut short?"
            )

    def pictures(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """``[H,W,3] uint8``: of every time the newest frame, up to the end of what can be read."""
        wanted = times + EARLY / self.rate
        number, shown, time = 0, None, 0.0
        for time, frame in self._frames(float(wanted[0]) if len(wanted) else 0.0):
            while shown is not None and number < len(wanted) and wanted[number] < time:
                yield self._picture(shown)
                number += 1
            if number == len(wanted):
                return
            shown = frame
        for late in wanted[number:] if shown is not None else ():
            if late > time + (1 + EARLY / 2) / self.rate:
                self.notes.setdefault(
                    f"{self.path.name}: nothing can be read after {time:.2f} s of "
                    f"{max(self.length, self._declared):.2f} s"
                )
                return
            yield self._picture(shown)

    def _frames(self, start: float) -> Iterator[tuple[float, Any]]:
        """Every frame with its time, or those from ``start`` on and some before."""
        import av

        with self._open() as container:
            stream = self._choose(container)
            stream.thread_type = "AUTO"
            if self._given is None and start > _SKIPPED:
                container.seek(self._first + int(start / self._base), stream=stream)
            try:
                for number, frame in enumerate(container.decode(stream)):
                    if number == 0 and self._given is None and self._seconds(frame) > start > _SKIPPED:
                        yield from self._frames(0.0)  # its index led too far
                        return
                    yield (number / self._given if self._given else self._seconds(frame)), frame
            except av.error.FFmpegError as error:
                self.notes.setdefault(f"{self.path.name} is damaged; what can be read is taken ({_reason(error)})")
                _log.warning("%s is damaged, what can be read is taken (%s)", self.path, _reason(error))

    def _seconds(self, frame: Any) -> float:
        return float(((frame.pts if frame.pts is not None else frame.dts) - self._first) * self._base)

    def _open(self) -> Any:
        import av

        # Titles that are no UTF-8 are no reason to refuse a film; from PyAV 19 on it takes them without being told.
        tolerant: Any = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
        try:
            # "file:" so that no name is taken for an option or an address.
            return av.open(f"file:{self.path}", options=_OPTIONS, **tolerant)
        except (av.error.FFmpegError, ValueError) as error:
            kinds = f"{' '.join((*file_kinds.FILMS, *file_kinds.MOVING))} and folders of pictures can be read"
            raise UserError(f"{self.path}: cannot be read as a video ({_reason(error)}); {kinds}") from error

    def _choose(self, container: Any) -> Any:
        """The first video stream that is no cover picture."""
        import av

        cover = av.stream.Disposition.attached_pic
        moving = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not moving:
            held = ", ".join(sorted({str(stream.type) for stream in container.streams})) or "nothing"
            held = "a cover picture" if container.streams.video else held
            raise UserError(f"{self.path}: holds no video, only {held}")
        if moving[0].codec_context is None:
            raise UserError(f"{self.path}: its video is of a kind that cannot be decoded")
        if len(moving) > 1:
            self.notes.setdefault(f"{self.path.name}: the first of its {len(moving)} videos is taken")
        return moving[0]

    def _describe(self, stream: Any) -> None:
        """Notes what pictures lose here."""
        context, name = stream.codec_context, self.path.name
        kinds = [kind for kind, number in _HDR.items() if int(context.color_trc) == number]
        kinds += ["bt2020"] if int(context.color_primaries) == _BT2020 else []
        if kinds:
            self.notes.setdefault(
                f"{name}: HDR colours ({', '.join(kinds)}) look flat here, as nothing maps them to an ordinary screen's"
            )
        if stream.metadata.get("alpha_mode") == "1":
            self.notes.setdefault(f"{name}: its transparency is not read")

    def _stamps(self, container: Any, stream: Any) -> tuple[int, np.ndarray]:
        """How many frames there are, and the times that are known of them, in order and units of the stream's clock."""
        import av

        stamps: list[int | None] = []
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    stamps.append(packet.dts if packet.pts is None else packet.pts)
        except av.error.FFmpegError:
            pass  # decoding comes to the same place, and says so
        return len(stamps), np.sort(np.array([stamp for stamp in stamps if stamp is not None], np.int64))

    def _picture(self, frame: Any) -> np.ndarray:
        import av

        try:
            size = self._shown_size(frame)
            if any(component.is_alpha for component in frame.format.components):
                picture = pictures.on_black(frame.to_ndarray(format="rgba", **size), self.notes)
            else:
                picture = frame.to_ndarray(format="rgb24", **size)
        except (av.error.FFmpegError, ValueError) as error:
            raise UserError(f"{self.path}: its pictures cannot be read ({_reason(error)})") from error
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return picture
        try:
            return film_pixels.upright(picture, np.frombuffer(bytes(matrix), np.int32))
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error

    def _shown_size(self, frame: Any) -> dict[str, int]:
        """The size at which a frame's pixels are square; UserError where it is not that of the frames before."""
        size = (frame.width, frame.height)
        self._size = self._size or size
        if size != self._size:
            raise UserError(
                f"{self.path}: its pictures change from {'{}x{}'.format(*self._size)} to {'{}x{}'.format(*size)} at "
                f"{self._seconds(frame):.2f} s: cut it there, into two films"
            )
        if self._pixel_shape == 1:
            return {}
        width, height = film_pixels.square_size(*size, self._pixel_shape)
        self.notes.setdefault(
            f"{self.path.name}: its pixels are not square ({float(self._pixel_shape):.3g} to 1), and pictures are "
            f"drawn out to {width}x{height}"
        )
        return {"width": width, "height": height}


def _declared(container: Any, stream: Any) -> float:
    """How many seconds the file says that the video lasts; 0 where it does not say."""
    if container.format.name == "avi" and stream.average_rate:
        return float(stream.frames / stream.average_rate)  # whose duration is guessed from the size of the file
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / _MICROSECONDS


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
