"""A small run from its evaluations' films to pictures, page and maps, as the command line makes them."""

import io
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath
from filelock import FileLock
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from PIL import Image

from patchail_jax.demos import trajectory
from patchail_jax.errors import UserError
from patchail_jax.maps.kinds import KINDS
from patchail_jax.outputs.video import write_video
from patchail_jax.programs import demos, explain
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.explain import main
from patchail_jax.programs.footage import footage, read_film
from patchail_jax.programs.reports import main as reports
from patchail_jax.programs.train import train
from patchail_jax.reports import comparison, pictures
from patchail_jax.reports.page_data import page_data
from patchail_jax.reports.runs import read_run
from patchail_jax.run.reopened import open_trained
from patchail_jax.storage.replica import Replica
from tests.films import film
from tests.storage.bucket import make_bucket
from tests.test_train import arguments

pytestmark = pytest.mark.usefixtures("shared_programs")

STEPS, SIDE = 10, 16  # 80 frames an episode at action repeat 8
WORDS_OF_CONVERT = ["--task=cartpole_swingup", "--action_repeat=2", f"--image_size={SIDE}"]  # 50 steps a second


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three evaluations and two checkpoints, with films."""
    folder, cache = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("cache")
    overrides = ["--config.num_frames=480", "--config.log.films=True", "--config.demos.num_demonstrations=2"]
    overrides += ["--config.checkpoint.keep_every_frames=160", "--config.checkpoint.keep=1"]
    train(parse(arguments(folder, cache, *overrides)).config)
    return folder


@pytest.fixture(scope="module")
def trained(run):
    return open_trained(run)


def test_each_evaluation_leaves_a_film_histograms_and_scalars(run):
    assert sorted(path.name for path in (run / "videos").glob("*.mp4")) == [
        "000000000.mp4", "000000240.mp4", "000000480.mp4",
    ]  # fmt: skip
    assert len(read_film(run / "videos" / "000000480.mp4", image_size=32)) == STEPS
    lines = [json.loads(line) for line in (run / "histograms.jsonl").read_text().splitlines()]
    assert {(line["frame"], line["name"]) for line in lines} == {
        (frame, f"evaluation/{who}_{what}")
        for frame in (0, 240, 480) for who in ("expert", "agent") for what in ("logits", "rewards")
    }  # fmt: skip
    patches = 25  # 5 a side at 16 pixels
    assert all(sum(line["counts"]) == STEPS * patches for line in lines if line["name"] == "evaluation/agent_logits")
    assert all(sum(line["counts"]) == STEPS for line in lines if line["name"] == "evaluation/agent_rewards")
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (last,) = (line for line in logged if line["kind"] == "evaluation" and line["frame"] == 480)
    assert 0 <= last["evaluation/discriminator_accuracy"] <= 1 and last["memory/host_gib"] > 0
    assert last["evaluation/agent_reward"] == pytest.approx(last["evaluation/agent_logit"] / 2, rel=1e-4)  # scale 0.5


def test_the_newest_episode_is_kept_under_every_map(run, trained):
    with np.load(run / "videos" / "latest.npz") as stored:
        assert int(stored["frame"]) == 480 and stored["frames"].shape == (STEPS + 1, SIDE, SIDE, 3)
        explainer = trained.explainer()
        # The last checkpoint is of the same frame, and so is the agent's first evaluation episode.
        frames = footage("agent", trained)
        np.testing.assert_array_equal(stored["frames"], frames)
        for kind in KINDS:
            maps = explainer.explain(trained.state, frames, [kind]).maps[kind] - (kind == "attention")
            np.testing.assert_allclose(stored[f"maps_{kind}"], maps, rtol=2e-3, atol=2e-3)


def test_maps_fit_together(trained):
    explainer = trained.explainer()
    frames = footage("random", trained)
    explained = explainer.explain(trained.state, frames, KINDS)
    maps = explained.maps
    assert {one.shape for one in maps.values()} == {(STEPS, SIDE, SIDE)}
    np.testing.assert_allclose(maps["weighted"], maps["patch_rewards"] * maps["attention"], rtol=1e-5)
    assert maps["attention"].mean() == pytest.approx(1.0, abs=0.1)
    rewards = explainer.patch_rewards(trained.state, frames)
    np.testing.assert_allclose(explained.rewards, rewards.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(rewards, 0.5 * explainer.logits(trained.state, frames), rtol=1e-5)


def test_one_command_writes_sheet_film_and_maps(run, tmp_path, capsys):
    before = sorted(run.rglob("*"))
    main([f"--run={run}", "--input=agent,random", "--kind=gradcam", f"--output={tmp_path}"])
    written = capsys.readouterr().out.splitlines()
    stem = Path(written[0]).with_suffix("")
    assert stem.parent == tmp_path
    assert stem.name.startswith("cartpole_swingup_patchail_0_gradcam_agent_random_at_480_")
    assert written == [f"{stem}{suffix}" for suffix in (".png", ".pdf", ".mp4", ".gif", ".npz")]
    assert len(read_film(stem.with_suffix(".mp4"), image_size=32)) == STEPS
    with Image.open(f"{stem}.gif") as gif:
        assert gif.n_frames > 1
    with np.load(f"{stem}.npz") as stored:
        assert stored["random_maps"].shape == (STEPS, SIDE, SIDE) and stored["random_rewards"].shape == (STEPS,)
        assert len(stored["agent_frames"]) == len(stored["agent_maps"]) + 1
    assert sorted(run.rglob("*")) == before  # looking leaves the run as it is


def test_files_are_explained_at_the_run_s_size(run, trained, tmp_path, capsys):
    frames = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)
    write_video(tmp_path / "film.mp4", frames, fps=25)
    np.savez(tmp_path / "array.npz", frames=frames)
    for name in ("film.mp4", "array.npz"):
        assert footage(str(tmp_path / name), trained).shape == (6, SIDE, SIDE, 3)
    expected = np.asarray(Image.fromarray(frames[2]).resize((SIDE, SIDE), Image.Resampling.BOX))
    np.testing.assert_array_equal(footage(str(tmp_path / "array.npz"), trained)[2], expected)
    from patchail_jax.demos.trajectory import shipped

    demonstration = footage(str(shipped("cartpole_swingup")), trained)
    np.testing.assert_array_equal(demonstration, footage("expert", trained))


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_a_film_is_cut_to_its_middle_square_as_the_import_of_videos_cuts_it(trained, tmp_path, shape):
    """Red, a middle of two greys, and red again: no red is seen, and neither half of the middle is squeezed."""
    frames = np.full((6, 24, 40, 3), (255, 0, 0), np.uint8)
    frames[:, :, 8:20], frames[:, :, 20:32] = 60, 180
    frames = frames if shape == (24, 40) else np.ascontiguousarray(frames.swapaxes(1, 2))
    film = tmp_path / "film.mp4"
    write_video(film, frames, fps=50)
    np.savez(tmp_path / "array.npz", frames=frames)
    seen = footage(str(film), trained)
    demos.main(["convert", "video", str(film), str(tmp_path / "demos.npz"), *WORDS_OF_CONVERT])
    np.testing.assert_array_equal(seen, trajectory.load(tmp_path / "demos.npz").frames[0])
    exact = footage(str(tmp_path / "array.npz"), trained)
    halves = np.split(exact if shape == (24, 40) else exact.swapaxes(1, 2), 2, axis=2)
    assert [np.unique(half).tolist() for half in halves] == [[60], [180]]
    assert np.abs(seen.astype(int) - exact).mean() < 8  # a codec's colours


def test_a_film_has_the_look_that_the_run_s_demonstrations_have(trained, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
    film, converted = tmp_path / "film.mp4", tmp_path / "demos.npz"
    write_video(film, frames, fps=50)
    demos.main(["convert", "video", str(film), str(converted), *WORDS_OF_CONVERT])
    config = trained.config.copy_and_resolve_references()
    config.env.look, config.env.action_repeat = "video", 2  # as converted
    seen = footage(str(film), trained._replace(config=config))
    np.testing.assert_array_equal(seen, footage(str(converted), trained._replace(config=config)))
    assert (seen != footage(str(film), trained)).any()


def test_every_frame_of_a_film_of_irregular_times_is_seen_once(tmp_path):
    greys = np.linspace(20, 220, 12).round()
    frames = np.broadcast_to(greys[:, None, None, None], (12, 32, 48, 3)).astype(np.uint8)
    film(tmp_path / "film.mp4", frames, 25, times=np.arange(12) ** 2 / 25)
    seen = read_film(tmp_path / "film.mp4", image_size=16)
    assert np.abs(seen.mean(axis=(1, 2, 3))[:, None] - greys).argmin(axis=1).tolist() == list(range(12))


def files(tmp_path, *names):
    """Episodes of four frames, each of its own grey, by name below ``tmp_path``."""
    for value, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.savez(tmp_path / name, frames=np.full((4, SIDE, SIDE, 3), 50 * value, np.uint8))


def test_inputs_that_would_have_one_title_are_refused(run, tmp_path):
    files(tmp_path, "good/film.npz", "bad/film.npz", "expert.npz")
    for first, second in (("good/film.npz", "bad/film.npz"), ("expert", "expert.npz")):
        first = first if first == "expert" else str(tmp_path / first)
        for words in ([f"--run={run}"], ["--compare", str(run)]):
            with pytest.raises(UserError, match=r"would both be shown as (film|expert): rename one of them"):
                main([*words, f"--input={first},{tmp_path / second}", f"--output={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_pictures_of_other_runs_and_files_have_other_names(run, tmp_path, capsys, monkeypatch):
    """In one folder: two runs of one task, method and seed, and inputs that a title does not tell apart."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: Path(path).touch())  # their names matter here
    other = tmp_path / "other"
    shutil.copytree(run, other)
    files(tmp_path, "a/film.npz", "b/film.npz", "expert.npz")
    inputs = ["expert", *(str(tmp_path / name) for name in ("expert.npz", "a/film.npz", "b/film.npz"))]
    asked = [["--compare", str(run), f"--input={one}"] for one in inputs] + [["--compare", str(run), str(other)]]
    asked += [[f"--run={run}", "--input=expert"], [f"--run={other}", "--input=expert"]]

    def name(words):
        main([*words, f"--output={tmp_path / 'out'}"])
        return capsys.readouterr().out.splitlines()[0]

    names = [name(words) for words in asked]
    assert len(set(names)) == len(asked)
    for again in (0, 1, 4, 5):  # one of each kind: what is asked again has the same name
        assert name(asked[again]) == names[again]
    assert all(name.count("cartpole_swingup_patchail_0") >= 1 for name in names)


