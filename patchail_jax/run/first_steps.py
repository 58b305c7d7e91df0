"""Whether the discriminator tells expert from agent before either has done anything: at the first step of episodes.

Expert and agent start alike. A discriminator that judges behaviour is right about half of the patches of first steps,
however right it is about the rest of an episode. One that recognises the expert by how the images look is right about
nearly all.

Measured at 32 pixels over 600 updates, expert pairs in batches of 16, against random actions: 0.48 to 0.58 in the
paper's tasks; 0.99 to 1.00 where the expert's frames had red and blue exchanged (walker) or were upside down
(cartpole). An accuracy over whole episodes says less: it was 0.90 in a sound walker_walk after 600 updates, and rises.
"""

import logging
from collections import deque
from collections.abc import Callable

import numpy as np

from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.demos.first_frames import compare
from patchail_jax.envs.outcome import Outcome, Reset
from patchail_jax.envs.workers import AnyPool
from patchail_jax.maps.explainer import Explainer
from patchail_jax.run.learner import Learner
from patchail_jax.storage.run_folder import RunFolder
from patchail_jax.types import Specs

_log = logging.getLogger(__name__)

FEWEST, MOST = 5, 20  # episodes of either, to be judged by
SURE = 0.99  # an accuracy over a log interval from which on first steps are looked at
KNOWN = 0.95  # an accuracy at first steps that behaviour does not explain


class FirstSteps:
    """Warns once of a discriminator that is right about first steps.

    ``logits(frames [T+1,H,W,3] uint8) -> [T,...]``, high for the expert, by the discriminator as it is now;
    ``expert [D,reach+1,H,W,3]`` are the first frames of each demonstration, the s and s' that are judged being
    ``reach`` steps apart. ``command`` is how to see for oneself.
    """

    def __init__(
        self, logits: Callable[[np.ndarray], np.ndarray], expert: np.ndarray, *, frame_stack: int, command: str
    ) -> None:
        self._logits, self._stack, self._command = logits, frame_stack, command
        self._expert, self._frames = expert[:MOST], expert.shape[1]
        self._agent: deque[np.ndarray] = deque(maxlen=MOST)
        self._next = 0  # the update from which on it is looked again
        self._said = False

    def add(self, frames: np.ndarray) -> None:
        """Takes in a training episode's frames ``[T+1,H,W,3]``."""
        if len(frames) >= self._frames:
            self._agent.append(frames[: self._frames].copy())  # or the whole episode would stay in memory

    def check(self, accuracy: float, *, update: int) -> None:
        """Looks, if the discriminator's mean ``accuracy`` over a log interval that ends at ``update`` calls for it.

        Each look is at twice the updates of the last one: in a sound run they cost nothing.
        """
        if self._said or accuracy < SURE or update < self._next or min(len(self._expert), len(self._agent)) < FEWEST:
            return
        self._next = 2 * update
        right = 0.5 * (np.mean(self._first(self._expert) > 0) + np.mean(self._first(np.stack(self._agent)) < 0))
        if right < KNOWN:
            return
        self._said = True
        _log.warning(
            "the discriminator is right about %.0f%% of the patches at the first step of episodes, where expert and "
            "agent have done nothing yet: it recognises the expert by how the images look, and the agent learns "
            "nothing from it. Likely causes: another renderer or quality; a compressed video "
            "(config.env.look=video); a picture upside down or in other colours. Demonstrations that start elsewhere "
            "than episodes do look the same. See: %s",
            100 * right,
            self._command,
        )

    def _first(self, frames: np.ndarray) -> np.ndarray:
        """The logits of the first steps of ``frames [N,reach+1,H,W,3]``, with a stack that repeats the first frame."""
        film = np.concatenate([frames[:, :1].repeat(self._stack, axis=1), frames[:, 1:]], axis=1)
        steps = self._logits(film.reshape(-1, *frames.shape[2:]))
        return steps[self._stack - 1 :: film.shape[1]]  # those in between lead from one episode into the next


def look_at_first_frames(experts: ExpertSet, pool: AnyPool, *, resets: int) -> None:
    """Warns where frames of a file do not begin as the task's episodes do, of which ``resets`` are looked at."""
    seen = []
    for seed in range(resets):
        pool.send({0: Reset(seed)})
        outcome = pool.receive()[0]
        if isinstance(outcome, Outcome):
            seen.append(outcome.frame)
    if seen and (odd := compare(experts.frames[:, 0], np.stack(seen))):
        _log.warning("%s. See: patchail demos inspect FILE.npz --task TASK", odd)


def make_first_steps(
    explainer: Explainer | None,
    learner: Learner,
    experts: ExpertSet | None,
    specs: Specs,
    folder: RunFolder,
) -> FirstSteps | None:
    """The look at first steps, where there are a discriminator and an expert; a line where there are too few of his."""
    if explainer is None or experts is None:
        return None
    whole = experts.frames[experts.steps >= explainer.reach, : explainer.reach + 1]
    command = f"patchail explain --run={folder.path} --input=expert,random"
    if len(whole) < FEWEST:
        _log.info(
            "with fewer than %d demonstrations a run cannot tell whether the discriminator judges looks and not "
            "behaviour. After some updates, look yourself: %s",
            FEWEST,
            command,
        )
    return FirstSteps(
        lambda frames: explainer.logits(learner.state, frames),
        whole,
        frame_stack=specs.frame_stack,
        command=command,
    )
