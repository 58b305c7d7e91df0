"""What a device computes in a second, by large matrix products: the scale that updates are measured by."""

import time

import jax


def matrix_rate(precision: str) -> float:
    """Floating-point operations per second of large square matrix products on the first device, measured.

    ``precision`` is a dtype's name; the fastest of three rounds after the compilation.
    """
    device = jax.local_devices()[0]
    size, repeats = (1024, 4) if device.platform == "cpu" else (8192, 20)
    with jax.default_device(device):
        matrix = jax.random.normal(jax.random.PRNGKey(0), (size, size), jax.numpy.dtype(precision)) / size**0.5
        product = jax.jit(lambda left, right: left @ right)
        jax.block_until_ready(product(matrix, matrix))
        rates = []
        for _ in range(3):
            began, result = time.perf_counter(), matrix
            for _ in range(repeats):
                result = product(result, matrix)
            jax.block_until_ready(result)
            rates.append(repeats * 2 * size**3 / (time.perf_counter() - began))
    return max(rates)