def test_an_input_whose_name_is_not_text_is_explained(run, tmp_path, capsys):
    folder = Path(os.fsdecode(b"d\xe9mos"))  # Latin-1, of another system
    name = folder / os.fsdecode(b"l\xe9vier.npz")
    files(tmp_path, name)
    main([f"--run={run}", f"--input={tmp_path / name}", f"--output={tmp_path / 'out'}"])
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.is_file() and "udce9vier" in path.name for path in written) and len(written) == 5


def test_a_comparison_of_many_runs_has_a_name_that_a_disk_takes(tmp_path):
    found = explain._stem(["comparison", *["quadruped_run_patchail_w_0"] * 60], [tmp_path], ["expert"])
    assert len(found.encode()) < 200 and found != explain._stem(["comparison", *["ä" * 300]], [tmp_path], ["expert"])


def test_runs_are_compared_on_the_same_frames(run, tmp_path, capsys):
    main(["--compare", str(run), str(run), "--kind=attention", "--input=expert", f"--output={tmp_path}"])
    png, pdf = map(Path, capsys.readouterr().out.splitlines())
    assert png.name.startswith("comparison_attention_expert_cartpole_swingup_patchail_0_at_480_")
    assert png.suffix == ".png" and pdf.read_bytes().startswith(b"%PDF")


