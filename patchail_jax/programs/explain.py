"""See where the reward comes from: ``patchail explain --run=runs/cheetah_run/patchail/seed_0``.

``--input`` names episodes, ``expert,agent`` unless asked otherwise, and ``--kind`` one of four maps over their frames.
Writes a contact sheet (PNG, PDF), a film (mp4, gif) and the maps (npz), all inputs on one scale, and prints the names.
A name says what is shown, and ends in eight hex digits that stand for the folders of runs and files: nothing of another
run or file is replaced.
``--compare RUN RUN ...`` draws the rows of the paper's Figures 1 and 5 instead: the same frames under each run's maps.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from patchail_jax.errors import UserError, printable
from patchail_jax.files import npz
from patchail_jax.files.home import expanded
from patchail_jax.maps.kinds import KINDS, meaning, signed
from patchail_jax.programs.arguments import Arguments, output_folder
from patchail_jax.storage.remote import is_remote, reading_copy

if TYPE_CHECKING:
    from patchail_jax.run.reopened import Trained

_LONGEST = 180  # bytes of a name: file systems have room for 255, endings included


def explain_run(path: Path, *, step: int | None, sources: Sequence[str], kind: str, output: Path | None) -> list[Path]:
    """Explains episodes of one run; returns what it has written."""
    from patchail_jax.outputs.explaining_film import ExplainedEpisode, explaining_film
    from patchail_jax.outputs.video import FEW_STEPS, FRAMES_PER_SECOND, SIDE, write_video
    from patchail_jax.programs.footage import footage
    from patchail_jax.reports.pictures import contact_sheet
    from patchail_jax.run.reopened import open_trained

    trained = open_trained(path, number=step)
    explainer = trained.explainer()
    episodes: list[ExplainedEpisode] = []
    arrays: dict[str, np.ndarray] = {}
    titles = _titles(sources)
    for source, name in titles.items():
        frames = footage(source, trained)
        _, rewards, found = explainer.explain(trained.state, frames, [kind])
        maps = found[kind]
        episodes.append(ExplainedEpisode(name, frames, signed(kind, maps), rewards))
        arrays |= {f"{name}_frames": frames, f"{name}_maps": maps, f"{name}_rewards": rewards}
    words = [*_words(trained), kind, *titles.values(), f"at_{trained.frame}"]
    stem = (output or path / "explain") / _stem(words, [path], sources)
    written = contact_sheet(stem, episodes, label=meaning(kind, [trained.config.reward.form]))
    every = -(-max(len(episode.maps) for episode in episodes) // FEW_STEPS)
    for suffix, stride, side in ((".mp4", 1, SIDE), (".gif", every, SIDE // 2)):
        written.append(stem.with_name(stem.name + suffix))
        write_video(written[-1], explaining_film(episodes, side=side)[::stride], fps=FRAMES_PER_SECOND / stride)
    written.append(stem.with_name(f"{stem.name}.npz"))
    npz.write(written[-1], arrays, compressed=True)
    return written


def compare_runs(paths: Sequence[Path], *, sources: Sequence[str], kind: str, output: Path) -> list[Path]:
    """The newest checkpoints of several runs on the same frames, tasks side by side.

    One source is a row a method (Figure 5); ``expert,random`` under one method's weighted maps is Figure 1.
    """
    from patchail_jax.programs.footage import footage
    from patchail_jax.reports.comparison import ExplainedRun, comparison
    from patchail_jax.run.reopened import open_trained

    found: list[ExplainedRun] = []
    forms: list[str] = []
    titles = _titles(sources)
    words = ["comparison", kind, *titles.values()]
    first: dict[str, Trained] = {}
    shown: dict[tuple[str, str], np.ndarray] = {}
    for path in paths:
        trained = open_trained(path)
        _refuse_other_view(first.setdefault(trained.config.env.task, trained), trained)
        explainer, episodes = trained.explainer(), {}
        for source in sources:
            place = trained.config.env.task, source
            if place not in shown:  # the first run's: all rows of a task show the same
                shown[place] = footage(source, trained)
            maps = explainer.explain(trained.state, shown[place], [kind]).maps[kind]
            episodes[titles[source]] = shown[place], signed(kind, maps)
        config = trained.config
        forms.append(config.reward.form)
        found.append(ExplainedRun(path, config.method, config.env.task, config.seed, trained.frame, episodes))
        words += [*_words(trained), f"at_{trained.frame}"]
    stem = output / _stem(words, paths, sources)
    return comparison(stem, found, label=meaning(kind, forms), played=titles.get("agent", ""))


def _refuse_other_view(one: "Trained", other: "Trained") -> None:
    """``UserError`` where ``other`` has learned from frames of another form than ``one``, whose frames it would see."""
    from patchail_jax.run.design import view_of

    fields = zip(view_of(one.config)._asdict().items(), view_of(other.config), strict=True)
    if differ := [f"env.{name} ({mine} and {its})" for (name, mine), its in fields if mine != its]:
        raise UserError(
            f"{one.path} and {other.path} see {one.config.env.task} in other ways, by {', '.join(differ)}: "
            "compare runs that see the same frames"
        )


def _titles(sources: Sequence[str]) -> dict[str, str]:
    """A title for each source, its name without folder and ending; ``UserError`` where two would have the same."""
    sources_by_title: dict[str, str] = {}
    for source in sources:
        title = printable(Path(source).stem)
        other = sources_by_title.setdefault(title, source)
        if other != source:
            raise UserError(f"{other} and {source} would both be shown as {title}: rename one of them")
    return {source: title for title, source in sources_by_title.items()}


def _words(trained: "Trained") -> list[str]:
    return [trained.config.env.task, trained.config.method, str(trained.config.seed)]


def _stem(words: Iterable[str], runs: Iterable[Path], sources: Iterable[str]) -> str:
    """The name of a picture: its words, cut where they are many, and digits for all of them and for what it is of."""
    from patchail_jax.programs.footage import INPUTS

    name = "_".join(words).replace("/", "_")
    files = (expanded(source) for source in sources if source not in INPUTS)
    places = [str(path.resolve()) for path in (*runs, *files)]
    digits = hashlib.sha256(os.fsencode("\n".join([name, *places]))).hexdigest()[:8]
    return f"{name.encode()[:_LONGEST].decode(errors='ignore')}_{digits}"


def main(argv: Sequence[str]) -> None:
    """Explains what ``argv`` asks for."""
    options = _parser().parse_args(argv)
    if (options.run is None) == (options.compare is None):
        raise UserError("give --run=RUN, or --compare RUN RUN ...")
    sources = list(dict.fromkeys(options.input.split(",")))
    if options.compare is None:
        output = options.output or (Path("reports") if is_remote(options.run) else None)
        run = reading_copy(options.run)
        written = explain_run(run, step=options.checkpoint, sources=sources, kind=options.kind, output=output)
    elif options.checkpoint is not None:
        raise UserError("--compare takes the newest checkpoint of each run, not --checkpoint")
    else:
        output = options.output or Path("reports")
        runs = [reading_copy(run) for run in dict.fromkeys(options.compare)]
        written = compare_runs(runs, sources=sources, kind=options.kind, output=output)
    for path in written:
        sys.stdout.write(f"{path}\n")


def _parser() -> Arguments:
    parser = Arguments(prog="patchail explain", description="Where the reward comes from, in pictures.")
    parser.add_argument("--run", help="a run folder, which may be gs://")
    parser.add_argument("--compare", nargs="+", metavar="RUN", help="run folders, for Figures 1 and 5")
    parser.add_argument(
        "--checkpoint",
        type=int,
        metavar="NUMBER",
        help="number of a checkpoint in RUN/checkpoints or RUN/parameters (default: the newest)",
    )
    parser.add_argument(
        "--input", default="expert,agent", help="expert, agent, random, FILE.mp4, FILE.npz; several with commas"
    )
    parser.add_argument("--kind", choices=list(KINDS), default="patch_rewards", help="%(default)s unless given")
    parser.add_argument(
        "--output", type=output_folder, help="folder to write into; RUN/explain, or reports with --compare and gs://"
    )
    return parser
