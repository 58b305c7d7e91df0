"""A stop that was saved is an interrupt with the signal's number; one that was not says so."""

import signal
from types import SimpleNamespace

import pytest

from patchail_jax.errors import UserError
from patchail_jax.loop import save_and_stop


def stop(*, saved):
    run = SimpleNamespace(
        hosts=SimpleNamespace(processes=1), snapshot=SimpleNamespace(save=lambda *, stopping: stopping and saved)
    )
    save_and_stop(run, lambda: signal.SIGTERM)


def test_a_stop_that_was_saved_has_its_signal_s_number():
    with pytest.raises(KeyboardInterrupt) as interrupt:
        stop(saved=True)
    assert interrupt.value.args == (signal.SIGTERM,)


def test_a_stop_that_was_not_saved_is_no_interrupt():
    with pytest.raises((UserError, KeyboardInterrupt)) as stopped:  # an interrupt would end pytest
        stop(saved=False)
    assert isinstance(stopped.value, UserError)
    assert str(stopped.value).startswith("stopped by signal 15, and nothing could be saved")
