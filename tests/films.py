"""Films as people have them, written by PyAV."""

from fractions import Fraction

import av
import numpy as np

CODECS = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".mpg": "mpeg2video"}


def film(path, frames, fps, *, times=None, codec=None, alpha=None, **stream_options):
    """``frames [T,H,W,3] uint8`` at ``fps``, or at ``times`` in seconds; ``alpha`` is written as a fourth channel."""
    codec = codec or CODECS.get(path.suffix, "libx264")
    format = "rgba" if alpha is not None else "rgb24"
    with av.open(f"file:{path}", "w", format={".ts": "mpegts"}.get(path.suffix)) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.bit_rate = 4_000_000  # so that greys stay what they are
        stream.pix_fmt = "argb" if alpha is not None else "yuv420p"
        for key, value in stream_options.items():
            setattr(stream.codec_context, key, value)
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 90000)
        for number, picture in enumerate(frames):
            if alpha is not None:
                picture = np.concatenate([picture, np.full((*picture.shape[:2], 1), alpha, np.uint8)], axis=2)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=format)
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sound(path):
    """A second of silence, and no picture."""
    with av.open(f"file:{path}", "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
