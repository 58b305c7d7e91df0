"""Which compiler of XLA's computes convolutions: on CPUs Eigen, on accelerators and for users with flags as it was."""

import os
import subprocess
import sys

import pytest

import patchail_jax

FLAG = "--xla_cpu_experimental_ynn_fusion_type"
OURS = f"{FLAG}=LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"

# The weight gradient of a convolution, compiled as the package's programs compile it.
WEIGHT_GRADIENT = """
import patchail_jax, jax, jax.numpy as jnp
from patchail_jax.networks.convolution import plain
from patchail_jax.networks.geometry import Layer
x, kernel = jnp.ones((32, 15, 15, 16)), jnp.ones((3, 3, 16, 32))
gradient = jax.grad(lambda kernel: jnp.sum(jnp.sin(plain(x, kernel, Layer(3, 1, 0)))))
text = jax.jit(gradient).lower(kernel).compile().as_text()
assert "ynn_fusion" not in text, text
assert "convolution(" in text, text
"""


@pytest.mark.parametrize(
    ("before", "platforms", "installed", "after"),
    [
        ("", "", (), OURS),
        ("--xla_dump_to=x", "cpu", ("jax_plugins",), f"--xla_dump_to=x {OURS}"),
        (f"{FLAG}=", "cpu", (), f"{FLAG}="),
        ("--xla_dump_to=x", "", ("jax_plugins",), "--xla_dump_to=x"),
        ("", "cuda,cpu", ("jax_plugins",), ""),
        ("", "tpu", ("libtpu",), ""),
    ],
)
def test_the_flag_is_set_for_cpus_alone_and_never_over_the_user_s(monkeypatch, before, platforms, installed, after):
    monkeypatch.setenv("XLA_FLAGS", before)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(patchail_jax, "find_spec", lambda name: "there" if name in installed else None)
    patchail_jax.compile_convolutions_with_eigen()
    assert os.environ["XLA_FLAGS"] == after


def test_a_weight_gradient_is_eigen_s():
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    said = subprocess.run(
        [sys.executable, "-c", WEIGHT_GRADIENT], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
