"""Demonstrations of 30 and 100 steps: what is shown and summed of the shorter one ends where it ends."""

import contextlib
import re
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.demos import description, trajectory
from patchail_jax.demos.expert_set import load_expert_set, select
from patchail_jax.demos.form import Demonstration, assemble
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError
from patchail_jax.programs import footage
from patchail_jax.reports.runs import expert_return
from patchail_jax.run import evaluation_outputs, summary
from patchail_jax.types import Episode

LENGTHS = (30, 100)
TASK = {"task": "my_robot", "action_repeat": 2}


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return [
        Demonstration(
            rng.integers(1, 256, size=(length + 1, 16, 16, 3), dtype=np.uint8),  # 1: black is what is not there
            rng.uniform(0.5, 1, size=(length, 2)).astype(np.float32),
            rng.uniform(size=length).astype(np.float32),
        )
        for length in LENGTHS
    ]


@pytest.fixture
def recorded(parts):
    """As a file may hold them: behind the end of the shorter one stands what means nothing."""
    whole = assemble(parts, TASK, name="these")
    whole.rewards[0, LENGTHS[0] :] = 1000.0
    whole.actions[0, LENGTHS[0] :] = -1.0
    return whole


@pytest.fixture
def file(tmp_path, recorded):
    trajectory.save(tmp_path / "mine.npz", recorded)
    return tmp_path / "mine.npz"


@pytest.fixture
def experts(file):
    view = View(**TASK, image_size=16)
    return load_expert_set(select(view, path=file, num_demonstrations=0), view, cache_dir=file.parent)


@pytest.mark.parametrize("key", ["actions", "rewards"])
@pytest.mark.parametrize("count", [1, LENGTHS[1] + 1])
def test_parts_that_have_not_one_a_step_are_refused_and_not_repeated(parts, key, count):
    odd = parts[1]._replace(**{key: np.resize(getattr(parts[1], key), (count, *getattr(parts[1], key).shape[1:]))})
    with pytest.raises(UserError, match=f"these: demonstration 1: {count} {key} and 101 frames or states: give 100"):
        assemble([parts[0], odd], TASK, name="these")


def test_a_list_of_frames_is_refused(parts):
    with pytest.raises(UserError, match="demonstration 0: 'observed' must be a numpy array, not a list"):
        assemble([parts[0]._replace(observed=list(parts[0].observed))], TASK, name="these")


def test_a_demonstration_comes_at_its_length(experts, recorded, parts):
    for d, part in enumerate(parts):
        np.testing.assert_array_equal(experts.demonstration(d), part.observed)
        for got, wanted in zip(recorded.demonstration(d), part, strict=True):
            np.testing.assert_array_equal(got, wanted)
    bare = recorded._replace(actions=None, rewards=None)
    assert (
        bare.demonstration(0)[1:] == (None, None) and len(bare._replace(lengths=None).demonstration(0).observed) == 101
    )


def episode(length=8):
    nothing = np.zeros(length, np.float32)
    return Evaluation(
        np.zeros(1), Episode(np.ones((length + 1, 16, 16, 3), np.uint8), nothing[:, None], nothing, nothing)
    )


def test_evaluations_show_no_frame_behind_the_end(experts, parts, tmp_path):
    seen = []

    class Explainer:
        kinds = ()

        def explain(self, state, frames, kinds):
            seen.append(frames)
            steps = len(frames) - 1
            return SimpleNamespace(logits=np.ones((steps, 2, 2)), rewards=np.ones(steps), maps={})

    outputs = evaluation_outputs.EvaluationOutputs(
        SimpleNamespace(videos=tmp_path), SimpleNamespace(devices=[]), Explainer(), experts, films=False
    )
    counted = {}
    metrics = SimpleNamespace(
        histogram=lambda name, counts, edges, frame: counted.update({name: counts.sum()}),
        looked_at=lambda kind: contextlib.nullcontext(),
    )
    outputs.write(None, episode(), metrics, frame=40)
    assert [len(frames) for frames in seen] == [31, 9]
    np.testing.assert_array_equal(seen[0], parts[0].observed)
    assert counted["evaluation/expert_rewards"] == 30 and counted["evaluation/agent_rewards"] == 8


def test_the_summary_shows_no_frame_behind_the_end(experts, parts, tmp_path):
    (tmp_path / "pictures").mkdir()
    rows = "agent,task,seed,frame,episode_reward,hour\nbc,my_robot,0,0,1.0,0\nbc,my_robot,0,40,2.0,0\n"
    (tmp_path / "eval.csv").write_text(rows)
    judged = []

    def explain(state, frames, kinds):
        judged.append(frames)
        steps = len(frames) - 1
        return np.zeros((steps, 1, 1)), np.zeros(steps), {"patch_rewards": np.zeros((steps, 16, 16))}

    folder = SimpleNamespace(path=tmp_path, eval_csv=tmp_path / "eval.csv", pictures=tmp_path / "pictures")
    run = SimpleNamespace(
        config=ConfigDict({"env": {"task": "my_robot"}, "reward": {"form": "airl"}, "seed": 0, "method": "bc"}),
        snapshot=SimpleNamespace(folder=folder),
        log=SimpleNamespace(metrics=SimpleNamespace(looked_at=lambda kind: contextlib.nullcontext())),
        experts=experts,
        explainer=SimpleNamespace(explain=explain),
        specs=SimpleNamespace(feature_count=1, image_size=16),
        method=SimpleNamespace(discriminator=True),
        learner=SimpleNamespace(state=None),
    )
    summary.write_summary(run, episode())
    np.testing.assert_array_equal(judged[0], parts[0].observed)


def test_the_expert_s_footage_has_no_frame_behind_the_end(experts, parts, monkeypatch):
    monkeypatch.setattr(footage, "load_experts", lambda config, action_size: experts)
    trained = SimpleNamespace(config=ConfigDict({"demos": {"path": ""}}), specs=SimpleNamespace(action_size=2))
    np.testing.assert_array_equal(footage.footage("expert", trained), parts[0].observed)


def test_reports_sum_no_reward_behind_the_end(file, parts):
    returns = [part.rewards.sum(dtype=np.float64) for part in parts]
    assert expert_return({"task": "my_robot"}, {"path": str(file)}) == pytest.approx(np.mean(returns))
    assert expert_return({"task": "my_robot"}, {"path": str(file), "num_demonstrations": 1}) == pytest.approx(
        returns[0]
    )


def test_the_description_counts_nothing_behind_the_end(recorded):
    lines = description.describe(recorded)
    (actions,) = (line for line in lines if line.startswith("actions"))
    assert float(re.search(r"from (\S+) to", actions)[1]) >= 0.5
    same = recorded._replace(actions=np.where(np.arange(100)[None, :, None] < recorded.steps[:, None, None], 0.5, 0))
    assert any("all actions are the same" in line for line in description.describe(same))
