"""The same updates on 1, 2 and 8 devices of a process that has eight. Argument: the file for the three states."""

import os
import sys

from tests import xla_flags

if __name__ == "__main__":  # before JAX looks
    os.environ["XLA_FLAGS"] = xla_flags.devices(8)
    import jax
    import numpy as np

    from patchail_jax.devices.data_parallel import Devices, fetch
    from tests.devices.two_processes import SETTINGS
    from tests.small import SPECS, for_devices, make_batch, make_method

    states = {}
    for devices in (1, 2, 8):
        learner = Devices(make_method("patchail_w", **SETTINGS), SPECS, count=devices)
        state = learner.init(0)
        for call in range(3):
            state, _ = learner.update(state, for_devices([make_batch(call, batch=16, expert=8)], devices))
        for path, leaf in jax.tree_util.tree_leaves_with_path(fetch(state)):
            states[f"{devices} {jax.tree_util.keystr(path)}"] = leaf
    np.savez(sys.argv[1], **states)