def explained(path, method="patchail", seed=0, frame=480, steps=20):
    episode = np.zeros((steps + 1, 8, 8, 3), np.uint8), np.linspace(-1, 1, steps)[:, None, None] * np.ones((1, 8, 8))
    return comparison.ExplainedRun(Path(path), method, "cheetah_run", seed, frame, {"expert": episode})


def test_runs_of_a_comparison_can_be_told_apart():
    runs = [explained("runs/a"), explained("runs/b", "bc", frame=1_000_000), explained("runs/c", seed=1)]
    assert comparison.names_of(runs) == [
        "PatchAIL, seed 0, 480 frames",
        "BC, 1,000,000 frames",
        "PatchAIL, seed 1, 480 frames",
    ]
    same = [explained("runs/a/seed_0"), explained("runs/b/seed_0", frame=160_000)]
    assert comparison.names_of(same) == [
        "PatchAIL, seed 0, a/seed_0, 480 frames", "PatchAIL, seed 0, b/seed_0, 160,000 frames",
    ]  # fmt: skip
    assert comparison.names_of(runs[1:2]) == ["BC, 1,000,000 frames"]


@pytest.mark.parametrize(("steps", "shown"), [(20, 8), (2, 2), (1, 1)])
def test_a_comparison_says_its_steps_and_what_its_colours_mean(tmp_path, monkeypatch, steps, shown):
    drawn = []
    monkeypatch.setattr(comparison, "write_figure", lambda figure, stem: drawn.append(figure) or [stem])
    comparison.comparison(tmp_path / "stem", [explained("a", steps=steps)], label="patch reward")
    *axes, bar = drawn[0].axes
    titles = [axis.get_title() for axis in axes if axis.get_title()]
    assert len(set(titles)) == len(titles) == shown and all(title.startswith("step ") for title in titles)
    assert sum(len(axis.images) for axis in axes) == 2 * shown and "each run's own scale" in bar.get_ylabel()


