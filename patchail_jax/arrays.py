"""Types of arrays that the pure side shares; axes are those of ``types``, which knows no jax.

A shape stands in its type, axis by axis; ``...`` and ``*name`` are any number of axes. The tests check every call.
"""

from jax import Array
from jaxtyping import Float, PyTree, Real, UInt32

Scalar = Float[Array, ""]
Scalars = dict[str, Scalar]  # by the names under which they are logged
Key = UInt32[Array, "2"]
Keys = UInt32[Array, "B 2"]  # one a sample
TwoKeys = UInt32[Array, "2 2"]
Parameters = PyTree[Float[Array, "..."]]
Images = Real[Array, "B H W C"]  # pixels in 0..255, uint8 or of any float type
