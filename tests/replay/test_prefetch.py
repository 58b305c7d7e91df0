"""What is fetched ahead is what would have been drawn."""

import threading

import pytest

from patchail_jax.replay.prefetch import Prefetch


def test_the_next_draw_runs_ahead_in_a_thread_and_is_taken_once():
    drawn = []

    def draw(update):
        drawn.append((update, threading.current_thread() is threading.main_thread()))
        return update * 10

    prefetch = Prefetch(draw, updates_per_call=2)
    assert [prefetch.take(update) for update in (4, 6, 8)] == [40, 60, 80]
    prefetch.close()
    assert drawn == [(4, True), (6, False), (8, False), (10, False)]


def test_a_change_of_replay_drops_what_was_fetched_from_the_old_one():
    replay = ["old"]
    prefetch = Prefetch(lambda update: (update, replay[0]), updates_per_call=1)
    assert prefetch.take(0) == (0, "old")
    prefetch.drop()
    replay[0] = "new"
    assert prefetch.take(1) == (1, "new")
    assert prefetch.take(5) == (5, "new")  # an update out of order is drawn anew
    prefetch.close()


def test_an_error_in_the_thread_comes_with_the_batch():
    def draw(update):
        if update == 1:
            raise ValueError("no such window")
        return update

    prefetch = Prefetch(draw, updates_per_call=1)
    assert prefetch.take(0) == 0
    with pytest.raises(ValueError, match="no such window"):
        prefetch.take(1)
    prefetch.close()
