"""TensorBoard event files, an extra: ``pip install '.[tensorboard]'``.

They are written here and not by tensorboardX's ``SummaryWriter``: its thread dies of a full disk, and the next call
then waits for ever. Nor can it drop the training rows after one frame and the evaluations from another on.
"""

import io
import re
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.errors import UserError
from patchail_jax.files.append import append
from patchail_jax.files.whole_file import whole_file
from patchail_jax.outputs.video import write_gif

_PREFIX = "events.out.tfevents."
_STAMP = re.compile(re.escape(_PREFIX) + r"(\d+\.\d+)")
_REWOUND = ".rewound"  # ends the name of a file that holds everything its elders hold and is still true


def require_tensorboard() -> None:
    """``UserError`` where tensorboardX cannot be imported."""
    try:
        import tensorboardX.proto.event_pb2
        import tensorboardX.record_writer  # noqa: F401
    except ImportError as error:
        raise UserError(
            "config.log.tensorboard needs tensorboardX: pip install '.[tensorboard]', or set it to False"
        ) from error


class TensorBoard:
    """Writes scalars, histograms and films to ``folder``, with frames as the step; a row is one event.

    ``UserError`` without tensorboardX.
    """

    title = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import masked_crc32c

        self._events, self._summaries, self._checksum = event_pb2, summary_pb2, masked_crc32c
        self._folder, self._lock = folder, threading.Lock()
        self._file: Path | None = None  # a start's own: a kill may have cut the last event of an earlier one

    def scalars(self, kind: str, values: Mapping[str, float], *, frame: int) -> None:
        """Each of ``values`` under its name."""
        summaries = self._summaries.Summary
        self._write([summaries.Value(tag=name, simple_value=value) for name, value in values.items()], frame)

    def histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, *, frame: int) -> None:
        """``counts [N]`` between ``edges [N+1]``."""
        middles = (edges[1:] + edges[:-1]) / 2
        histogram = self._summaries.HistogramProto(
            min=float(edges[0]),
            max=float(edges[-1]),
            num=int(counts.sum()),
            sum=float((counts * middles).sum()),
            sum_squares=float((counts * middles**2).sum()),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._write([self._summaries.Summary.Value(tag=name, histo=histogram)], frame)

    def film(self, name: str, path: Path, images: np.ndarray, *, fps: float, frame: int) -> None:
        """``images [T,H,W,3] uint8`` as an animated picture; TensorBoard takes no mp4."""
        stream = io.BytesIO()
        write_gif(stream, images, fps)
        height, width = images.shape[1:3]
        summaries = self._summaries.Summary
        picture = summaries.Image(height=height, width=width, colorspace=3, encoded_image_string=stream.getvalue())
        self._write([summaries.Value(tag=name, image=picture)], frame)

    def rewind(self, frame: int, *, update: int, next_evaluation_frame: int) -> None:
        """Forgets training rows after ``frame`` or ``update``, and evaluations from ``next_evaluation_frame`` on.

        What stays is copied to a new file, which tells a TensorBoard that is open to start afresh.
        """

        def stays(event: Any) -> bool:
            made = [value.simple_value for value in event.summary.value if value.tag == "update"]
            if made:  # a row of training
                return bool(event.step <= frame and made[0] <= np.float32(update))
            return bool(event.step < next_evaluation_frame)

        with self._lock:
            self._file = None
            everything = sorted(self._folder.glob(f"{_PREFIX}*"))
            newest = max((at for at, file in enumerate(everything) if file.name.endswith(_REWOUND)), default=0)
            # Read twice: films are large, and most starts have nothing to forget.
            if newest or not all(stays(event) for event in self._rows(everything)):
                self._replace(everything, (event for event in self._rows(everything[newest:]) if stays(event)))

    def close(self) -> None:
        """Does nothing: every event is written as it comes."""

    def _rows(self, files: list[Path]) -> Iterator[Any]:
        """The events of ``files`` that show something; the others start a file."""
        events = (self._events.Event.FromString(record) for file in files for record in _records(file))
        return (event for event in events if event.HasField("summary"))

    def _replace(self, everything: list[Path], kept: Iterator[Any]) -> None:
        start = self._events.SessionLog(status=self._events.SessionLog.START)
        with whole_file(self._new_file(_REWOUND)) as unfinished, unfinished.open("wb") as stream:
            stream.write(self._first_record())
            stream.write(self._framed(self._events.Event(wall_time=time.time(), step=0, session_log=start)))
            for event in kept:
                stream.write(self._framed(event))
        for file in everything:
            file.unlink()

    def _write(self, values: list[Any], frame: int) -> None:
        summary = self._summaries.Summary(value=values)
        record = self._framed(self._events.Event(wall_time=time.time(), step=frame, summary=summary))
        with self._lock:
            if self._file is None:
                self._folder.mkdir(exist_ok=True)
                file = self._new_file()
                append(file, self._first_record())
                self._file = file
            append(self._file, record)

    def _new_file(self, suffix: str = "") -> Path:
        # TensorBoard reads files in the order of their names, and so does a rewind: also where the clock went back.
        found = (_STAMP.match(file.name) for file in self._folder.glob(f"{_PREFIX}*"))
        stamp = max([time.time(), *(float(elder[1]) + 1e-6 for elder in found if elder)])
        return self._folder / f"{_PREFIX}{stamp:.6f}{suffix}"

    def _first_record(self) -> bytes:
        return self._framed(self._events.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def _framed(self, event: Any) -> bytes:
        """An event as TensorFlow's record: its length and its content, each with a checksum."""
        content = event.SerializeToString()
        parts = struct.pack("<Q", len(content)), content
        return b"".join(part + struct.pack("<I", self._checksum(part)) for part in parts)


def _records(file: Path) -> Iterator[bytes]:
    """The whole records of an event file; a kill may have cut the last one short."""
    with file.open("rb") as stream:
        while len(header := stream.read(12)) == 12:
            (length,) = struct.unpack_from("<Q", header)
            record = stream.read(length + 4)
            if len(record) < length + 4:
                return
            yield record[:-4]
