"""What the log says of an interval of updates."""

import numpy as np
import pytest

from patchail_jax.run.scalars import Scalars


@pytest.mark.parametrize(("magnitude", "said"), [(0.99999, True), (0.997, False)])
def test_an_actor_at_its_bounds_is_said_though_its_gradient_is_not_0(caplog, magnitude, said):
    """Measured: 0.997 at the most in runs that learned; 0.9999 and a gradient of 1e-7 in one that did not."""
    scalars = Scalars(updates_per_call=1)
    row = {"actor/mean_magnitude": magnitude, "actor/gradient_norm": 1e-7}
    state = {"names": list(row), "values": np.array([list(row.values())] * 3), "returns": np.zeros(0)}
    for _ in range(2):
        scalars.load_state(state)
        scalars.close(3)
    assert caplog.text.count("gradient has been near 0 for 3 updates: its actions are at their bounds") == int(said)