def test_a_comparison_says_whose_agent_has_played(run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(comparison, "write_figure", lambda figure, stem: drawn.append(figure) or [stem])
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((run / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "seed": 1}))
    files(tmp_path, "agent.npz")
    for runs, source in (([run, other], "agent"), ([run], "agent"), ([run, other], str(tmp_path / "agent.npz"))):
        explain.compare_runs(runs, sources=[source], kind="patch_rewards", output=tmp_path)
    titles = [figure.axes[0].texts[0].get_text() for figure in drawn]
    alone = "cartpole swingup, agent"
    assert titles == [f"{alone} of PatchAIL, seed 0, 480 frames", alone, alone]
    drawn[0].draw_without_rendering()
    apart = np.diff([axis.get_position().x0 for axis in drawn[0].axes[:8]])
    np.testing.assert_allclose(apart, apart[0], rtol=0.01)  # however long the names are


def test_picture_comparison_and_page_say_what_red_is_where_it_is_not_expert_like(run, tmp_path, monkeypatch):
    labels = []
    for module in (comparison, pictures):
        monkeypatch.setattr(module, "colour_bar", lambda figure, axes, limit, label: labels.append(label))
        monkeypatch.setattr(module, "write_figure", lambda figure, stem: [stem])
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((run / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "reward": {**config["reward"], "form": "fairl"}}))
    main([f"--run={other}", "--input=expert"])
    main(["--compare", str(run), str(other), "--input=expert", f"--output={tmp_path}"])
    labels.append(page_data(read_run(other))["episode"]["kinds"]["patch_rewards"])
    assert len(labels) == 3 and all(label.startswith("patch reward, red is above 0, blue below") for label in labels)


@pytest.mark.parametrize("place", ["file", "file/below/it"])
def test_a_file_in_the_place_of_the_folder_to_write_into_is_refused_before_anything_is_drawn(tmp_path, place):
    (tmp_path / "file").touch()
    for program, words in ((main, ["--run=nothing"]), (reports, ["curves", "nothing"])):
        with pytest.raises(UserError, match=f"{tmp_path}/file is a file: name a folder"):
            program([*words, f"--output={tmp_path / place}"])
        (tmp_path / "file").unlink()
        (tmp_path / "file").symlink_to(tmp_path / "gone")
        with pytest.raises(UserError, match=f"{tmp_path}/file is a link that leads nowhere: name a folder"):
            program([*words, f"--output={tmp_path / place}"])
        (tmp_path / "file").unlink()
        (tmp_path / "file").touch()


