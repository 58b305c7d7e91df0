"""Compiles programs for accelerators that this machine lacks, by the compilers in XLA's CUDA and TPU plugins.

Nothing runs. The compilers pick no algorithms by timing, so the scratch memory of cuDNN's convolutions is not counted.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from patchail_jax.errors import UserError, one_line

_MOST = 4  # devices of one kind that are described together
# What the compilers must be told before JAX computes anything: that no accelerator is here, and not to ask for one.
_ENVIRONMENT: Mapping[str, str] = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # another process may use libtpu meanwhile: nothing runs here
    "JAX_PLATFORMS": "cpu",
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
_FLAGS = (
    "--xla_gpu_autotune_level=0",
    # Products by cuBLAS: Triton's have tiles that are chosen by timing, and without it there may be none that fit.
    "--xla_gpu_enable_triton_gemm=false",
    "--xla_gpu_enable_command_buffer=",  # kernels one by one, so that they can be counted
    f"--xla_force_host_platform_device_count={_MOST}",  # batches are shared by as many devices here
)
# Of a compiled program's instructions, those that start nothing on the device.
_NOTHING = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "partition-id", "replica-id")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.-]+ = .*?[\])}] ([a-z][a-z-]*)\(", re.MULTILINE)
_BODY = re.compile(r"(?:body|to_apply|branch_computations|true_computation|false_computation)=\{?([^},\s]+)")


class Target(NamedTuple):
    """A kind of device, as its makers describe it; ``cuda`` is XLA's own description of a GPU, empty for a TPU."""

    platform: str
    topology: str
    matrix_rate: Mapping[str, float]  # operations per second of dense matrix products, by the inputs' precision
    bandwidth: float  # bytes per second to and from memory
    memory: float  # bytes
    cuda: str = ""


class Compiled(NamedTuple):
    """What one device takes for a compiled program. A loop's body counts once."""

    memory_bytes: int  # arguments, results and what lies between; results that take an argument's place count once
    kernels: int
    bytes: float  # read from memory and written to it

    def least_seconds(self, target: Target, operations: float, precision: str) -> tuple[float, str]:
        """The roofline: no less than ``operations`` at the matrix rate, or all bytes at the bandwidth; and which.

        Time between kernels comes on top.
        """
        return max(
            (operations / target.matrix_rate[precision], "operations"), (self.bytes / target.bandwidth, "memory")
        )


def _target(platform: str, topology: str, bfloat16: float, float32: float, bandwidth: float, memory: float) -> Target:
    return Target(platform, topology, {"bfloat16": bfloat16, "float32": float32}, bandwidth, memory)


def _gpu(
    plain: Target, name: str, *, major: int, cores: int, fpus: int, shared: int, clock: float, cache: int
) -> Target:
    """``plain`` with the fields of XLA's ``GpuTargetConfigProto`` that its compiler reads."""
    described = (
        f"gpu_device_info {{ memory_bandwidth: {plain.bandwidth:.0f} device_memory_size: {plain.memory:.0f} "
        f"threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 core_count: {cores} "
        f"fpus_per_core: {fpus} shared_memory_per_block: 49152 shared_memory_per_core: {shared} "
        f"shared_memory_per_block_optin: {shared - 1024} registers_per_core_limit: 65536 "
        f"registers_per_block_limit: 65536 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 "
        f"block_dim_limit_z: 65535 thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64 "
        f"clock_rate_ghz: {clock} l2_cache_size: {cache} cuda_compute_capability {{ major: {major} }} }} "
        f'platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 10 }} device_description_str: "{name}"'
    )
    return plain._replace(cuda=described)


_GPUS = "1 x 1 x {}"  # of one machine
# Rates are the data sheets', without sparsity. float32 products are TF32 on these GPUs, and bfloat16 on TPUs.
TARGETS: Mapping[str, Target] = {
    "h100": _gpu(
        _target("cuda", _GPUS, 989e12, 495e12, bandwidth=3.35e12, memory=80e9),
        "NVIDIA H100 80GB HBM3", major=9, cores=132, fpus=128, shared=233472, clock=1.98, cache=52428800,
    ),
    "a100": _gpu(
        _target("cuda", _GPUS, 312e12, 156e12, bandwidth=2.04e12, memory=80e9),
        "NVIDIA A100-SXM4-80GB", major=8, cores=108, fpus=64, shared=167936, clock=1.41, cache=41943040,
    ),
    "v5e-4": _target("tpu", "v5e:2x2", 197e12, 197e12, bandwidth=0.819e12, memory=16e9),
    "v6e-4": _target("tpu", "v6e:2x2", 918e12, 918e12, bandwidth=1.64e12, memory=32e9),
}  # fmt: skip


def prepare() -> None:
    """Sets the environment for ``describe``; it must come before JAX computes anything."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*flags, *_FLAGS])
    os.environ.update(_ENVIRONMENT)
    import jax

    jax.config.update("jax_platforms", "cpu")  # the variable comes too late where jax has been imported
    assert jax.local_device_count() >= _MOST


def describe(name: str, count: int) -> list[Any]:
    """``count`` (at most 4) devices of the kind ``name``, for ``jax.jit`` and ``jax.pmap`` to compile for, not to run.

    ``UserError`` without the plugin that has its compiler.
    """
    from jax.experimental import topologies

    target = TARGETS[name]
    where: dict[str, str] = {"topology_name": target.topology}
    if target.cuda:
        where = {"topology_name": "", "topology": target.topology.format(count), "target_config": target.cuda}
    try:
        found = topologies.get_topology_desc(platform=target.platform, **where)
    except (RuntimeError, KeyError, ImportError) as error:
        raise UserError(
            f"no compiler for {name} here ({one_line(error, 200)}): pip install '.[aot]', best into an "
            "environment of its own"
        ) from error
    return list(found.devices[:count])


def compiled(lowered: Any) -> Compiled:
    """Compiles a lowered function (``jax.stages.Lowered``) for its described devices; raises what the compiler does."""
    import jax
    from jaxlib import _jax  # has the only count of a CUDA program's bytes

    program = lowered.compile()
    taken = program.memory_analysis()
    memory = taken.argument_size_in_bytes + taken.output_size_in_bytes + taken.temp_size_in_bytes
    memory += taken.generated_code_size_in_bytes - taken.alias_size_in_bytes
    (module,) = program.runtime_executable().hlo_modules()
    counted = _jax.hlo_module_cost_analysis(jax.devices("cpu")[0].client, module)
    return Compiled(int(memory), kernels(program.as_text()), float(counted["bytes accessed"]))


def kernels(program: str) -> int:
    """Instructions of a compiled program's text that start something on the device, loops' bodies once."""
    computations = {}
    for part in program.split("\n\n"):
        header, _, body = part.strip().partition("\n")
        if header.endswith("{"):
            words = header.split()
            computations["ENTRY" if words[0] == "ENTRY" else words[0]] = body

    def count(name: str) -> int:
        found = 0
        for line in computations.get(name, "").splitlines():
            match = _INSTRUCTION.match(line)
            if match is None or match[1] in _NOTHING or match[1].endswith("-done"):
                continue
            inside = _BODY.findall(line) if match[1] in ("while", "conditional", "call") else []
            found += sum(map(count, inside)) if inside else 1
        return found

    return count("ENTRY")
