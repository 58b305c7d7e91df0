"""Environments side by side, stepped together, until their episodes are finished.

An episode is a pure function of its number and its actions: ``episode_seed`` gives the environment's seed. So the
state of all environments is a few counters and the open episodes so far, and a resumed run goes on bit by bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from patchail_jax.envs.outcome import Answer, Command, Lost, Outcome, Reset, Restore, Step
from patchail_jax.errors import NotFiniteValues
from patchail_jax.types import Episode


class Pool(Protocol):
    """Several environments: ``envs.workers.InlinePool`` or ``ProcessPool``."""

    num_envs: int

    def send(self, commands: dict[int, Command]) -> None:
        """Starts one command an environment, environments by number."""

    def receive(self) -> dict[int, Answer]:
        """Waits for the commands sent; only a ``Step`` is answered by ``Lost``."""


class Finished(NamedTuple):
    """A finished episode and its number, counted from 0 in the order of the starts."""

    number: int
    episode: Episode


def episode_seed(root: tuple[int, ...], number: int) -> int:
    """The environment's seed for episode ``number``, 32 bits; ``root`` tells runs, hosts and purposes apart."""
    return int(np.random.SeedSequence([*root, number]).generate_state(1)[0])


@dataclass
class _Open:
    """An episode that is going on, grown a step at a time."""

    number: int
    frames: list[np.ndarray]
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    discounts: list[float] = field(default_factory=list)

    def close(self, action_size: int) -> Episode:
        return Episode(
            np.stack(self.frames),
            np.asarray(self.actions, np.float32).reshape(-1, action_size),
            np.asarray(self.rewards, np.float32),
            np.asarray(self.discounts, np.float32),
        )


class Collector:
    """Steps every environment of a pool once a ``send`` and ``receive``; starts new episodes by itself.

    An episode whose environment died is dropped and played from its start; ``lost`` counts them.
    """

    def __init__(self, pool: Pool, *, frame_stack: int, action_size: int, root: tuple[int, ...]) -> None:
        self._pool, self._stack, self._action_size, self._root = pool, frame_stack, action_size, root
        self._started = self.lost = 0
        self._open: list[_Open] = []

    def start(self) -> None:
        """Resets every environment; once, before the first step."""
        self._open = [_Open(-1, [])] * self._pool.num_envs
        self._begin(self._next(range(self._pool.num_envs)))

    def observations(self) -> np.ndarray:
        """The newest stack of every environment, ``[num_envs,H,W,3S] uint8``, oldest frame first."""
        stacks = []
        for episode in self._open:
            newest = len(episode.frames) - 1
            chosen = [episode.frames[max(newest - back, 0)] for back in reversed(range(self._stack))]
            stacks.append(np.concatenate(chosen, axis=-1))
        return np.stack(stacks)

    def send(self, actions: np.ndarray) -> None:
        """Starts one step with ``actions [num_envs,A] float32``; process pools work on while this returns.

        ``NotFiniteValues`` for actions that are no numbers, before any environment sees them.
        """
        if not np.isfinite(actions).all():
            raise NotFiniteValues("the policy gives actions that are not finite")
        for episode, action in zip(self._open, actions, strict=True):
            episode.actions.append(action)
        self._pool.send({index: Step(action) for index, action in enumerate(actions)})

    def receive(self) -> list[Finished]:
        """Ends the step; episodes that ended with it, in the order of the environments."""
        finished: list[Finished] = []
        ended: list[int] = []
        again: dict[int, int] = {}
        for index, answer in sorted(self._pool.receive().items()):
            assert answer is not None  # only Restore has none
            episode = self._open[index]
            if isinstance(answer, Lost):
                again[index] = episode.number
                continue
            episode.frames.append(answer.frame)
            episode.rewards.append(answer.reward)
            episode.discounts.append(answer.discount)
            if answer.last:
                finished.append(Finished(episode.number, episode.close(self._action_size)))
                ended.append(index)
        self.lost += len(again)
        if ended or again:
            self._begin(self._next(ended) | again)
        return finished

    def _next(self, indices: Iterable[int]) -> dict[int, int]:
        """The numbers of the next episodes of these environments."""
        numbers = {index: self._started + order for order, index in enumerate(indices)}
        self._started += len(numbers)
        return numbers

    def _begin(self, numbers: dict[int, int]) -> None:
        """Starts episodes, environments to episodes' numbers."""
        self._pool.send({index: Reset(episode_seed(self._root, number)) for index, number in numbers.items()})
        for index, outcome in self._pool.receive().items():
            assert isinstance(outcome, Outcome)
            self._open[index] = _Open(numbers[index], [outcome.frame])

    def state(self) -> dict[str, Any]:
        """Counters and open episodes, as arrays, for a checkpoint between two steps."""
        return {
            "started": self._started,
            "lost": self.lost,
            "open": {
                str(index): {"number": episode.number, **episode.close(self._action_size)._asdict()}
                for index, episode in enumerate(self._open)
            },
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on where ``state`` was taken: environments re-do their open episodes' actions without rendering."""
        self._started, self.lost = int(state["started"]), int(state["lost"])
        episodes = [state["open"][str(index)] for index in range(self._pool.num_envs)]
        self._open = [
            _Open(int(e["number"]), list(e["frames"]), list(e["actions"]), list(e["rewards"]), list(e["discounts"]))
            for e in episodes
        ]
        self._pool.send(
            {
                index: Restore(episode_seed(self._root, int(e["number"])), np.asarray(e["actions"]))
                for index, e in enumerate(episodes)
            }
        )
        self._pool.receive()
