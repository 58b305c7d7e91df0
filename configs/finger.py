"""finger_spin: ``python -m patchail_jax.main --config=configs/finger.py``

The paper's configuration. Its score for PatchAIL (Table 1, mean and std of 5 seeds): 850 (32) at 500,000 frames,
875 (38) at 1,000,000. Another method is a suffix: ``--config=configs/finger.py:drqv2``.
"""

from ml_collections import ConfigDict

from patchail_jax.run.config import paper_config


def get_config(method: str = "patchail") -> ConfigDict:
    """The run's configuration."""
    return paper_config("finger_spin", method)
