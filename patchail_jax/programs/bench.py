"""How fast this machine is: ``make bench``, or ``patchail bench --config=cheetah``.

Four tables on the console, and the same numbers as JSON in ``--output=FILE`` (bench.json), rewritten after each, with
the command, the commit and the machine that they were made with:

- agent steps per second of the environments alone, rendering included, in 1, 2, 4, ... processes;
- milliseconds per update of every method on random frames of the config's shapes: the median over rounds of dispatched
  updates with one wait at the end, as the loop runs them, after the compilation and a warm-up round;
- beside each, the floor: its operations, counted from the shapes, over the device's measured matrix rate;
- agent steps per second of the loop as a whole.

``--quick`` measures PatchAIL alone, ``--tasks`` the environments of the paper's tasks. Compiling takes minutes on
a CPU, so there it measures fewer variants: all in the config's precision, and one of them in the other too.
``--against=torch`` measures PatchAIL's update alone, and the same update in PyTorch beside it.
``--compile_for=h100`` measures nothing: it compiles the updates for devices that are not here.
"""

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.envs.rendering import QUALITIES
from patchail_jax.envs.tasks import PAPER_TASKS
from patchail_jax.files.whole_file import write_text
from patchail_jax.programs.arguments import Arguments, output_file
from patchail_jax.programs.command_line import config_help, names_config, parse
from patchail_jax.programs.compile_for import compile_all, targets
from patchail_jax.programs.update_timing import medians, update_here
from patchail_jax.programs.verbs import asks_for_help
from patchail_jax.storage.run_config import flatten
from patchail_jax.storage.versions import command, machine, versions

SECONDS = 2.0  # of one measurement
LOOP_SECONDS = 10.0

HELP = """\
usage: patchail bench [--config=NAME|FILE[:METHOD]] [--config.KEY=VALUE ...] [flags]

Measures agent steps per second and milliseconds per update; without a config, the quickstart's.

  --quick              PatchAIL alone
  --tasks              only agent steps per second of one environment, for the paper's seven tasks
  --against=torch      PatchAIL's update alone, and the same update in PyTorch
  --compile_for=NAMES  what updates take on h100, a100, v5e-4 or v6e-4; nothing runs
  --output=FILE        the same numbers as JSON (bench.json)
{}example:  patchail bench --config=cheetah --quick
"""


def steps_per_second(config: ConfigDict, num_envs: int) -> tuple[float, int]:
    """Agent steps per second of ``num_envs`` environments in processes, rendering included, and the action size."""
    from patchail_jax.acting.collect import Collector
    from patchail_jax.envs.workers import make_pool
    from patchail_jax.run.design import environment_factory

    pool = make_pool(environment_factory(config), num_envs, "process")
    try:
        collector = Collector(pool, frame_stack=1, action_size=pool.action_size, root=(0,))
        collector.start()
        actions, steps = np.zeros((num_envs, pool.action_size), np.float32), 0
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            collector.send(actions)
            collector.receive()
            steps += num_envs
        return steps / (time.monotonic() - began), pool.action_size
    finally:
        pool.close()


def task_rates(config: ConfigDict) -> Iterator[tuple[str, str, float]]:
    """Task, quality, and agent steps per second of one environment in one process, for the paper's tasks."""
    for task in PAPER_TASKS:
        for quality in QUALITIES:
            case = config.copy_and_resolve_references()
            case.env.task, case.env.quality = task, quality
            yield task, quality, steps_per_second(case, 1)[0]


