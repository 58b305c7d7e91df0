"""A discriminator that knows the expert before anything has happened is said once; one that judges behaviour never."""

from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.envs.outcome import Lost, Outcome
from patchail_jax.run.first_steps import FEWEST, MOST, FirstSteps, look_at_first_frames, make_first_steps

STACK, T = 3, 8
SEEN = "at the first step of episodes"


def episodes(number, *, first, later):
    """``[N,T+1,4,4,3]``: pictures of one brightness at the start, and of another from the third frame on."""
    frames = np.full((number, T + 1, 4, 4, 3), later, np.uint8)
    frames[:, :2] = first
    return frames


class Brightness:
    """Logits of an episode's steps: bright is the expert's; counts how often it is asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, frames):
        self.calls += 1
        padded = np.concatenate([frames[:1].repeat(STACK - 1, axis=0), frames])
        windows = np.stack([padded[t : t + STACK + 1] for t in range(len(frames) - 1)]).astype(float)
        # Windows that lead from one episode into the next show neither.
        mixed = np.ptp(windows.reshape(len(windows), -1), axis=1) > 60
        logits = np.where(mixed, np.nan, windows.mean(axis=(1, 2, 3, 4)) - 100)
        return np.broadcast_to(logits[:, None, None], (len(logits), 2, 2))


def made(expert, agent):
    logits = Brightness()
    first = FirstSteps(logits, expert[:, :2], frame_stack=STACK, command="patchail explain --run=here")
    for one in agent:
        first.add(one)
    return first, logits


def test_a_picture_that_gives_the_expert_away_is_said_once(caplog):
    first, logits = made(episodes(10, first=140, later=140), episodes(10, first=60, later=60))
    for update in (100, 200, 300, 400):
        first.check(1.0, update=update)
    assert caplog.text.count(SEEN) == 1 and "100%" in caplog.text
    assert "patchail explain --run=here" in caplog.text and "\n" not in caplog.records[0].getMessage()
    assert logits.calls == 2  # expert and agent, once


@pytest.mark.parametrize("start", [60, 140])
def test_behaviour_that_gives_the_expert_away_is_not(caplog, start):
    first, logits = made(episodes(10, first=start, later=140), episodes(10, first=start, later=60))
    for update in range(100, 3201, 100):
        first.check(1.0, update=update)
    assert not caplog.records
    assert logits.calls == 2 * 6  # at 100, 200, 400 and so on: looking costs nothing in the long run


def test_it_is_looked_at_when_the_discriminator_is_sure_and_there_are_enough_starts(caplog):
    expert, agent = episodes(10, first=140, later=140), episodes(10, first=60, later=60)
    for few_experts, few_agents in ((FEWEST - 1, 10), (10, FEWEST - 1)):
        first, logits = made(expert[:few_experts], agent[:few_agents])
        first.check(1.0, update=100)
        assert not logits.calls
    first, logits = made(expert, agent)
    for update, accuracy in ((100, 0.6), (200, 0.98)):
        first.check(accuracy, update=update)
    assert not logits.calls
    first.check(0.995, update=300)
    assert caplog.text.count(SEEN) == 1


def test_the_newest_episodes_count(caplog):
    first, _ = made(episodes(10, first=140, later=140), episodes(MOST, first=60, later=60))
    for one in episodes(MOST, first=140, later=60):
        first.add(one)
    first.check(1.0, update=100)
    assert not caplog.records


@pytest.mark.parametrize(("turn", "said"), [(1, ""), (-1, "seem to be upside down")])
def test_a_start_looks_at_frames_of_a_file_beside_the_task_s_own(caplog, turn, said):
    """``lost`` is an environment that has just failed: it shows nothing, and nothing is said of it."""
    scene = np.zeros((8, 8, 3), np.uint8)
    scene[:3] = 200
    experts = ExpertSet(np.stack([scene[::turn]] * 3)[:, None].repeat(2, axis=1), None, None, 1, drawn=False)
    asked = []

    class Pool:
        def send(self, commands):
            asked.append(commands[0].seed)

        def receive(self):
            return {0: Lost("gone") if asked[-1] == 1 else Outcome(scene, 0.0, 1.0, last=False)}

    look_at_first_frames(experts, Pool(), resets=3)
    assert asked == [0, 1, 2] and (said in caplog.text if said else not caplog.records)


@pytest.mark.parametrize("number", [FEWEST - 1, FEWEST])
def test_too_few_demonstrations_are_said_and_short_ones_are_left_out(caplog, number):
    frames = episodes(number + 1, first=140, later=140)
    lengths = np.array([*[T] * number, 1])  # the last one has no two states that are two steps apart
    actions = np.zeros((number + 1, T, 1), np.float32)
    experts = ExpertSet(frames, actions, None, 1, lengths)
    explainer = SimpleNamespace(reach=2, logits=None)
    with caplog.at_level("INFO"):
        first = make_first_steps(
            explainer, None, experts, SimpleNamespace(frame_stack=STACK), SimpleNamespace(path="here")
        )
    assert ("fewer than" in caplog.text) == (number < FEWEST) and len(first._expert) == number
