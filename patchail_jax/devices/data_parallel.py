"""The learner on devices: the batch is sharded, the state whole on every device (``mapping``)."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from patchail_jax.devices.frames_on_devices import with_pixels
from patchail_jax.devices.mapping import MAPPINGS, Pmap
from patchail_jax.errors import UserError, choose
from patchail_jax.methods import Method
from patchail_jax.types import Purpose, Specs
from patchail_jax.updates.gradient_step import DEVICE_AXIS

EPISODE_CHUNK = 128  # steps of a finished episode that are scored at a time


@flax.struct.dataclass
class NamedScalars:
    """Scalars in one vector, so that a whole log interval comes to the host in one transfer."""

    values: Any  # [M] float32
    names: tuple[str, ...] = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, scalars: dict[str, Any]) -> "NamedScalars":
        """From a dict of scalars."""
        return cls(jnp.stack([jnp.asarray(scalar, jnp.float32) for scalar in scalars.values()]), tuple(scalars))


class Devices:
    """Runs a method's pure functions on the first ``count`` local devices (all of them when ``count`` is 0).

    Where several processes train together (``devices.hosts``), each has its own ``Devices``, with all of its devices;
    the state is whole in every process, and only ``update`` speaks to the others. ``alone`` is for what one process
    does by itself.
    """

    def __init__(
        self, method: Method, specs: Specs, *, count: int = 0, mapping: str = "pmap", alone: bool = False
    ) -> None:
        local, processes = jax.local_devices(), 1 if alone else jax.process_count()
        if count > len(local):
            raise UserError(f"config.devices is {count}, but only {len(local)} {local[0].platform} devices are here")
        if count and processes > 1:
            raise UserError(f"config.devices is {count}; several processes use all of their devices: leave it 0")
        self.devices = local[: count or None]
        self.mapping = choose(MAPPINGS, mapping, field="device_mapping")
        self._on = self.mapping(self.devices, several=processes > 1)
        self._method, self._frame_stack = method, specs.frame_stack
        self._reach = 1 if method.discriminator is None else method.discriminator.reach

        def updates(one: Any, state: Any, batches: Any, shard: Any) -> Any:
            def update(state: Any, batch: Any) -> Any:
                if shard is not None:
                    batch = with_pixels(shard, batch, devices=self.count, processes=processes)
                return one(state, batch)

            if jax.tree.leaves(batches)[0].shape[0] == 1:
                # Not a scan of length 1: XLA's CPU backend runs convolutions inside loops several times slower.
                state, metrics = update(state, jax.tree.map(lambda leaf: leaf[0], batches))
            else:
                state, metrics = jax.lax.scan(update, state, batches)
            return state, NamedScalars.of(jax.lax.pmean(jax.tree.map(jnp.mean, metrics), DEVICE_AXIS))

        def mapped(one: Any, on: Any) -> Any:
            return on.map(functools.partial(updates, one), whole=(True, False, False), whole_out=True)

        self._update_on = functools.partial(mapped, method.update)
        self._update = mapped(method.update, self._on)
        self._pretrain = None if method.pretrain is None else mapped(method.pretrain, self._on)
        self._publish = jax.jit(lambda state: jax.tree.map(jnp.copy, method.publish(state)))
        self._copy = jax.jit(lambda state: jax.tree.map(jnp.copy, state))
        self._explore, self._exploit = jax.jit(functools.partial(_explored, method.explore)), jax.jit(method.exploit)
        self._label = self._label_by_steps = None
        if method.label is not None:
            self._label = jax.jit(method.label, donate_argnums=0)
            self._label_by_steps = jax.jit(functools.partial(_rewards_alone, method.label))

    @property
    def count(self) -> int:
        """Number of this process's devices that share its part of a batch."""
        return len(self.devices)

    def init(self, seed: int) -> Any:
        """The first state, whole on every device."""
        return self.place(self.initial(seed, {}))

    def initial(self, seed: int, parts: Any) -> Any:
        """The first state, on one device, beginning with what ``parts`` has (``Method.init``)."""
        return jax.jit(self._method.init)(purpose_key(seed, Purpose.INITIALISATION), parts)

    def place(self, state: Any) -> Any:
        """A state from anywhere (numpy, another number of devices), whole on every device."""
        return self._on.place(state)

    def spread(self, tree: Any) -> Any:
        """Batches or shards, ``[N,...]``, of which every device gets one row: for ``update``."""
        return self._on.spread(tree)

    def update(self, state: Any, batches: Any, shards: Any = None) -> tuple[Any, NamedScalars]:
        """K updates on batches whose leaves are ``[N,K,B/N,...]``, ``spread``; the given state is consumed.

        ``shards`` is a ``FramesOnDevices``'s where the batches have frame numbers in the place of pixels.
        Returns the new state and metrics (means over K and devices) at once, before the device has finished.
        """
        return self._update(state, batches, shards)

    def pretrain(self, state: Any, batches: Any, shards: Any = None) -> tuple[Any, NamedScalars]:
        """As ``update``, with the method's update on demonstrations alone; ``batches`` have no agent windows."""
        assert self._pretrain is not None
        return self._pretrain(state, batches, shards)

    def operations(self, state: Any, batches: Any, shards: Any = None) -> float:
        """Floating-point operations of one update on all of this process's devices, counted from the shapes.

        One device's share is lowered for a CPU: the plugins of accelerators do not count before they compile, and
        after that they miss what libraries compute. One update, because a loop is counted as one round.
        """

        def shape(leaf: Any, *leading: int) -> Any:
            return jax.ShapeDtypeStruct((*leading, *leaf.shape[len(leading) :]), leaf.dtype)

        try:
            cpu = jax.local_devices(backend="cpu")[:1]
        except RuntimeError:
            raise UserError("operations are counted on the CPU: unset JAX_PLATFORMS or add cpu to it") from None
        update = self._update_on(Pmap(cpu))
        share = jax.tree.map(lambda leaf: shape(leaf, 1, 1), batches), jax.tree.map(lambda leaf: shape(leaf, 1), shards)
        return float(update.lower(jax.tree.map(shape, state), *share).cost_analysis()["flops"]) * self.count

    def lowered(self, devices: Sequence[Any], state: Any, batches: Any, shards: Any = None) -> Any:
        """A call of updates for as many other ``devices`` (``jax.stages.Lowered``); of leaves, shapes are enough."""
        return self._update_on(self.mapping(devices)).lower(state, batches, shards)

    def publish(self, state: Any) -> Any:
        """A copy of the acting parameters on the first device: it survives the donation of the state."""
        return jax.device_put(self._publish(self._on.here(state)), self.devices[0])

    def copy(self, state: Any) -> Any:
        """A copy of the whole state, which survives the donation of the original."""
        return self._copy(self._on.here(state))

    def explore(self, parameters: Any, observations: np.ndarray, root: Any, draw: int, agent_step: int) -> Any:
        """Noisy actions ``[B,A] float32`` for observations ``[B,H,W,3S] uint8``, on the device.

        ``root`` is ``acting_root``'s, and ``draw`` the number of this process's draw: the same numbers give the same
        actions, so a resumed run acts as it would have. Actions stand in the device's queue before whatever is
        dispatched later, so ``np.asarray`` does not wait for that.
        """
        given = _beside(parameters, (observations, np.int32(draw), np.int32(agent_step)))
        return self._explore(parameters, root, *given)

    def exploit(self, parameters: Any, observations: np.ndarray) -> np.ndarray:
        """Mean actions ``[B,A] float32``; waits for the device."""
        return np.asarray(self._exploit(parameters, _beside(parameters, observations)))

    def acting_root(self, seed: int) -> Any:
        """The key of all exploration noise, where published parameters lie."""
        return jax.device_put(purpose_key(seed, Purpose.EXPLORATION), self.devices[0])

    def label(
        self, state: Any, frames: np.ndarray, demonstrations: Any = None, *, longest: int = 1
    ) -> tuple[Any, np.ndarray | None]:
        """The state and rewards ``[T]`` of one episode's frames ``[T+1,H,W,3]``; None where replay needs no labels.

        ``demonstrations``, frames ``[D,M+1,H,W,3]`` and steps ``[D]``, are for methods that label whole episodes; these
        consume the given state, and see every episode padded to the ``longest``, so that they compile once.
        """
        if self._label is None or self._label_by_steps is None:
            return state, None
        if not self._method.needs.whole_episodes:
            return state, self.over_episode(self._label_by_steps, state, frames)
        steps = len(frames) - 1
        padded = np.concatenate([frames, frames[-1:].repeat(-steps % longest, axis=0)])
        padded, length = _beside(state, (padded, np.int32(steps)))
        state, rewards = self._label(state, padded, (length, *demonstrations))
        return self.place(state), np.asarray(rewards)[:steps]

    def over_episode(self, function: Any, state: Any, frames: np.ndarray) -> np.ndarray:
        """``function(state, frames [t+S,H,W,3]) -> [t,...]`` for all T steps of one episode's frames ``[T+1,H,W,3]``.

        In windows of ``EPISODE_CHUNK`` steps, the last one padded, so that it compiles once. Where the discriminator
        judges states k steps apart, windows are ``[t+S+k-1,H,W,3]``, and the last frame stands for what comes behind.
        """
        steps, stack, state = len(frames) - 1, self._frame_stack, self._on.here(state)
        padding, behind = -steps % EPISODE_CHUNK, self._reach - 1
        frames = np.concatenate(
            [frames[:1].repeat(stack - 1, axis=0), frames, frames[-1:].repeat(padding + behind, axis=0)]
        )
        chunks = [
            function(state, _beside(state, frames[start : start + EPISODE_CHUNK + stack + behind]))
            for start in range(0, steps + padding, EPISODE_CHUNK)
        ]
        return np.concatenate([np.asarray(chunk) for chunk in chunks])[:steps]


def fetch(tree: Any) -> Any:
    """A pytree of device arrays as numpy arrays; waits for the devices."""
    return jax.device_get(tree)


def _rewards_alone(label: Any, state: Any, frames: Any) -> Any:
    return label(state, frames, None)[1]


def _explored(explore: Any, parameters: Any, root: Any, observations: Any, draw: Any, agent_step: Any) -> Any:
    return explore(parameters, observations, jax.random.fold_in(root, draw), agent_step)


def _beside(tree: Any, arrays: Any) -> Any:
    """Numpy arrays put where ``tree`` lies: said once a call, and never left to JAX to do in silence."""
    return jax.device_put(arrays, jax.tree.leaves(tree)[0].sharding)


def purpose_key(seed: int, purpose: Purpose) -> Any:
    """The root key ``[2] uint32`` of all draws for one purpose; counters are folded in behind the purpose."""
    return jax.random.fold_in(jax.random.PRNGKey(seed), purpose)
