"""Where the cache folder is."""

from patchail_jax.storage import cache


def test_default_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PATCHAIL_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "general"))
    assert cache.default_cache_dir() == tmp_path / "own"
    monkeypatch.delenv("PATCHAIL_CACHE")
    assert cache.default_cache_dir() == tmp_path / "general" / "patchail_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.default_cache_dir() == tmp_path / ".cache" / "patchail_jax"
