"""Frames of one demonstration as they come, in memory."""

import numpy as np

_BLOCK = 256  # frames


class KeptFrames:
    """Frames of one size, in blocks: small ones between large pictures that come and go leave holes in memory."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, frame: np.ndarray) -> int:
        """Takes in ``frame [H,W,3]``; returns its bytes."""
        if self._count % _BLOCK == 0:
            self._blocks.append(np.empty((_BLOCK, *frame.shape), np.uint8))
        self._blocks[-1][self._count % _BLOCK] = frame
        self._count += 1
        return frame.nbytes

    def whole(self) -> np.ndarray:
        """All of them, ``[T,H,W,3]``."""
        return (
            np.concatenate(self._blocks)[: self._count]
            if len(self._blocks) > 1
            else self._blocks[0][: self._count].copy()
        )
