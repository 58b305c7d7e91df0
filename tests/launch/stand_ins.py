"""Programs of a cluster or a cloud, by stand-ins that a test finds first on its PATH."""

import importlib


def install(name, tmp_path, monkeypatch, *, behind):
    """Those of ``tests.launch.fake_<name>``, before the PATH ``behind``; where they keep what they were given."""
    state, programs = tmp_path / f"fake_{name}", tmp_path / "bin"
    for folder in (state, programs):
        folder.mkdir()
    monkeypatch.setenv(f"FAKE_{name.upper()}", str(state))
    monkeypatch.setenv("PATH", f"{programs}:{behind}")
    importlib.import_module(f"tests.launch.fake_{name}").install(programs)
    return state
