"""Tables of what was measured, from the files in ``results/``, for ``hooks``."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from patchail_jax.reports.kept_results import results
from patchail_jax.reports.text import table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def bench() -> str:
    """Every ``results/*/bench_*.json``: milliseconds per update, agent steps per second, and how they were made."""
    parts = []
    for path, measured in _files("bench"):
        made = [measured.get("machine", measured["device"]), f"jax {measured['jax']}"]
        made += [f"commit `{measured['commit'][:7]}`"] if "commit" in measured else []
        made += [f"torch {measured['torch']}"] if "torch" in measured else []
        # Beside a time stands the floor, or the same update's time in PyTorch (``--against=torch``).
        other, beside = ("PyTorch's milliseconds", "torch_ms") if "torch" in measured else ("floor", "floor_ms")
        updates = []
        for case, numbers in measured["update"].items():
            found = numbers.get(beside)
            updates.append((_case(case), f"{numbers['ms']:.1f}", f"{found:.1f}" if found else ""))
        steps = [(count, f"{rate:,.0f}") for count, rate in measured["environments"].items()]
        parts += [
            f"### {measured['device']}, {measured['config']['env']['task']}, {_sizes(measured['config'])}\n",
            f"{', '.join(made)}; `{path}`.\n",
            table(("an update", "milliseconds", other), updates),
        ]
        parts += [table(("processes of environments", "agent steps per second, all together"), steps)] if steps else []
    return "\n".join(parts)


def drawing() -> str:
    """Every ``results/*/tasks_*.json``: agent steps per second of one environment by task, and cores for more."""
    parts = []
    for path, measured in _files("tasks"):
        rows = []
        for task, rates in measured["tasks"].items():
            cores = [f"{math.ceil(wanted / rates['full'])}" for wanted in (100, 400)]
            rows.append((f"`{task}`", *(f"{rates[quality]:,.0f}" for quality in ("full", "fast")), *cores))
        parts += [
            f"{measured['machine']}, images of {measured['config']['env']['image_size']} pixels; `{path}`.\n",
            table(("task", "full", "fast", "cores for 100 steps per second", "cores for 400"), rows),
        ]
    return "\n".join(parts)


def compiled() -> str:
    """Every ``results/*/compiled_*.json``: what an update takes on devices that it was only compiled for."""
    parts = []
    for path, measured in _files("compiled"):
        rows = []
        for row in measured["compiled"]:
            numbers: list[str] = ["does not compile", "", "", "", ""]
            if "error" not in row:
                numbers = [f"{row['memory_bytes'] / 1024**3:.2f}", f"{row['kernels']:,}", f"{row['bytes'] / 1e9:.2f}"]
                numbers += [f"{row['operations'] / 1e9:,.0f}", f"{row['least_ms']:.2f}"]
            rows.append((f"`{row['target']}`", str(row["devices"]), _case(row["case"]), *numbers))
        heads = ("target", "devices", "an update", "GiB a device", "kernels", "GB moved", "Gop", "least milliseconds")
        parts += [
            f"{measured['config']['env']['task']}, {_sizes(measured['config'])}; jax {measured['jax']}; `{path}`.\n",
            table(heads, rows),
        ]
    return "\n".join(parts)


def tried(name: str) -> str:
    """``results/tried_<name>.json``: runs that were tried, and the fields in which they differ from ``name`` now."""
    rows = []
    for run in json.loads((RESULTS / f"tried_{name}.json").read_text()):
        changed = ", ".join(f"`{field}={value}`" for field, value in run["differs"].items()) or "nothing"
        returns = ", ".join(f"{frame // 1000}k: {value:.1f}" for frame, value in run["evaluations"])
        how = (f"{run['frames']:,}", f"{60 * run['hours']:.0f}", f"`{run['commit'][:7]}`")
        rows.append((run["task"], f"`{run['method']}`", f"{run['seed']}", changed, returns, *how, run["seen"]))
    head = (
        "task",
        "method",
        "seed",
        f"other than `{name}` now",
        "returns by frames",
        "stopped at",
        "minutes",
        "commit",
        "what it did",
    )
    return table(head, rows)


def pace() -> str:
    """Frames per second of whole runs, by size, method, environments and machine: the median over ``results/``."""
    rates: dict[tuple[str, ...], list[float]] = {}
    for size in sorted(path for path in RESULTS.iterdir() if path.is_dir()):
        for one in results(size):
            frame, hour = one.evaluations.last_frame, one.evaluations.last_hour
            row = (size.name, f"`{one.run.method}`", f"{one.run.config['env']['num_envs']}", one.about["machine"])
            rates.setdefault(row, []).append(frame / hour / 3600)
    rows = [(*row, f"{len(found)}", f"{statistics.median(found):,.0f}") for row, found in rates.items()]
    return table(("size", "method", "environments", "machine", "runs", "frames per second"), rows)


def _files(kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What is in every ``results/*/KIND_*.json``, and the file's place in the project."""
    for path in sorted(RESULTS.glob(f"*/{kind}_*.json")):
        yield path.relative_to(ROOT), json.loads(path.read_text())


def _case(label: str) -> str:
    """``METHOD, how it was made``, the method as code."""
    method, comma, how = label.partition(",")
    return f"`{method}`{comma}{how}"


def _sizes(config: Mapping[str, Any]) -> str:
    return f"images of {config['env']['image_size']} pixels, batches of {config['replay']['batch_size']}"
