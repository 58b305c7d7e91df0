"""Checks of the machine: what is installed, what computes, what draws."""

import contextlib
import os
import shutil
import time
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.programs.finding import Finding, Status
from patchail_jax.storage.versions import versions

STEPS = 30
GIT = ("git_commit", "git_dirty")
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software rasterizer")
_INSTALL = "EXTRAS=cuda12 launch/setup.sh for an NVIDIA GPU, EXTRAS=tpu for a TPU"
NVIDIA, TPU = Path("/dev/nvidiactl"), Path("/dev/accel0")


def check_versions(config: ConfigDict) -> Finding:
    """Python and the packages that compute, against what this program is made for."""
    del config
    found = {name: version for name, version in versions().items() if name not in ("patchail_jax", *GIT)}
    line = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    missing = [name for name, version in found.items() if version is None]
    if missing:
        status: Status = "warning" if missing == ["wandb"] else "problem"  # a run goes on without W&B
        return Finding("versions", status, f"not installed: {', '.join(missing)}", "launch/setup.sh")
    if int(found["mujoco"].split(".")[0]) > 3:
        return Finding("versions", "problem", line, "dm_control breaks with mujoco 4: pip install 'mujoco>=3.17,<4'")
    return Finding("versions", "ok", line)


def check_devices(config: ConfigDict) -> Finding:
    """What JAX computes on, and whether it overlooks an accelerator."""
    import jax

    from patchail_jax.devices.hosts import look

    look()
    devices = jax.local_devices()
    kind, platform = devices[0].device_kind, devices[0].platform
    memory = (devices[0].memory_stats() or {}).get("bytes_limit")
    line = f"{len(devices)} x {kind}" + (f", {memory / 1024**3:.1f} GiB each" if memory else "")
    if config.devices > len(devices):
        return Finding("devices", "problem", line, f"config.devices is {config.devices}; 0 takes all there are")
    if config.platform not in ("", platform):
        remedy = "JAX_PLATFORMS=cpu" if config.platform == "cpu" else _INSTALL
        return Finding("devices", "problem", f"{line}, and config.platform is {config.platform}", remedy)
    if platform == "cpu" and (NVIDIA.exists() or shutil.which("nvidia-smi")):
        line = f"{line}, and an NVIDIA GPU that JAX does not see"
        return Finding("devices", "warning", line, "EXTRAS=cuda12 launch/setup.sh")
    if platform == "cpu" and TPU.exists():
        line = f"{line}, and a TPU that JAX does not see"
        return Finding("devices", "warning", line, "EXTRAS=tpu launch/setup.sh")
    if platform == "cpu" and config.env.image_size >= 64:
        line = f"{line}: on two cores the paper's configuration takes about 45 s an update"
        return Finding("devices", "warning", line, "a GPU or TPU; on a CPU --config=configs/quickstart.py")
    return Finding("devices", "ok", line)


def check_matrix_rate(config: ConfigDict) -> Finding:
    """Operations a second of a large matrix product, in the run's precision."""
    import jax

    from patchail_jax.devices.hosts import look
    from patchail_jax.devices.matrix_rate import matrix_rate
    from patchail_jax.networks.layers import compute_dtype

    look()
    on_cpu = jax.local_devices()[0].platform == "cpu"
    compute_dtype(config.network.precision)  # refuses one that is none
    line = f"{matrix_rate(config.network.precision) / 1e12:.3g} TFLOP/s in {config.network.precision}"
    if on_cpu and config.network.precision == "bfloat16":
        return Finding("matrix rate", "warning", line, "on a CPU set config.network.precision=float32")
    return Finding("matrix rate", "ok", line)


def check_rendering(config: ConfigDict) -> Finding:
    """What draws the run's environment, and how long an agent step of it takes, with its frame."""
    if config.env.observation == "features":
        return Finding("rendering", "ok", "not needed: features are not rendered")
    from patchail_jax.run.design import environment_factory

    with contextlib.closing(environment_factory(config)()) as environment:
        height, width = environment.reset(config.seed).frame.shape[:2]
        before, steps, last = time.perf_counter(), 0, False
        while steps < STEPS and not last:
            last, steps = environment.step(np.zeros(environment.action_size)).last, steps + 1
        milliseconds, name = 1e3 * (time.perf_counter() - before) / steps, environment.renderer or ""
    software = any(word in name.lower() for word in SOFTWARE)
    drawn = f"by {os.environ['MUJOCO_GL']}, {name}{', software rendering' * software}"
    if config.env.factory:
        drawn = f"from {config.env.factory}"
    line = f"{width}x{height} {drawn}: {milliseconds:.1f} ms an agent step"
    if software and config.env.quality == "full":
        remedy = "a GPU's EGL, more config.env.num_envs, or config.env.quality=fast (other pixels than the paper's)"
        return Finding("rendering", "warning", line, remedy)
    return Finding("rendering", "ok", line)
