"""A trace is written once, around the updates it should show."""

import jax
import jax.numpy as jnp
import pytest

from patchail_jax.devices.profiler import FIRST, LAST, Profiler


def test_a_trace_of_some_updates_is_written(tmp_path, caplog):
    profiler = Profiler(tmp_path / "profile")
    with caplog.at_level("INFO"):
        for tick in range(1, LAST + 5):
            profiler.tick(jnp.zeros(()) + tick)
            assert bool(list(tmp_path.rglob("*.xplane.pb"))) == (tick >= LAST)
    assert [record.message for record in caplog.records if "trace of" in record.message] == [
        f"trace of the calls {FIRST} to {LAST} of the update: {tmp_path / 'profile'}"
    ]


@pytest.mark.parametrize("calls", [FIRST - 1, FIRST, LAST - 1])
def test_a_run_that_ends_early_keeps_its_trace_or_says_that_there_is_none(tmp_path, caplog, calls):
    profiler = Profiler(tmp_path)
    with caplog.at_level("INFO"):
        for tick in range(calls):
            state = jnp.zeros(()) + tick
            profiler.tick(state)
        state.delete()  # as where rewards are scored, which donates the state
        profiler.close()
    assert bool(list(tmp_path.rglob("*.xplane.pb"))) == (calls >= FIRST)
    words = f"trace of the calls {FIRST} to {calls}" if calls >= FIRST else "no trace is written"
    assert words in caplog.text


def test_without_a_folder_nothing_is_traced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    profiler = Profiler(None)
    for _ in range(LAST + 1):
        profiler.tick(None)
    assert not list(tmp_path.iterdir())


def test_a_trace_that_cannot_be_written_is_one_warning(tmp_path, caplog, monkeypatch):
    def full(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: No space left on device")

    monkeypatch.setattr(jax.profiler, "start_trace", full)
    profiler = Profiler(tmp_path / "profile")
    for _ in range(LAST + 1):
        profiler.tick(jnp.zeros(()))
    assert [record.message for record in caplog.records if "no trace" in record.message] == [
        f"no trace is written to {tmp_path / 'profile'} (RESOURCE_EXHAUSTED: No space left on device), "
        "and the run goes on"
    ]