def test_several_episodes_stand_below_each_other_on_one_scale(run, tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(comparison, "write_figure", lambda figure, stem: drawn.append(figure) or [stem])
    main(["--compare", str(run), "--kind=weighted", "--input=expert,random", f"--output={tmp_path}"])
    assert capsys.readouterr().out.startswith(f"{tmp_path}/comparison_weighted_expert_random_")
    (figure,) = drawn
    grid = np.reshape([len(axis.images) for axis in figure.axes[:-1]], (4, -1))  # frames and maps, twice
    assert (grid == 1).all()
    titles = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert titles == ["cartpole swingup, expert", "PatchAIL, 480 frames", "random", "PatchAIL, 480 frames"]


def test_an_older_checkpoint_is_another_discriminator(run, trained):
    assert [path.name for path in (run / "checkpoints").iterdir() if path.name.isdecimal()] == ["60"]
    first, older = open_trained(run, number=20), open_trained(run, number=40)  # of these the parameters alone
    assert (first.frame, older.frame, trained.frame) == (160, 320, 480)
    updates = [int(one.state.learner.update) for one in (first, older, trained)]
    assert updates == sorted(set(updates))
    size = (run / "parameters" / "40.npz").stat().st_size
    assert size < 0.7 * sum(leaf.nbytes for leaf in jax.tree.leaves(trained.state))


def test_explaining_an_older_checkpoint_takes_its_parameters(run, tmp_path, capsys):
    main([f"--run={run}", "--checkpoint=40", "--input=expert", f"--output={tmp_path}"])
    assert "_expert_at_320_" in capsys.readouterr().out.splitlines()[0]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "parameters" / "40.npz").write_bytes((run / "parameters" / "40.npz").read_bytes()[:-300])
    with pytest.raises(UserError, match="40.npz: not a complete .npz file"):
        open_trained(copy, number=40)


def test_a_run_whose_checkpoints_are_gone_does_not_go_on_from_parameters(run, tmp_path, caplog):
    copy, cache = tmp_path / "run", tmp_path / "cache"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints")
    (copy / "finished.json").unlink()  # or the start would be refused
    stored = ConfigDict(json.loads((copy / "config.json").read_text()))
    stored.run_folder, stored.demos.cache_dir, stored.num_frames = str(copy), str(cache), 80
    train(stored)
    assert "resumed at" not in caplog.text and open_trained(copy).frame == 80


def test_the_page_of_a_real_run_has_its_episode(run, tmp_path):
    reports(["html", str(run), f"--output={tmp_path}"])
    text = (tmp_path / "cartpole_swingup_patchail_0.html").read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["episode"]["frame"] == 480 and set(data["episode"]["sprites"]) == {"frames", *KINDS}
    assert [one["frame"] for one in data["histograms"]["agent"]] == [0, 240, 480]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint=3"], "no checkpoint 3 in .*; there are 20, 40, 60"),
        (["--input=somebody"], "expert, agent, random, or a file that is there"),
        (["--input=/nowhere.mp4"], "no input '/nowhere.mp4'"),
        (["--kind=saliency"], "invalid choice"),
        (["--compare", "x"], "give --run=RUN, or --compare"),
    ],
)
def test_bad_input_is_one_line(run, words, message):
    with pytest.raises(UserError, match=message) as error:
        main([f"--run={run}", *words])
    assert "\n" not in str(error.value)


