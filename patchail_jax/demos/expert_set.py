"""The demonstrations as the learner sees them: frames in memory, and pairs (s, s') cut from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchail_jax.demos import render, trajectory
from patchail_jax.errors import UserError
from patchail_jax.types import ExpertBatch


@dataclass(frozen=True, eq=False)
class ExpertSet:
    """D demonstrations of T steps, each frame once.

    ``frames [D,T+1,H,W,3] uint8``; ``actions [D,T,A] float32`` in [-1, 1], or None where unknown; ``returns [D]
    float64``, the task's own, over the whole recorded episode, or None; ``action_size`` A.
    """

    frames: np.ndarray
    actions: np.ndarray | None
    returns: np.ndarray | None
    action_size: int

    def sample(self, rng: np.random.Generator, count: int, *, frame_stack: int) -> ExpertBatch:
        """``count`` pairs, uniform over (demonstration, t in 0..T-1), with replacement.

        ``frames [count,S+1] int32`` number the frames of all demonstrations in order, d * (T+1) + t.
        """
        demonstrations, steps = self.frames.shape[0], self.frames.shape[1] - 1
        chosen = rng.integers(demonstrations * steps, size=count)
        return self._pairs(chosen // steps, chosen % steps, frame_stack)

    def trajectory(self, d: int, *, frame_stack: int) -> ExpertBatch:
        """All T pairs of demonstration ``d``, in order; frames as numbers ``[T,S+1] int32``, as in ``sample``."""
        times = np.arange(self.frames.shape[1] - 1)
        return self._pairs(np.full_like(times, d), times, frame_stack)

    def _pairs(self, d: np.ndarray, t: np.ndarray, frame_stack: int) -> ExpertBatch:
        """Windows of the frames t-(S-1)..t+1: the stack of s is the first S of them, that of s' the last S."""
        # Clipping repeats the first frame, as the agent's stack does at reset.
        times = np.maximum(t[:, None] + np.arange(1 - frame_stack, 2), 0)
        if self.actions is None:
            actions = np.full((len(t), self.action_size), np.nan, np.float32)
        else:
            actions = self.actions[d, t]
        return ExpertBatch(frames=(d[:, None] * self.frames.shape[1] + times).astype(np.int32), actions=actions)


def load_expert_set(
    *,
    task: str,
    path: str | Path = "",
    num_demonstrations: int,
    action_repeat: int,
    image_size: int,
    camera_id: int | None,
    quality: str,
    cache_dir: str | Path,
) -> ExpertSet:
    """The first ``num_demonstrations`` of a file (``path`` "": the shipped one), rendered or from the cache.

    ``image_size`` in pixels; ``camera_id`` None is the task's own; ``quality`` "full" or "fast": all three as the
    agent's environment has them, or the discriminator tells the two apart by them. The actions are None when
    ``action_repeat`` (frames a step) is not the file's, see ``trajectory.subsample``.
    Raises UserError for an unsound or unfitting file, and for a number of demonstrations that the file does not hold.
    """
    source = Path(path).expanduser() if str(path) else trajectory.shipped(task)
    recorded = trajectory.load(source, expected_task=task, action_repeat=action_repeat)
    held = len(recorded.states)
    if not 1 <= num_demonstrations <= held:
        raise UserError(
            f"{source}: holds {held} demonstrations: num_demonstrations must be 1..{held}, not {num_demonstrations}"
        )
    actions, rewards = recorded.actions, recorded.rewards
    recorded = recorded._replace(
        states=recorded.states[:num_demonstrations],
        actions=None if actions is None else actions[:num_demonstrations],
        rewards=None if rewards is None else rewards[:num_demonstrations],
    )
    thinned = trajectory.subsample(recorded, action_repeat)
    frames = render.render(
        thinned,
        task=task,
        image_size=image_size,
        camera_id=camera_id,
        quality=quality,
        cache_dir=cache_dir,
        source=str(source),
    )
    return ExpertSet(
        frames=frames,
        actions=thinned.actions,
        # Summed before thinning, which may drop a remainder, and in float64, as evaluation sums the agent's.
        returns=None if recorded.rewards is None else recorded.rewards.sum(axis=1, dtype=np.float64),
        action_size=render.action_size(task) if actions is None else actions.shape[2],
    )
