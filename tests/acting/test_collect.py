"""The collector and the evaluation with environments that write down what they were asked."""

import functools

import numpy as np

from patchail_jax.acting.collect import Collector, episode_seed
from patchail_jax.acting.evaluate import evaluate
from patchail_jax.acting.label import label
from patchail_jax.envs.outcome import Lost
from patchail_jax.envs.workers import InlinePool
from patchail_jax.types import Episode, Specs
from tests.envs.fakes import Counting


def make(num_envs=2, pool=None):
    pool = pool or InlinePool(Counting, num_envs)
    return Collector(pool, frame_stack=3, action_size=2, root=(7, 0))


def actions(step, num_envs=2):
    return np.array([[step, 10 * index + step] for index in range(num_envs)], np.float32)


def assert_same(one, other):
    assert one.number == other.number
    for leaf, wanted in zip(one.episode, other.episode, strict=True):
        np.testing.assert_array_equal(leaf, wanted)


def test_episodes_come_whole_with_what_was_done_in_them():
    collector = make()
    collector.start()
    for step in range(5):
        collector.send(actions(step))
        finished = collector.receive()
        assert len(finished) == (2 if step == 4 else 0)
    assert [one.number for one in finished] == [0, 1]
    episode = finished[1].episode
    assert [leaf.shape for leaf in episode] == [(6, 4, 5, 3), (5, 2), (5,), (5,)]
    assert list(episode.frames[:, 0, 0, 1]) == [0, 1, 2, 3, 4, 5]  # every frame once, in order
    assert list(episode.frames[1:, 0, 0, 2]) == [10, 11, 12, 13, 14]  # the action that led to each
    assert list(episode.rewards) == [0, 1, 2, 3, 4]
    assert set(episode.frames[:, 0, 0, 0]) == {episode_seed((7, 0), 1) % 256}


def test_observations_repeat_the_first_frame_then_slide():
    collector = make()
    collector.start()
    seen = []
    for step in range(4):
        seen.append(collector.observations()[0, 0, 0, 1::3].tolist())
        collector.send(actions(step))
        collector.receive()
    assert seen == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]
    assert collector.observations().shape == (2, 4, 5, 9)


def test_a_restored_collector_goes_on_as_if_nothing_had_been():
    undisturbed, collector = make(), make()
    undisturbed.start()
    collector.start()
    results = []
    for step in range(12):
        if step == 7:
            state = collector.state()
            collector = make()
            collector.load_state(state)
        for one in (undisturbed, collector):
            one.send(actions(step))
        expected, got = undisturbed.receive(), collector.receive()
        for a, b in zip(expected, got, strict=True):
            assert_same(a, b)
        np.testing.assert_array_equal(undisturbed.observations(), collector.observations())
        results += got
    assert [one.number for one in results] == [0, 1, 2, 3]


class Fragile(InlinePool):
    """An environment pool that loses the environments named in ``doomed`` at the next step."""

    doomed: frozenset[int] = frozenset()

    def receive(self):
        answers = super().receive()
        lost = {index: Lost("killed") for index in self.doomed if answers[index] is not None}
        self.doomed = frozenset()
        return answers | lost


def test_a_lost_episode_is_dropped_and_played_from_its_start():
    pool = Fragile(Counting, 2)
    collector = make(pool=pool)
    collector.start()
    finished = []
    for step in range(8):
        pool.doomed = frozenset({1}) if step == 2 else frozenset()
        collector.send(actions(step))
        finished += collector.receive()
        if step == 2:
            assert collector.observations()[1, 0, 0, 1::3].tolist() == [0, 0, 0]  # at its start, the other one is not
            assert collector.observations()[0, 0, 0, 1::3].tolist() == [1, 2, 3]
    assert collector.lost == 1
    assert [one.number for one in finished] == [0, 1]
    episode = finished[1].episode
    assert set(episode.frames[:, 0, 0, 0]) == {episode_seed((7, 0), 1) % 256}
    assert list(episode.rewards) == [3, 4, 5, 6, 7]  # of the second attempt alone

    again = make()
    again.load_state(collector.state())
    assert again.lost == 1


def test_an_evaluation_loses_no_episode():
    pool = Fragile(Counting, 2)
    specs = Specs(image_size=4, frame_stack=2, action_size=2, n_step=1)
    calls = []

    def act(observations):
        calls.append(1)
        pool.doomed = frozenset({0}) if len(calls) == 3 else frozenset()
        return np.repeat(observations[:, 0, 0, :1].astype(np.float32), 2, axis=1)

    result = evaluate(pool, act, episodes=3, specs=specs, root=(1, 1))
    expected = [5 * (episode_seed((1, 1), number) % 256) for number in range(3)]
    np.testing.assert_array_equal(result.returns, expected)


def test_episode_seeds_tell_runs_purposes_and_episodes_apart():
    seeds = {episode_seed((seed, purpose), number) for seed in range(3) for purpose in range(2) for number in range(50)}
    assert len(seeds) == 300
    assert episode_seed((0, 1), 5) == episode_seed((0, 1), 5)


def test_evaluation_counts_the_asked_episodes_in_order_whatever_runs_beside_them():
    specs = Specs(image_size=4, frame_stack=2, action_size=2, n_step=1)

    def act(observations):
        # The seed byte of each environment's frame as its action, hence as its reward.
        return np.repeat(observations[:, 0, 0, :1].astype(np.float32), 2, axis=1)

    for num_envs in (1, 2, 3):
        result = evaluate(InlinePool(Counting, num_envs), act, episodes=4, specs=specs, root=(1, 1))
        expected = [5 * (episode_seed((1, 1), number) % 256) for number in range(4)]
        np.testing.assert_array_equal(result.returns, expected)
        assert result.episode.frames[0, 0, 0, 0] == episode_seed((1, 1), 0) % 256


def test_labels_keep_the_task_s_rewards_from_imitators():
    episode = Episode(
        np.zeros((4, 2, 2, 3), np.uint8), np.zeros((3, 1), np.float32), np.ones(3, np.float32), np.ones(3)
    )
    score = functools.partial(np.full, 3, 0.5)
    kept = label(episode, uses_task_reward=True, score=lambda frames: None)
    scored = label(episode, uses_task_reward=False, score=lambda frames: score())
    empty = label(episode, uses_task_reward=False, score=lambda frames: None)
    assert list(kept.rewards) == [1, 1, 1] and list(scored.rewards) == [0.5] * 3 and list(empty.rewards) == [0] * 3
