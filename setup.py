"""Package definition; tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"', (HERE / "patchail_jax/__init__.py").read_text(), re.MULTILINE)
assert VERSION is not None

setup(
    name="patchail_jax",
    version=VERSION.group(1),
    description="Visual imitation learning with patch rewards (PatchAIL) in JAX",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["patchail_jax", "patchail_jax.*"]),
    # What launch/ has beside modules stays out: it installs from a checkout, and has nothing to do without one.
    package_data={
        "patchail_jax": ["third_party/*"],
        "patchail_jax.demos": ["shipped/*"],
        "patchail_jax.reports": ["page.html"],
    },
    entry_points={"console_scripts": ["patchail = patchail_jax.__main__:run"]},
    install_requires=[
        "absl-py>=2.1",
        "av>=14,<20",  # it changes what it takes from one whole number to the next
        "chex>=0.1.90",
        # dm_control 1.0.50 asks for any newer mujoco, and mujoco 4 breaks it.
        "dm_control>=1.0.50,<1.1",
        "dm-env>=1.6",
        "filelock>=3.30",
        "flax>=0.12",
        "jax>=0.10,<0.13",
        "jaxtyping>=0.3",
        "matplotlib>=3.9",
        "ml_collections>=1.1",
        "mujoco>=3.17,<4",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.11.30",
        "ott-jax>=0.6",
        "pillow>=10",
        "psutil>=6",
        "rich>=13",
        "tqdm>=4.66",
        "wandb>=0.20",
    ],
    extras_require={
        "docs": ["latex2mathml>=3.77", "mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1.0"],
        "cuda12": ["jax[cuda12]>=0.10,<0.13"],
        "cuda13": ["jax[cuda13]>=0.10,<0.13"],
        "tpu": ["jax[tpu]>=0.10,<0.13"],
        # patchail bench --compile_for: XLA's compilers of the two plugins, with CUDA's ptxas but not its libraries.
        # jax[tpu] names the libtpu that fits: what a newer one compiles for v6e, jaxlib cannot read.
        "aot": ["jax-cuda12-plugin>=0.10,<0.13", "nvidia-cuda-nvcc-cu12>=12.6", "jax[tpu]>=0.10,<0.13"],
        "torch": ["torch>=2.4"],  # patchail bench --against=torch
        "tensorboard": ["tensorboardX>=2.6.2"],
        "gymnasium": ["gymnasium[classic-control]>=1.0"],
        "gcs": ["etils[epath]>=1.9", "gcsfs>=2025.12"],
        "s3": ["etils[epath]>=1.9", "s3fs>=2025.12"],
        "az": ["etils[epath]>=1.9", "adlfs>=2025.8"],
        "hdf5": ["h5py>=3.10"],
        "lerobot": ["pyarrow>=16"],
        "minari": ["h5py>=3.10", "minari>=0.5"],
        "launch": ["pyyaml>=6", "submitit>=1.5,<2"],
        # What tests hold manifests against; SkyPilot brings much along, and may want an environment of its own.
        "launch-test": ["jsonschema>=4.23", "kubernetes-validate>=1.31", "skypilot>=0.11"],
        "dev": [
            "beartype>=0.18",
            "etils[epath]>=1.9",
            "gymnasium>=1.0",
            "h5py>=3.10",
            "hypothesis>=6.100",
            "import-linter>=2.3",
            "ipykernel>=6.29",
            "minari>=0.5",
            "mypy>=1.15",
            "nbclient>=0.10",
            "pre-commit>=4",
            "pyarrow>=16",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "pyyaml>=6",
            "ruff>=0.12",
            "selenium>=4.20",
            "setuptools>=77",  # the tests build the wheel
            "tensorboardX>=2.6.2",
            "submitit>=1.5,<2",
            "types-pyyaml",
            "types-tqdm",
            "zarr>=3",
        ],
    },
)
