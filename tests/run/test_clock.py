"""What is due when: every decision of the loop, without the loop."""

import pytest

from patchail_jax.run.clock import CATCH_UP, Clock, agent_step_of
from patchail_jax.run.config import paper_config


def config(**overrides):
    made = paper_config("cheetah_run")
    made.update_from_flattened_dict({key.replace("__", "."): value for key, value in overrides.items()})
    return made


def test_one_update_every_few_steps_from_the_first_update_step_on():
    clock = Clock(config(agent__first_update_step=4, agent__steps_per_update=2))
    made = []
    for _ in range(10):
        made.append(list(clock.updates_due(steps=1)) if clock.learns else None)
        clock.advance(1)
    assert made == [None] * 4 + [[0], [], [1], [], [2], []]
    assert clock.update == 3


def test_updates_of_several_environments_are_caught_up_with_in_whole_calls():
    clock = Clock(config(agent__first_update_step=8, agent__steps_per_update=1, replay__updates_per_call=4))
    clock.advance(8)
    assert list(clock.updates_due(steps=8)) == []
    clock.advance(8)
    assert list(clock.updates_due(steps=8)) == [0, 4]


def test_many_updates_are_caught_up_with_in_several_steps_so_that_a_stop_is_heard():
    clock = Clock(config(agent__first_update_step=0, agent__steps_per_update=2, replay__updates_per_call=2))
    clock.advance(8_000)  # environments that had no episode to the end before
    made = []
    for _ in range(40):
        made.append(len(list(clock.updates_due(steps=40))))
        clock.advance(40)
    assert made[:30] == [10 + CATCH_UP] * 30 and made[-5:] == [10] * 5


@pytest.mark.parametrize("num_envs", [1, 3, 96, 128])
def test_no_update_is_left_out_when_the_run_ends(num_envs):
    made = config(agent__first_update_step=3_000, agent__steps_per_update=1, num_frames=160_000, env__action_repeat=4)
    clock = Clock(made)
    while not clock.finished:
        if clock.learns and clock.agent_step >= 250 * num_envs:  # replay has the first episodes
            list(clock.updates_due(steps=num_envs))
        clock.advance(num_envs)
    last = clock.agent_step - num_envs  # where updates were last asked for
    assert clock.update == last - 3_000 + 1


def test_evaluations_and_checkpoints_are_due_at_multiples_of_frames():
    clock = Clock(config(evaluation__every_frames=100, checkpoint__every_frames=150, num_frames=400))
    evaluated, saved = [], []
    while not clock.finished:
        if clock.evaluation_due:
            evaluated.append(clock.frame)
            clock.evaluation_made()
        if clock.checkpoint_due:
            saved.append(clock.frame)
            clock.checkpoint_made()
        clock.advance(25)  # 50 frames
    assert evaluated == [0, 100, 200, 300] and saved == [150, 300]


def test_parameters_are_kept_at_multiples_of_frames_and_once_wherever_the_run_is_saved():
    made = config(checkpoint__keep_every_frames=100, num_frames=400)
    clock, kept = Clock(made), []
    while not clock.finished:
        resumed = Clock(made)
        resumed.load_state(clock.state())  # it stopped before it kept them
        clock = resumed
        if clock.keeping_due:
            kept.append(clock.frame)
            clock.parameters_kept()
        resumed = Clock(made)
        resumed.load_state(clock.state())  # it stopped after
        clock = resumed
        assert not clock.keeping_due
        clock.advance(15)
    assert kept == [120, 210, 300]
    assert not Clock(config(checkpoint__keep_every_frames=0)).keeping_due


def test_never_is_never():
    clock = Clock(config(evaluation__every_frames=0, checkpoint__every_frames=0, num_frames=10**9))
    clock.advance(10**8)
    assert not clock.evaluation_due and not clock.checkpoint_due and not clock.rescoring_due
    clock.evaluation_made()
    clock.checkpoint_made()
    assert not clock.evaluation_due and not clock.checkpoint_due


@pytest.mark.parametrize("pretraining", [0, 12])
def test_a_checkpoint_s_number_grows_with_every_step_of_the_loop(pretraining):
    made = config(cloning__pretraining_updates=pretraining, replay__updates_per_call=4, agent__first_update_step=0)
    clock, numbers, steps = Clock(made), [], []
    for _ in range(pretraining // 4):
        numbers.append(clock.number)
        steps.append(clock.agent_step)
        assert clock.pretraining
        clock.next_updates()
    for _ in range(6):
        numbers.append(clock.number)
        steps.append(clock.agent_step)
        list(clock.updates_due(steps=1))
        clock.advance(1)
    assert numbers == sorted(set(numbers))
    assert [agent_step_of(number, made) for number in numbers] == steps


def test_pretraining_is_saved_by_updates():
    clock = Clock(config(cloning__pretraining_updates=25, checkpoint__every_updates=10))
    saved = []
    while clock.pretraining:
        if clock.checkpoint_due:
            saved.append(clock.update)
            clock.checkpoint_made()
        clock.next_updates()
    assert saved == [10, 20] and not clock.checkpoint_due


def test_a_restored_clock_goes_on_where_it_was_and_takes_over_new_intervals():
    clock = Clock(config(checkpoint__every_frames=100))
    clock.advance(60)
    clock.evaluation_made()
    clock.checkpoint_made()
    state = clock.state()
    again = Clock(config(checkpoint__every_frames=100))
    again.load_state(state)
    assert again.state() | {"hours": 0} == state | {"hours": 0} and again.number == clock.number
    sooner = Clock(config(checkpoint__every_frames=40))
    sooner.load_state(state)
    sooner.advance(20)  # 160 frames
    assert sooner.checkpoint_due and not again.checkpoint_due


def test_time_left_is_told_by_the_pace_after_a_start_s_first_log_interval(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("patchail_jax.run.clock.time.monotonic", lambda: now[0])
    values = config(num_frames=400, env__action_repeat=2, cloning__pretraining_updates=4, log__every_updates=2)
    clock = Clock(values)
    for _ in range(5):  # those of pre-training say nothing, nor does an interval that is not over
        clock.next_updates()
        clock.advance(5)
        now[0] += 60
        assert clock.hours_left == 0
    clock.next_updates()
    assert clock.hours_left == 0
    clock.advance(1)
    assert clock.hours_left == 0  # 2 frames of 400 are too few to tell
    clock.advance(49)
    now[0] += 3600
    assert clock.hours_left == pytest.approx(2.5)
    resumed = Clock(values)
    resumed.load_state(clock.state())
    assert resumed.hours_left == 0
    resumed.next_updates()
    resumed.next_updates()
    resumed.advance(25)
    now[0] += 360
    assert resumed.hours_left == pytest.approx(0.4)
    clock.advance(125)
    assert clock.hours_left == 0


@pytest.mark.parametrize("per_call", [1, 4])
@pytest.mark.parametrize(
    ("every", "due"), [(300, [32, 64, 128, 256, 300, 600]), (40, [32, *range(40, 601, 40)]), (0, [])]
)
def test_replay_is_scored_anew_more_often_at_first(every, due, per_call):
    clock = Clock(
        config(
            agent__first_update_step=0,
            agent__steps_per_update=1,
            replay__rescore_updates=every,
            replay__updates_per_call=per_call,
        )
    )
    made = []
    while clock.update < 600:
        clock.advance(1)
        for _ in clock.updates_due(steps=1):
            if clock.rescoring_due:
                made.append(clock.update)
    assert made == due
