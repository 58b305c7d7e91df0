"""Object storage in memory, under gs:// below etils.epath: objects appear whole or not at all, and it can break."""

import io
from collections import Counter
from typing import Any, ClassVar

import fsspec
from etils.epath import backend
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem


class Bucket(MemoryFileSystem):
    """``calls`` counts what was done; with ``left`` not None, everything fails after so many calls."""

    protocol = ("gs", "gcs")
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    calls: ClassVar[Counter[tuple[str, str]]] = Counter()
    left: ClassVar[int | None] = None

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix("gs://"))

    def _call(self, kind, path):
        if Bucket.left is not None:
            if Bucket.left <= 0:
                raise OSError("network is unreachable")
            Bucket.left -= 1
        Bucket.calls[kind, path] += 1
        if not path.startswith("/bucket"):
            raise FileNotFoundError(f"no such bucket: {path}")

    def _open(self, path, mode="rb", **options):
        self._call("write" if mode == "wb" else "read", path)
        return Upload(self, path) if mode == "wb" else super()._open(path, mode, **options)

    def ls(self, path, *arguments, **options):
        self._call("list", self._strip_protocol(path))
        return super().ls(path, *arguments, **options)

    def rm_file(self, path):
        self._call("delete", self._strip_protocol(path))
        super().rm_file(path)


class Upload(io.BytesIO):
    """An object that is there once it is closed."""

    def __init__(self, bucket, path):
        super().__init__()
        self.bucket, self.path = bucket, path

    def close(self):
        if not self.closed:
            self.bucket.store[self.path] = MemoryFile(self.bucket, self.path, self.getvalue())
        super().close()


def make_bucket(monkeypatch, cache):
    """An empty gs://bucket, and an empty cache folder for the copies of its runs."""
    fsspec.register_implementation("gcs", Bucket, clobber=True)
    backend._FileSystemSpecBackend._get_filesystem.cache_clear()
    Bucket.store.clear()
    Bucket.calls.clear()
    monkeypatch.setattr(Bucket, "left", None)
    monkeypatch.setenv("PATCHAIL_CACHE", str(cache))
    monkeypatch.setenv("EPATH_USE_TF", "false")
    return Bucket
