"""Runs of one module share what they compile.

A run traces, lowers and compiles its own, which is as it should be and takes a test longer than all that it computes.
Runs whose methods and devices are equal have equal programs, so the first run's serve the others.
"""

import json

from patchail_jax.devices.data_parallel import Devices
from patchail_jax.methods import METHODS

# All that a method may read: one that reads more of the config fails here, and is not given another's program.
GROUPS = ("agent", "network", "transformer", "discriminator", "reward", "similarity", "cloning", "optimal_transport")


def share(patched):
    """Until ``patched``, a ``pytest.MonkeyPatch``, is undone."""
    methods, devices, begin = {}, {}, Devices.__init__

    def sharing(name, make):
        def method(specs, config):
            groups = {group: config[group] for group in GROUPS}
            key = name, specs, json.dumps(groups, sort_keys=True)
            if key not in methods:
                methods[key] = make(specs, groups)
            return methods[key]

        return method

    def begin_as_the_first(self, method, specs, **places):
        key = method, specs, *sorted(places.items())
        if key not in devices:
            begin(self, method, specs, **places)
            devices[key] = self  # not its dict alone: with Python 3.13.0 what that held had lost attributes
        for name, value in vars(devices[key]).items():
            setattr(self, name, value)

    for name, make in METHODS.items():
        patched.setitem(METHODS, name, sharing(name, make))
    patched.setattr(Devices, "__init__", begin_as_the_first)
