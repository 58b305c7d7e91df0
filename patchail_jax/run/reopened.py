"""A run opened for reading: its config, and a checkpoint's state in the method that made it."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from patchail_jax.devices.data_parallel import Devices
from patchail_jax.errors import UserError
from patchail_jax.maps.explainer import Explainer
from patchail_jax.methods import Method
from patchail_jax.run.clock import agent_step_of
from patchail_jax.run.config import stored_config
from patchail_jax.run.design import action_size_of, make_method, make_specs
from patchail_jax.storage import run_names
from patchail_jax.storage.checkpoint_reading import read_state
from patchail_jax.storage.parameters import kept_numbers, read_parameters
from patchail_jax.storage.remote_files import local_steps
from patchail_jax.storage.run_config import read_config
from patchail_jax.types import Specs, all_finite


class Trained(NamedTuple):
    """What a run has learned; ``number`` is the checkpoint's.

    ``method`` computes in float32, whatever the run's ``config`` says.
    """

    path: Path
    config: ConfigDict
    specs: Specs
    method: Method
    devices: Devices
    state: Any
    number: int

    def explainer(self) -> Explainer:
        """Maps over frames by the run's discriminator; ``UserError`` where its method has none."""
        if self.method.discriminator is None:
            raise UserError(f"the method {self.config.method} has no discriminator to explain")
        return Explainer(self.method.discriminator, self.devices, image_size=self.specs.image_size)

    @property
    def frame(self) -> int:
        """Frames the run had played."""
        return agent_step_of(self.number, self.config) * int(self.config.env.action_repeat)


def open_trained(path: Path, *, number: int | None = None) -> Trained:
    """Reads the run in ``path`` at checkpoint ``number``, None for the newest; the run may be going on.

    Of an older one the parameters alone may be there, and are enough.

    ``UserError`` where there is no run, no such checkpoint, or one of another version of this program.
    """
    try:
        config, number = _config(path), _there(path, number)
        specs = make_specs(config, action_size_of(config))
        float32 = {"precision": "float32"}  # as the parameters are; and CPUs are slow at anything else
        method = make_method(ConfigDict({**config, "network": {**config.network, **float32}}), specs)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} was made by another version of this program ({error})") from error
    # Shapes only: making a real first state takes seconds.
    template = jax.eval_shape(method.init, jax.random.PRNGKey(0))
    state, found = _read(path, number, template)
    if not all_finite(jax.tree.leaves(state)):
        raise UserError(_not_finite(path, found))
    devices = Devices(method, specs, count=1, alone=True)
    return Trained(path, config, specs, method, devices, devices.place(state), found)


def _config(path: Path) -> ConfigDict:
    """The config of the run in ``path``; ``UserError`` names the file and the field that is out of bounds."""
    stored = read_config(path)
    try:
        return stored_config(stored)
    except UserError as error:
        raise UserError(f"{path / 'config.json'}: {error}") from error


def _not_finite(path: Path, number: int) -> str:
    """What is wrong with checkpoint ``number`` of the run in ``path``, and what to do."""
    others = ", ".join(map(str, sorted({*kept_numbers(path / run_names.PARAMETERS), *local_steps(path)} - {number})))
    remedy = f"name another ({others}), or move this one out of there" if others else "put back a copy, or train again"
    return f"checkpoint {number} in {path} has values that are not finite: {remedy}"


def _there(path: Path, number: int | None) -> int | None:
    """``number``, of parameters where the run in ``path`` has no checkpoint (as in examples/); None for the newest.

    ``UserError`` where there are others and not this one.
    """
    kept, whole = kept_numbers(path / run_names.PARAMETERS), local_steps(path)
    if number is None and not whole and kept:
        return kept[-1]
    if number is not None and (kept or whole) and number not in (there := sorted({*kept, *whole})):
        raise UserError(f"there is no checkpoint {number} in {path}; there are {', '.join(map(str, there))}")
    return number


def _read(path: Path, number: int | None, template: Any) -> tuple[Any, int]:
    """The state of checkpoint ``number`` of the run in ``path``, and its number."""
    kept = kept_numbers(path / run_names.PARAMETERS)
    if number is None or number in local_steps(path) or number not in kept:
        return read_state(path / run_names.CHECKPOINTS, template, step=number)
    return read_parameters(path / run_names.PARAMETERS, number, template), number
