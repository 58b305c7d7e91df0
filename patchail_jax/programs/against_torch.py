"""PatchAIL's update here and in PyTorch, in turns on one device: ``patchail bench --against=torch``.

``torch_update`` is the same update, written as PyTorch programs are. Its batch lies on the device already, whereas here
drawing batches is part of what is timed. Both precisions are compared on a GPU, float32 alone on a CPU.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from patchail_jax.errors import UserError, one_line
from patchail_jax.programs.update_timing import Runner, medians, update_here
from patchail_jax.types import Batch, Specs

# What ``torch_update`` does: PatchAIL as in the paper.
ONLY: Mapping[str, Any] = {
    "cloning.weight_initial": 0.0,
    "discriminator.agent_successor": "one_step",
    "discriminator.agent_views": "own",
    "discriminator.architecture": "convolutional",
    "discriminator.augmentation": "random_shift",
    "discriminator.expert_successor": "one_step",
    "discriminator.observation": "pair",
    "discriminator.penalty_groups": "samples",
    "discriminator.penalty_of": "logit",
    "env.observation": "pixels",
    "network.trunk": "own",
    "reward.aggregation": "mean",
    "reward.augmented": False,
    "reward.form": "airl",
    "reward.pairs": "steps",
    "similarity.regularizer": "none",
}


def refuse(config: ConfigDict) -> None:
    """``UserError`` without a torch for JAX's device, and for a config that ``torch_update`` does not cover.

    It must come before JAX computes anything, because it also leaves PyTorch some of a GPU's memory.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    try:
        import torch
    except (ImportError, OSError) as error:
        raise UserError(f"no torch ({one_line(error, 200)}): pip install '.[torch]'") from error
    for name, value in ONLY.items():
        group, field = name.split(".")
        if config[group][field] != value:
            raise UserError(f"--against=torch is for config.{name}={value}; it is {config[group][field]}")
    platform = jax.default_backend()
    if platform not in ("cpu", "gpu"):
        raise UserError(f"--against=torch is for CPUs and GPUs, and JAX runs on {platform} here")
    if platform == "gpu" and not torch.cuda.is_available():
        raise UserError("this torch sees no GPU: install one that does, or set JAX_PLATFORMS=cpu to compare on the CPU")


def compare(
    cases: Mapping[str, ConfigDict],
    action_size: int,
    *,
    seconds: float,
    say: Callable[[str], None],
    result: dict[str, Any],
) -> None:
    """Times each of the ``cases``, for so many ``seconds`` on either side, and puts the numbers into ``result``."""
    import jax
    import torch

    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    result |= {"device": jax.local_devices()[0].device_kind, "devices": 1, "jax": jax.__version__}
    result["torch"] = torch.__version__
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # as JAX: products of float32 on a GPU's tensor cores
        torch.backends.cudnn.benchmark = True
    for label, case in cases.items():
        if device == "cpu" and case.network.precision != "float32":
            continue
        case.devices = 1
        with update_here(case, action_size) as here:
            theirs = update_in_torch(case.to_dict(), here.specs, here.batch, device)
            ours, other = medians((here.runner, theirs), seconds=seconds)
        ratios = {"ratio": other.clock / ours.clock, "cpu_ratio": other.cpu / ours.cpu}
        result["update"][label] = {
            "ms": ours.clock,
            "cpu_ms": ours.cpu,
            "torch_ms": other.clock,
            "torch_cpu_ms": other.cpu,
            "operations": here.operations,
            **ratios,
        }
        by_cpu = f" ({ratios['cpu_ratio']:.2f} in CPU time)" if device == "cpu" else ""
        say(
            f"update        {label:52s} {ours.clock:8.2f} ms, PyTorch {other.clock:8.2f} ms: "
            f"{ratios['ratio']:.2f} times as long{by_cpu}"
        )


def update_in_torch(config: Mapping[str, Any], specs: Specs, batch: Batch, device: str) -> Runner:
    """The update of ``torch_update`` on ``batch``, whose random numbers are drawn anew each time."""
    import torch

    from patchail_jax.programs import torch_update

    learner, tensors = torch_update.PatchAIL(config, specs, device), torch_update.to_device(batch, device)

    def call() -> None:
        learner.update(tensors, learner.draw(tensors))

    return Runner(call, torch.cuda.synchronize if device == "cuda" else lambda: None, 1)
