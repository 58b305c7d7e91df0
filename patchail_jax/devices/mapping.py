"""A function on every device at once: by ``pmap``, or by ``jit`` over ``shard_map``, behind one interface.

An array of a process's own devices has an axis of them first, ``[N,...]``; what is whole on every device has none.
Where several processes train together, a whole array is the same in all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from patchail_jax.updates.gradient_step import DEVICE_AXIS

WHOLE, SHARED = PartitionSpec(), PartitionSpec(DEVICE_AXIS)


class Mapping(Protocol):
    """What a backend gives for this process's ``devices``, or where ``several`` for those of all processes."""

    def __init__(self, devices: Sequence[Any], *, several: bool = False) -> None: ...

    def map(self, function: Any, *, whole: Sequence[bool], whole_out: bool, donate: bool = True) -> Callable[..., Any]:
        """``function`` on each device, under ``DEVICE_AXIS``; where ``donate``, its first argument is consumed.

        ``whole`` says of each argument whether every device sees all of it; else it is ``[N,...]`` and a device sees
        its own row. So for what it returns, ``whole_out``: then it is the same on every device.
        """
        ...

    def place(self, tree: Any) -> Any:
        """Arrays from anywhere (numpy, another number of devices), whole on every device."""
        ...

    def spread(self, tree: Any) -> Any:
        """Arrays ``[N,...]`` of this process's devices, one row on each; those that lie there already stay."""
        ...

    def here(self, tree: Any) -> Any:
        """Whole arrays as this process's own, for computations that the others do not make."""
        ...


def _mesh(devices: Sequence[Any]) -> Mesh:
    return Mesh(np.asarray(devices), (DEVICE_AXIS,), axis_types=(jax.sharding.AxisType.Auto,))


class Pmap:
    """``jax.pmap``; over all devices of all processes, a whole array is a copy in each process."""

    def __init__(self, devices: Sequence[Any], *, several: bool = False) -> None:
        self._devices = None if several else devices  # None is all devices of all processes
        # Shardings over the same devices as the pmap's: what is placed by them is taken without a second compilation.
        mesh = _mesh(devices)
        self._whole, self._shared = NamedSharding(mesh, WHOLE), NamedSharding(mesh, SHARED)

    def map(self, function: Any, *, whole: Sequence[bool], whole_out: bool, donate: bool = True) -> Callable[..., Any]:
        """As ``Mapping.map``."""
        return jax.pmap(
            function,
            axis_name=DEVICE_AXIS,
            in_axes=tuple(None if one else 0 for one in whole),
            out_axes=None if whole_out else 0,
            donate_argnums=(0,) if donate else (),
            devices=self._devices,
        )

    def place(self, tree: Any) -> Any:
        """As ``Mapping.place``."""
        return jax.device_put(tree, self._whole)

    def spread(self, tree: Any) -> Any:
        """As ``Mapping.spread``."""
        leaves, treedef = jax.tree.flatten(tree)
        ours = iter(jax.device_put([leaf for leaf in leaves if not isinstance(leaf, jax.Array)], self._shared))
        return jax.tree.unflatten(treedef, [leaf if isinstance(leaf, jax.Array) else next(ours) for leaf in leaves])

    def here(self, tree: Any) -> Any:
        """As ``Mapping.here``."""
        return tree


class ShardMap:
    """``jax.jit`` over ``jax.shard_map``; over all devices of all processes, a whole array is one of all of them."""

    def __init__(self, devices: Sequence[Any], *, several: bool = False) -> None:
        self._several = several
        self._mesh = _mesh(jax.devices() if several else devices)

    def map(self, function: Any, *, whole: Sequence[bool], whole_out: bool, donate: bool = True) -> Callable[..., Any]:
        """As ``Mapping.map``."""

        def on_a_device(*arguments: Any) -> Any:
            rows = (
                argument if one else jax.tree.map(lambda leaf: leaf[0], argument)
                for argument, one in zip(arguments, whole, strict=True)
            )
            found = function(*rows)
            return found if whole_out else jax.tree.map(lambda leaf: leaf[None], found)

        specs = tuple(WHOLE if one else SHARED for one in whole)
        return jax.jit(
            jax.shard_map(
                on_a_device,
                mesh=self._mesh,
                in_specs=specs,
                out_specs=WHOLE if whole_out else SHARED,
                check_vma=False,  # means over devices are made by hand, as under pmap
            ),
            donate_argnums=(0,) if donate else (),
        )

    def place(self, tree: Any) -> Any:
        """As ``Mapping.place``."""
        sharding = NamedSharding(self._mesh, WHOLE)
        if not self._several:
            return jax.device_put(tree, sharding)

        def placed(leaf: Any) -> Any:
            leaf = np.asarray(leaf)
            return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

        return jax.tree.map(placed, tree)

    def spread(self, tree: Any) -> Any:
        """As ``Mapping.spread``; where several processes train, as this one's part of arrays of all devices."""
        sharding = NamedSharding(self._mesh, SHARED)

        def spread(leaf: Any) -> Any:
            if not self._several:
                return jax.device_put(leaf, sharding)
            if isinstance(leaf, jax.Array):  # frames that lie on this process's devices already
                shape = (leaf.shape[0] * jax.process_count(), *leaf.shape[1:])
                shards = [shard.data for shard in leaf.addressable_shards]
                return jax.make_array_from_single_device_arrays(shape, sharding, shards)
            return jax.make_array_from_process_local_data(sharding, leaf)

        return jax.tree.map(spread, tree)

    def here(self, tree: Any) -> Any:
        """As ``Mapping.here``."""
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree) if self._several else tree


MAPPINGS: dict[str, type[Mapping]] = {"pmap": Pmap, "shard_map": ShardMap}
