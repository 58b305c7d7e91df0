"""XLA's flags for tests, which compile far longer than they compute: nothing optimised, and the older of its two code
generators for fusions, which takes half the time (JAX 0.12 has it no more, and ignores its option).
"""

FAST_COMPILE = "--xla_backend_optimization_level=0 --xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"


def devices(count: int) -> str:
    """The same, with ``count`` virtual CPU devices."""
    return f"--xla_force_host_platform_device_count={count} {FAST_COMPILE}"
