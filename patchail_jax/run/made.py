"""What a config makes before anything is allocated: its sizes, its method, and the devices that share its batches."""

from ml_collections import ConfigDict

from patchail_jax.devices.data_parallel import Devices
from patchail_jax.methods import Method
from patchail_jax.run.design import make_method, make_specs
from patchail_jax.run.refusals import refuse
from patchail_jax.types import Specs


def made(config: ConfigDict, action_size: int, *, processes: int = 1) -> tuple[Specs, Method, Devices]:
    """The config's ``Specs``, ``Method`` and ``Devices`` on this machine; ``UserError`` for a config of no run."""
    specs = make_specs(config, action_size)
    method = make_method(config, specs)
    devices = Devices(method, specs, count=config.devices, mapping=config.device_mapping)
    refuse(config, method, specs, devices=devices.count, processes=processes)
    return specs, method, devices
