"""hopper_stand: ``python -m patchail_jax.main --config=configs/hopper.py``

The paper's configuration. Its score for PatchAIL (Table 1, mean and std of 5 seeds): 235 (128) at 500,000 frames,
781 (37) at 1,000,000. Another method is a suffix: ``--config=configs/hopper.py:drqv2``.
"""

from ml_collections import ConfigDict

from patchail_jax.run.config import paper_config


def get_config(method: str = "patchail") -> ConfigDict:
    """The run's configuration."""
    return paper_config("hopper_stand", method)
