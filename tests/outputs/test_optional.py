"""What is only looked at may fail in any way, with one warning for each kind."""

import pytest

from patchail_jax.errors import UserError
from patchail_jax.outputs.optional import OptionalOutputs


class Strange(Exception):
    pass


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ValueError("two\nlines"), UserError("x"), Strange()])
def test_one_warning_for_each_kind(caplog, error):
    optional = OptionalOutputs()
    for kind in ("films", "histograms", "films", "histograms", "films"):
        with optional.looked_at(kind):
            raise error
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    films, histograms = (record.getMessage() for record in caplog.records)
    assert films.startswith("films failed (") and histograms.startswith("histograms failed (")
    assert "\n" not in films and "()" not in films


def test_another_run_is_warned_again_and_a_block_that_works_is_left_alone(caplog):
    for _ in range(2):
        optional = OptionalOutputs()
        with optional.looked_at("films"):
            pass
        assert not caplog.records
    for _ in range(2):
        with OptionalOutputs().looked_at("films"):
            raise ValueError("x" * 10_000)
    assert len(caplog.records) == 2 and len(caplog.records[0].getMessage()) < 400


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_is_no_failure(caplog, stop):
    with pytest.raises(stop), OptionalOutputs().looked_at("films"):
        raise stop
    assert not caplog.records