def loop_steps_per_second(config: ConfigDict) -> float:
    """Agent steps per second of the whole loop once it learns, evaluations and checkpoints left out."""
    from patchail_jax.loop import step
    from patchail_jax.outputs.identity import RunIdentity
    from patchail_jax.outputs.metrics import Metrics
    from patchail_jax.run.parts import Surroundings, build
    from patchail_jax.storage.run_folder import open_run

    config = config.copy_and_resolve_references()
    episode = config.env.num_envs * (config.env.episode_frames // config.env.action_repeat)
    config.agent.first_update_step = config.agent.random_steps = episode
    config.cloning.pretraining_updates = min(config.cloning.pretraining_updates, 1)  # they are no part of a step
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as resources:
        opened = open_run(Path(folder) / "run", config=config.to_dict())
        resources.callback(opened.close)
        metrics = Metrics(opened, RunIdentity(config.method, config.env.task, config.seed))
        resources.callback(metrics.close)
        run = build(config, Surroundings(opened, metrics), resources)
        run.actors.start()
        while run.clock.update < 20:  # the first one compiles
            step(run)
        began, first = time.monotonic(), run.clock.agent_step
        while time.monotonic() - began < LOOP_SECONDS:
            step(run)
        rate = (run.clock.agent_step - first) / (time.monotonic() - began)
    logging.disable(logging.NOTSET)
    return rate


def main(argv: Sequence[str]) -> None:
    """Measures, prints and writes."""
    if asks_for_help(argv):
        sys.stdout.write(HELP.format(config_help()))
        return
    flags = Arguments(prog="patchail bench", add_help=False, allow_abbrev=False)
    flags.add_argument("--quick", action="store_true")
    kinds = flags.add_mutually_exclusive_group()
    kinds.add_argument("--tasks", action="store_true")
    kinds.add_argument("--against", choices=("torch",))
    kinds.add_argument("--compile_for")
    flags.add_argument("--output", type=output_file, default=Path("bench.json"))
    own, words = flags.parse_known_args(argv)
    absent = [] if own.compile_for is None else targets(own.compile_for)
    words = words if names_config(words) else ["--config=quickstart", *words]
    config = parse(["patchail bench", *words]).config
    origin = {"command": command(), "commit": versions()["git_commit"], "machine": machine()}
    result: dict[str, Any] = {**origin, "config": config.to_dict(), "environments": {}, "update": {}}

    own.output.parent.mkdir(parents=True, exist_ok=True)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        write_text(own.output, json.dumps(result, indent=2) + "\n")

    if own.tasks:
        result["tasks"] = {}
        for task, quality, rate in task_rates(config):
            result["tasks"].setdefault(task, {})[quality] = rate
            say(f"{task:18s} {quality:5s} {config.env.image_size:3d} px  {rate:8.1f} agent steps/s")
        return
    if own.against:
        from patchail_jax.programs import against_torch
        from patchail_jax.run.design import action_size_of

        against_torch.refuse(config)
        both = cases(config, everything=False, accelerator=True)
        against_torch.compare(both, action_size_of(config), seconds=SECONDS, say=say, result=result)
        return

    if absent:
        from patchail_jax.run.design import action_size_of

        both = cases(config, everything=not own.quick, accelerator=True)
        compile_all(both, absent, action_size_of(config), say=say, result=result)
        return

    import jax

    from patchail_jax.run.made import made

    accelerator, action_size = jax.default_backend() != "cpu", 1
    timed = cases(config, everything=not own.quick, accelerator=accelerator)
    for case in timed.values():
        made(case, action_size)  # a config that makes no run is refused before minutes of measuring
    for num_envs in (1, 2, 4, 8, 16):
        if num_envs > max(2, (os.cpu_count() or 1)):
            break
        rate, action_size = steps_per_second(config, num_envs)
        result["environments"][str(num_envs)] = rate
        say(f"environments  {num_envs:2d} processes  {rate:8.1f} agent steps/s")

    from patchail_jax.devices.matrix_rate import matrix_rate

    device, devices = jax.local_devices()[0].device_kind, config.devices or jax.local_device_count()
    result |= {"device": device, "devices": devices, "jax": jax.__version__}
    rates = result["matrix_rate"] = {precision: matrix_rate(precision) for precision in ("bfloat16", "float32")}
    for precision, rate in rates.items():
        say(f"matrices      {precision:8s}  {rate / 1e12:8.2f} Tflop/s on {device}")
    for label, case in timed.items():
        with update_here(case, action_size) as here:
            (milliseconds, _), operations = medians([here.runner], seconds=SECONDS)[0], here.operations
        floor = 1e3 * operations / rates[case.network.precision] / devices
        result["update"][label] = {"ms": milliseconds, "operations": operations, "floor_ms": floor}
        say(f"update        {label:52s} {milliseconds:8.2f} ms, floor {floor:6.2f} ms ({floor / milliseconds:4.0%})")
    result["loop_steps_per_second"] = loop_steps_per_second(config)
    say(f"loop          {config.env.num_envs:2d} environments  {result['loop_steps_per_second']:8.1f} agent steps/s")


def cases(config: ConfigDict, *, everything: bool, accelerator: bool) -> dict[str, ConfigDict]:
    """What is timed, by label: each method with its own settings, and what makes an update dearer."""
    from patchail_jax.run.presets import PRESETS

    own, capacity = config.network.precision, _with_method(config, "patchail").replay.capacity
    other = "float32" if own == "bfloat16" else "bfloat16"
    found = {}

    def add(label: str, *, method: str = "patchail", precisions: tuple[str, ...], **fields: str) -> None:
        for precision in precisions:
            case = _with_method(config, method)
            case.replay.capacity = capacity
            case.replay.rescore_updates = 0  # no part of an update
            case.network.precision = precision
            case.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
            found[f"{label}, {precision}"] = case

    precisions = (own, other) if accelerator else (own,)
    at_end = {"reward__moment": "at_episode_end"}
    add("patchail, rewards at episode end", precisions=(own, other), **at_end)
    add("patchail, rewards at update", precisions=precisions, reward__moment="at_update")
    if not everything:
        return found
    for method in ("patchail_w", "patchail_b"):
        for pairs in ("batch", "trajectory") if accelerator else ("batch",):
            fields = {"similarity__expert_pairs": pairs, "similarity__agent_pairs": "window", **at_end}
            add(f"{method}, {pairs}, rewards at episode end", method=method, precisions=precisions, **fields)
        at_update = {"reward__moment": "at_update"}
        if accelerator:
            add(f"{method}, batch, rewards at update", method=method, precisions=precisions, **at_update)
    for method in PRESETS:
        if not method.startswith("patchail"):
            add(method, method=method, precisions=precisions)
    return found


def _with_method(config: ConfigDict, method: str) -> ConfigDict:
    """``config`` for ``method``: where that is another one, the fields that its own sets go back to the defaults."""
    from patchail_jax.run.config import apply_preset, paper_config
    from patchail_jax.run.presets import PRESETS

    other = config.copy_and_resolve_references()
    if method != config.method:
        standard = flatten(paper_config(config.env.task).to_dict())
        other.update_from_flattened_dict({name: standard[name] for name in PRESETS[config.method]})
        apply_preset(other, method)
    return other