def test_files_that_are_no_films_are_one_line(trained, tmp_path, monkeypatch):
    whole, one = io.BytesIO(), io.BytesIO()
    np.savez(whole, frames=np.random.default_rng(0).integers(0, 256, (9, SIDE, SIDE, 3), dtype=np.uint8))
    np.save(one, np.zeros((3, SIDE, SIDE, 3), np.uint8))
    cut, flipped = whole.getvalue()[:-100], bytearray(whole.getvalue())
    flipped[1_000] ^= 255
    for name, content, message in (
        ("no.mp4", b"text", "no.mp4: cannot be read as a video"),
        ("no.npz", b"text", "no.npz: not a complete .npz file"),
        ("cut.npz", cut, "cut.npz: (not a complete|cannot be read)"),
        ("flipped.npz", bytes(flipped), "flipped.npz: cannot be read"),
        ("an_array.npz", one.getvalue(), "an_array.npz: not a complete .npz file"),
        ("x.hdf5", b"", "x.hdf5: convert it first: patchail demos convert hdf5"),
        ("x.pkl", b"", "x.pkl: convert it first: patchail demos convert pickle"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            footage(str(tmp_path / name), trained)
    np.savez(tmp_path / "flat.npz", frames=np.zeros((3, 3)))
    with pytest.raises(UserError, match="must be"):
        footage(str(tmp_path / "flat.npz"), trained)
    np.savez(tmp_path / "small.npz", frames=np.zeros((3, SIDE, 12, 3), np.uint8))
    with pytest.raises(UserError, match="small.npz: frames of 12x16 pixels are too small for an image size of 16"):
        footage(str(tmp_path / "small.npz"), trained)
    np.savez(tmp_path / "one.npz", frames=np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="one.npz has 1 frame; a step takes two"):
        footage(str(tmp_path / "one.npz"), trained)
    np.save(tmp_path / "frames.npy", np.zeros((3, SIDE, SIDE, 3), np.uint8))
    with pytest.raises(UserError, match=r"frames.npy is an .npy: .* numpy.savez\('FILE.npz', frames=...\)"):
        footage(tmp_path / "frames.npy", trained)
    monkeypatch.setattr("patchail_jax.programs.footage.available", lambda: 100)
    with pytest.raises(UserError, match="of memory are free: name a file of fewer frames"):
        footage(tmp_path / "small.npz", trained)


def test_a_folder_without_a_run_or_without_a_checkpoint_is_one_line(run, tmp_path):
    with pytest.raises(UserError, match="not the folder of a run"):
        open_trained(tmp_path)
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    with pytest.raises(UserError, match="there is no checkpoint in"):
        open_trained(tmp_path)
    config = json.loads((run / "config.json").read_text())
    config["agent"]["discount_rate"] = config["agent"].pop("discount")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="another version"):
        open_trained(tmp_path)


def test_runs_that_see_other_frames_are_not_compared_on_one_s(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    for field, value, said in (("quality", "full", "fast and full"), ("look", "video", "none and video")):
        config = json.loads((run / "config.json").read_text())
        config["env"][field] = value
        (other / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match=rf"see cartpole_swingup in other ways, by env.{field} \({said}\)"):
            main(["--compare", str(run), str(other), "--input=random", f"--output={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_version_is_not_recorded(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["agent"] = "drqv2"
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="another version of this program"):
        demos.main(["record", str(tmp_path / "run"), str(tmp_path / "out.npz"), "--episodes=1"])
    assert not (tmp_path / "out.npz").exists()


def test_a_run_that_is_going_on_is_not_recorded_and_another_user_s_is(run, tmp_path):
    there = tmp_path / "run"
    shutil.copytree(run, there)
    words = ["record", str(there), str(tmp_path / "out.npz"), "--episodes=1"]
    with FileLock(there / "lock"), pytest.raises(UserError, match="a process is training in .*run: wait for its end"):
        demos.main(words)
    before = sorted(there.iterdir())
    (there / "lock").unlink()
    demos.main(words)  # without a lock, which the reader may have no right to make
    assert sorted(there.iterdir()) == [path for path in before if path.name != "lock"]


def test_a_run_in_a_bucket_is_explained_reported_and_recorded_too(run, tmp_path, monkeypatch, capsys):
    make_bucket(monkeypatch, tmp_path / "cache")
    replica = Replica(epath.Path("gs://bucket/run"), tmp_path / "copy")
    shutil.copytree(run, tmp_path / "copy", dirs_exist_ok=True)
    replica.push()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="a process is training in gs://bucket/run"):
        demos.main(["record", "gs://bucket/run", "episodes.npz", "--episodes=1"])
    replica.lease.release()
    main(["--run=gs://bucket/run", "--input=random"])
    reports(["html", "gs://bucket"])
    assert {path.suffix for path in (tmp_path / "reports").iterdir()} >= {".mp4", ".npz", ".html"}
    demos.main(["record", "gs://bucket/run", "episodes.npz", "--episodes=1"])
    recorded = trajectory.load(tmp_path / "episodes.npz")
    assert len(recorded.rewards) == 1 and "checkpoint at 480 frames" in recorded.metadata["source"]
