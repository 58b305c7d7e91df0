"""One of two processes with two CPU devices each makes two updates. Arguments: port, process, file, mapping."""

import os
import sys

from tests import xla_flags

if __name__ == "__main__":  # before JAX looks; not where a test imports the settings
    os.environ["XLA_FLAGS"] = xla_flags.devices(2)

import jax
import numpy as np

from patchail_jax.devices.data_parallel import Devices, fetch
from patchail_jax.devices.hosts import join
from patchail_jax.errors import UserError
from tests.small import SPECS, for_devices, make_batch, make_method

SETTINGS = {
    "agent__optimizer": "sgd",
    "agent__critic_learning_rate": 1e-2,
    "agent__actor_learning_rate": 1e-2,
    "discriminator__optimizer": "sgd",
    "discriminator__learning_rate": 1e-2,
}


def half(batches, process):
    """Leaves ``[4,K,B/4,...]`` of a whole batch to the two devices of ``process``."""
    return jax.tree.map(lambda leaf: leaf[2 * process : 2 * process + 2], batches)


if __name__ == "__main__":
    port, process, file, mapping = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    hosts = join(coordinator=f"127.0.0.1:{port}", count=2, index=process, lost_seconds=30)
    learner = Devices(make_method("patchail_w", **SETTINGS), SPECS, mapping=mapping)
    state = learner.place(hosts.first(fetch(learner.init(process))))  # the first process's seed counts
    for call in range(2):
        state, _ = learner.update(state, learner.spread(half(for_devices([make_batch(call)], 4), process)))
    if process == 0:  # what one process does by itself waits for nobody
        alone = Devices(make_method("patchail_w", **SETTINGS), SPECS, count=1, alone=True)
        alone.publish(alone.place(fetch(state)))
    refused = ""
    try:
        with hosts.refused_together():
            if process == 1:
                raise UserError("no such file")
    except UserError as error:
        refused = str(error)
    agreed = [hosts.smallest(7 + process), *hosts.gather(process)]
    np.savez(file, *jax.tree.leaves(fetch(state)), agreed=agreed, refused=refused)
