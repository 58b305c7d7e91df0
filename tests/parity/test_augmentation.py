"""Random shifts, from the published program's offsets."""

import zlib

import jax.numpy as jnp
import numpy as np

from patchail_jax.run.config import paper_config
from patchail_jax.updates.augmentation import random_shift
from tests.parity.golden import cases
from tests.parity.program import TASK, keys_of


@cases("shift")
def test_shifted_pixels_are_the_same_bit_for_bit(compare, name):
    case, pad = compare.case, paper_config(TASK).agent.shift_pad
    keys, stacks = keys_of(case.inputs["offsets"], pad), jnp.asarray(case.inputs["stacks"])
    shifted = np.asarray(random_shift(keys, stacks, pad=pad))
    compare.same("shifted images, CRC-32", [zlib.crc32(image.tobytes()) for image in shifted], case["crc32"])
    compare.tensors("against bilinear resampling", "shifted", shifted, 1e-4)
