"""What a program of one's own gives: numbers, arrays and states, refused in one line where they do not fit."""

import math
from typing import Any, cast

import jax
import numpy as np

from patchail_jax.errors import UserError

Shape = tuple[int | str, ...]  # an axis by its length, or by a name where any length will do


def whole_number(name: str, value: Any, *, least: float = -math.inf, most: float = math.inf) -> int:
    """``value`` as an int; ``UserError`` unless it is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        bounds = f" from {least} to {most}" if math.isfinite(least) else ""
        raise UserError(f"{name} is {value!r}; it must be a whole number{bounds}")
    return int(value)


def array(name: str, value: Any) -> np.ndarray:
    """``value`` as an array; ``UserError`` for pieces of several sizes, a mask, which would be lost, and a trace."""
    _refuse_trace(name, value)
    if isinstance(value, np.ma.MaskedArray):
        raise UserError(f"{name} is a masked array: fill it first, as {name}.filled(0)")
    try:
        return np.asarray(value)
    except ValueError as error:  # a list of arrays of several sizes
        raise UserError(f"{name} cannot be made one array: all of it must have one size ({error})") from error


def fitting(name: str, value: Any, shape: Shape, dtype: Any = None, *, least: int = 1) -> np.ndarray:
    """``value`` as an array of ``shape``: of ``dtype``, or of float32 where none is asked for and it has numbers.

    ``UserError`` for any other. Axes with a name are of ``least`` or more.
    """
    found = array(name, value)
    fits = found.dtype == dtype if dtype else found.dtype.kind in "fiub"
    fits &= found.ndim == len(shape) and all(
        length >= least if isinstance(wanted, str) else length == wanted
        for length, wanted in zip(found.shape, shape, strict=False)
    )
    if not fits:
        wanted = f"{np.dtype(dtype).name if dtype else 'numbers'} [{', '.join(map(str, shape))}]"
        raise UserError(f"{name} is {found.dtype} {list(found.shape)}; the config asks for {wanted}")
    return found if dtype else found.astype(np.float32)


def field_of(batch_name: str, batch: Any, field: str, shape: Shape, dtype: Any = None) -> np.ndarray:
    """``batch.field`` as ``fitting`` gives it."""
    if not hasattr(batch, field):
        raise UserError(f"{batch_name} is a {type(batch).__name__} without {field}; see patchail_jax.types")
    return fitting(f"{batch_name}.{field}", getattr(batch, field), shape, dtype)


def require_state(state: Any, first: Any) -> None:
    """``UserError`` unless ``state`` has the structure, shapes and types of ``first``, and has not been consumed."""
    _refuse_trace("the state", state)
    leaves, structure = jax.tree.leaves(state), cast(Any, jax.tree.structure(first))
    if structure != jax.tree.structure(state) or any(
        (getattr(leaf, "shape", None), getattr(leaf, "dtype", None)) != (one.shape, one.dtype)
        for leaf, one in zip(leaves, jax.tree.leaves(first), strict=True)
    ):
        raise UserError("the state is of no update of this method and these sizes: take what init or an update returns")
    if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in leaves):
        raise UserError("the state was consumed by an update: go on with the state that the update returned")


def _refuse_trace(name: str, tree: Any) -> None:
    """``UserError`` inside of a function that JAX transforms: what is called there compiles itself."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree)):
        raise UserError(f"{name} is traced by JAX: call this outside of jit, vmap and pmap; it compiles itself")
