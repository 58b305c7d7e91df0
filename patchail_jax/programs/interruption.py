"""SIGINT, SIGTERM and SIGHUP as a question the loop asks between two steps."""

import signal
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets ``signal_number``; a SIGINT after it acts as usual.

    Another SIGTERM or SIGHUP changes nothing: schedulers send several, and SIGKILL to what does not end in time. Where
    SIGHUP is ignored, as under nohup, it stays so.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number in list(self._previous):
            self._restore(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number = number
            self._restore(signal.SIGINT)

    def _restore(self, number: int) -> None:
        if number in self._previous:
            signal.signal(number, self._previous.pop(number))  # type: ignore[arg-type]
