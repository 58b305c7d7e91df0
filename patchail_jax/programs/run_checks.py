"""Checks of a run's config against this machine: method, memory, demonstrations, folders, W&B."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.errors import UserError
from patchail_jax.files.home import expanded
from patchail_jax.programs.finding import Finding
from patchail_jax.types import Specs

if TYPE_CHECKING:
    from patchail_jax.methods import Method

_GIB = 1024**3


def check_method(config: ConfigDict) -> Finding:
    """Whether the config's fields make a method and a run: all that a run would refuse."""
    import jax

    from patchail_jax.devices.hosts import look
    from patchail_jax.run.inheritance import inherited
    from patchail_jax.run.refusals import refuse

    specs, method = _designed(config)
    look()
    devices, processes = config.devices or jax.local_device_count(), max(1, config.hosts.count)
    refuse(config, method, specs, devices=devices, processes=processes)
    if config.init_from:
        inherited(config, method)
    return Finding("method", "ok", f"{config.method} on {config.env.task}")


def check_memory(config: ConfigDict) -> Finding:
    """The full replay and the rendered demonstrations against what is free."""
    from patchail_jax.storage import memory

    experts = _expert_bytes(config)
    of = "replay with the demonstrations' frames" if experts else "replay"
    return Finding("memory", "ok", memory.require_memory(_replay_bytes(config) + experts, of=of))


def check_demonstrations(config: ConfigDict) -> Finding:
    """The expert's file, where the method needs one, as the run would read it."""
    from patchail_jax.demos.task_fit import refuse_actions
    from patchail_jax.run.design import action_size_of, select_demonstrations

    needs = _designed(config)[1].needs
    if needs.task_reward:
        return Finding("demonstrations", "ok", f"{config.method} needs none")
    source, whole, seen = select_demonstrations(config, needs)
    if whole.actions is not None:
        refuse_actions(whole.actions, action_size_of(config), task=config.env.task, source=str(source))
    actions = "with actions" if seen.actions is not None else "without actions"
    return Finding("demonstrations", "ok", f"{len(seen.observed)} {actions} in {source}")


def check_run_folder(config: ConfigDict) -> Finding:
    """Whether the run folder is this run's or nobody's, can be written, and holds the checkpoints of a full replay."""
    from patchail_jax.run.design import run_folder_of
    from patchail_jax.storage.remote import check, is_remote, local_folder
    from patchail_jax.storage.run_config import refuse_other_run
    from patchail_jax.storage.run_folder import is_running

    location = run_folder_of(config)
    if is_remote(location):
        check(location)
    folder = local_folder(location).absolute()
    refuse_other_run(folder, config=config.to_dict())
    if is_running(folder):
        remedy = "wait for it, or set config.run_folder"
        return Finding("run folder", "problem", f"another process is running in {folder}", remedy)
    parent = _nearest(folder)
    if not _is_writable(parent):
        return Finding("run folder", "problem", f"{parent} cannot be written", "set config.run_folder")
    free, needed = shutil.disk_usage(parent).free, (config.checkpoint.keep + 1) * _replay_bytes(config)
    line = f"{folder}, {free / _GIB:.1f} GiB free for up to {needed / _GIB:.1f} GiB of checkpoints"
    if needed > free:
        # Compressed frames take less, and a full disk costs a checkpoint and not the run.
        return Finding("run folder", "warning", line, "lower config.checkpoint.keep, or set config.run_folder")
    return Finding("run folder", "ok", line)


def check_cache(config: ConfigDict) -> Finding:
    """Whether rendered demonstrations can be kept."""
    from patchail_jax.storage.cache import default_cache_dir

    folder = expanded(config.demos.cache_dir or default_cache_dir()).absolute()
    parent = _nearest(folder)
    if _is_writable(parent):
        return Finding("cache", "ok", str(folder))
    remedy = "set config.demos.cache_dir, or every start renders the demonstrations again"
    return Finding("cache", "warning", f"{parent} cannot be written", remedy)


def check_wandb(config: ConfigDict) -> Finding:
    """Where W&B's numbers go."""
    from patchail_jax.outputs.dashboards import WANDB_MODES, has_wandb_key, wandb_mode_for

    if config.log.wandb_mode not in WANDB_MODES:
        return Finding("W&B", "problem", f"no mode {config.log.wandb_mode!r}", f"one of {', '.join(WANDB_MODES)}")
    mode, key = wandb_mode_for(config.log.wandb_mode), has_wandb_key()
    line = f"{mode}, {'a key is there' if key else 'no key'}"
    if mode == "online" and not key:
        return Finding("W&B", "warning", line, "wandb login, or WANDB_API_KEY; without one the run goes on without W&B")
    return Finding("W&B", "ok", line)


def _designed(config: ConfigDict) -> tuple[Specs, "Method"]:
    """The sizes and the method that the run would have."""
    from patchail_jax.run.design import action_size_of, make_method, make_specs

    specs = make_specs(config, action_size_of(config))
    return specs, make_method(config, specs)


def _replay_bytes(config: ConfigDict) -> int:
    from patchail_jax.replay.ring import nbytes
    from patchail_jax.run.sizes import ring_slots

    return nbytes(ring_slots(config), _designed(config)[0])


def _expert_bytes(config: ConfigDict) -> int:
    from patchail_jax.run.design import select_demonstrations

    needs = _designed(config)[1].needs
    if needs.task_reward:
        return 0
    try:
        images = select_demonstrations(config, needs).seen.observed.shape[:2]
    except UserError:  # a finding of its own
        return 0
    return int(np.prod(images)) * 3 * int(config.env.image_size) ** 2


def _nearest(folder: Path) -> Path:
    """The folder, or the closest one around it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _is_writable(folder: Path) -> bool:
    """Tried, and not asked for: root is told yes where the file system says no."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
