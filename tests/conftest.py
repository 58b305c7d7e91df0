"""Four virtual CPU devices, strict ranks and no wandb for every test."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["WANDB_MODE"] = "disabled"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

from patchail_jax.envs.rendering import choose_backend

choose_backend()
