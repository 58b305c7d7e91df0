"""The loop: Algorithm 1 of the paper.

Every random draw is a function of the seed and of the clock's counters, so a run that was killed goes on as if it had
not been. Evaluations run beside the training where environments have processes of their own.
"""

import logging
from collections.abc import Callable

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.errors import Unavailable
from patchail_jax.run.parts import Parts

_log = logging.getLogger(__name__)

STEPS_BETWEEN_AGREEMENTS = 32  # of several processes on whether to stop
SECONDS_BETWEEN_LOOKS = 0.2  # at whether an evaluation that is waited for is done, or a stop is asked for
_AFTER = ". Free some space, or fix the disk: the same command then resumes from the newest checkpoint that is there"

Stop = Callable[[], int | None]  # the number of the signal that asks to stop, if one has come


def train(run: Parts, stop: Stop) -> Evaluation | None:
    """Plays and learns to ``config.num_frames``; returns the last evaluation, None if an earlier start made it.

    ``KeyboardInterrupt`` with the signal's number once a stop has been saved; ``NotFiniteValues`` where an update gave
    a number that is not finite.
    """
    clock = run.clock
    if not run.snapshot.restore():
        run.actors.start()
    elif run.snapshot.finished:
        _log.info("this run is finished; to train on, raise config.num_frames")
        return None
    pretrain(run, stop)
    while not clock.finished:
        save_and_stop(run, stop)
        if clock.keeping_due:
            run.snapshot.keep_parameters()
        if clock.checkpoint_due or clock.evaluation_due:
            wait_for_evaluation(run, stop)
        if clock.checkpoint_due:
            # Before the evaluation that may be due now: a run that resumes here makes it then.
            run.snapshot.save()
        if clock.evaluation_due:
            run.evaluations.start(run.learner)
        run.evaluations.log_what_is_done()
        step(run)
    wait_for_evaluation(run, stop)
    if not run.snapshot.save():  # a run that resumes here makes the last evaluation, and all that comes after it
        raise Unavailable(f"the last state is not saved, so the run has not ended{_AFTER}")
    run.evaluations.start(run.learner)
    return wait_for_evaluation(run, stop)


def step(run: Parts) -> None:
    """One step of every environment and the updates that it makes due (Algorithm 1, lines 3 to 8)."""
    clock, learner, experience, actors, log = run.clock, run.learner, run.experience, run.actors, run.log
    steps = actors.num_envs * run.hosts.processes
    plays = run.method.needs.environment
    actions = learner.explore(actors.observations(), clock.agent_step) if plays else None  # line 3: dispatched
    if clock.learns and experience.ready:
        for update in clock.updates_due(steps=steps):  # lines 5 to 8: the devices work on them during the rest
            log.updates(learner.update(experience.batch(update)))
            if clock.rescoring_due:
                experience.rescore(learner.score)
    if plays:
        for episode in actors.step(actions):  # line 4
            experience.add(learner.label(episode))
            log.episode(episode)
    clock.advance(steps)


def pretrain(run: Parts, stop: Stop) -> None:
    """The updates on the demonstrations alone that come before the first step."""
    clock = run.clock
    if not clock.pretraining:
        return
    while clock.pretraining:
        save_and_stop(run, stop)
        if clock.checkpoint_due:
            run.snapshot.save()
        run.log.updates(run.learner.pretrain(run.experience.expert_batch(clock.next_updates())))
    run.log.write()  # what comes next is measured by other names


def wait_for_evaluation(run: Parts, stop: Stop) -> Evaluation | None:
    """Waits for the evaluation that is going on and logs it; a stop waits for none, which a resume makes again."""
    done = False
    while not done:
        save_and_stop(run, stop, agree=True)
        done = run.hosts.smallest(int(run.evaluations.wait(SECONDS_BETWEEN_LOOKS))) == 1
    return run.evaluations.finish()


def save_and_stop(run: Parts, stop: Stop, *, agree: bool = False) -> None:
    """Saves and raises ``KeyboardInterrupt`` if this process or any other was asked to stop.

    ``Unavailable`` if it was and nothing could be saved. Several processes ``agree`` where each does so at the same
    place, and else every few steps.
    """
    number = stop()
    if run.hosts.processes > 1:
        rounds = run.clock.agent_step // (run.actors.num_envs * run.hosts.processes)
        # All processes are told at the same step, and gather at the same steps.
        agree = agree or rounds % STEPS_BETWEEN_AGREEMENTS == 0
        number = run.hosts.largest(number or 0) if agree else None
    if number:
        if not run.snapshot.save(stopping=True):
            raise Unavailable(f"stopped by signal {number}, and nothing could be saved{_AFTER}")
        raise KeyboardInterrupt(number)
