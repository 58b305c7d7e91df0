"""TensorBoard event files, an extra: ``pip install 'patchail_jax[tensorboard]'``."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.errors import UserError


class TensorBoard:
    """Writes scalars, histograms and films to ``folder``, with frames as the step."""

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboardX
        except ImportError as error:
            raise UserError(
                "config.log.tensorboard needs tensorboardX: pip install 'patchail_jax[tensorboard]', or set it to False"
            ) from error
        self._module, self._folder, self._writer = tensorboardX, folder, None

    def rewind(self, frame: int) -> None:
        """What was written after ``frame`` is to be ignored: a run resumed from there will write it again."""
        self.close()
        self._writer = self._module.SummaryWriter(str(self._folder), purge_step=frame + 1 if frame >= 0 else None)

    def scalars(self, values: Mapping[str, float], *, frame: int) -> None:
        """Each of ``values`` under its name."""
        for name, value in values.items():
            self._open().add_scalar(name, value, frame)

    def histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, *, frame: int) -> None:
        """``counts [N]`` between ``edges [N+1]``."""
        middles = (edges[1:] + edges[:-1]) / 2
        self._open().add_histogram_raw(
            name,
            min=float(edges[0]),
            max=float(edges[-1]),
            num=int(counts.sum()),
            sum=float((counts * middles).sum()),
            sum_squares=float((counts * middles**2).sum()),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=frame,
        )

    def film(self, name: str, frames: np.ndarray, *, fps: float, frame: int) -> None:
        """``frames [T,H,W,3] uint8`` as an animated picture."""
        from PIL import Image
        from tensorboardX.proto.summary_pb2 import Summary

        first, *rest = (Image.fromarray(one) for one in frames)
        stream = io.BytesIO()
        first.save(stream, "GIF", save_all=True, append_images=rest, duration=1000 / fps, loop=0)
        height, width = frames.shape[1:3]
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=stream.getvalue())
        self._open().file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), frame)

    def close(self) -> None:
        """Writes out what is waiting."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        if self._writer is None:
            self.rewind(-1)
        return self._writer
