"""What pages take from the project's files when they are built: ``{{ name argument ... }}`` in a page, and formulas.

So no number in a page can be older than the file it comes from. A name or a file that is not there stops the build.
"""

import html
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the imports below are found wherever mkdocs was started

from docs.measured import RESULTS, bench, compiled, drawing, pace, tried  # noqa: E402
from patchail_jax.configs import quickstart  # noqa: E402
from patchail_jax.launch.sweeps.paper import SWEEPS  # noqa: E402
from patchail_jax.launch.sweeps.sweep import runs  # noqa: E402
from patchail_jax.reports.text import table  # noqa: E402
from patchail_jax.run import config as fields  # noqa: E402
from patchail_jax.run.presets import PRESETS, VARIANTS  # noqa: E402
from patchail_jax.storage.run_config import MAY_DIFFER, flatten  # noqa: E402

_CALL = re.compile(r"\{\{ ([a-z_]+)((?: [^\s}]+)*) \}\}")
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pictures that ``results/README.md`` shows."""
    for name in _PICTURE.findall((RESULTS / "README.md").read_text()):
        files.append(File.generated(config, f"results/{name}", abs_src_path=str(RESULTS / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **others: Any) -> str:
    """Replaces each ``{{ name argument ... }}`` by what the function of that name in ``TAKEN`` gives."""
    del others

    def taken(match: re.Match[str]) -> str:
        name, words = match.group(1), match.group(2).split()
        try:
            return TAKEN[name](*words)
        except (LookupError, OSError, ValueError, TypeError) as error:
            raise PluginError(f"{page.file.src_uri}: {match.group()}: {error!r}") from error

    return _CALL.sub(taken, markdown)


def on_page_content(html_text: str, /, *, page: Page, **others: Any) -> str:
    """Formulas as MathML, which browsers draw without a script."""
    del others

    def drawn(match: re.Match[str]) -> str:
        try:
            return convert(html.unescape(match.group(3)), display="inline" if match.group(2) == "(" else "block")
        except Exception as error:  # whatever a wrong formula makes of the converter
            raise PluginError(f"{page.file.src_uri}: {match.group(3)}: {error!r}") from error

    return _FORMULA.sub(drawn, html_text)


def include(path: str) -> str:
    """A Markdown file of the project, whole."""
    return (ROOT / path).read_text()


def results() -> str:
    """The tables and pictures of ``results/README.md``, without its title."""
    body = (RESULTS / "README.md").read_text().partition("\n")[2]
    return _PICTURE.sub(lambda match: match.group().replace(match.group(1), f"results/{match.group(1)}"), body)


def trace(path: str, *names: str) -> str:
    """Six log lines of the run in the folder ``path``, from its first to its last: the scalars ``names``."""
    lines = [json.loads(line) for line in (ROOT / path / "metrics.jsonl").read_text().splitlines()]
    kind = "evaluation" if names[0].startswith("evaluation/") else "train"
    lines = [line for line in lines if line["kind"] == kind and names[0] in line]
    chosen = [lines[round(number * (len(lines) - 1) / 5)] for number in range(6)]
    rows = [(f"{line['frame']:,}", *(_number(line[name]) for name in names)) for line in chosen]
    return table(("frames", *(f"`{name}`" for name in names)), rows)


def group(name: str) -> str:
    """The fields of a group of the config, ``top`` for those without one: default, bounds and what they are."""
    known = {field: value for field, value in _LEAVES.items() if field.partition(".")[0] == name or name == "top"}
    if name == "top":
        known = {field: value for field, value in known.items() if "." not in field}
    rows = []
    for field, value in known.items():
        number = isinstance(value, fields.Number)
        default = value.default if number else value
        what = html.escape(_COMMENTS[field], quote=False)  # <task> is no tag
        rows.append((f"`{field}`", f"`{default!r}`", _bounds(value) if number else "", what))
    if not rows:
        raise LookupError(name)
    return table(("field", "default", "bounds", "what it is"), rows)


def preset(method: str) -> str:
    """What a method changes of the defaults."""
    changed = PRESETS[method]
    if not changed:
        return "This method changes none of the defaults."
    defaults = flatten(fields.defaults(fields.FIELDS))
    rows = [(f"`{field}`", f"`{value!r}`", f"`{defaults[field]!r}`") for field, value in changed.items()]
    return table(("field", f"`{method}`", "default"), rows)


def variant(name: str, method: str, task: str) -> str:
    """What a variant changes of ``method`` on ``task``."""
    return table(
        ("field", "value"), [(f"`{field}`", f"`{value!r}`") for field, value in VARIANTS[name](task, method).items()]
    )


def may_differ() -> str:
    """The fields that may change between two starts of a run, and the groups of which all may."""
    names, groups = ([f"`{name}`" for name in MAY_DIFFER if (name in _LEAVES) == known] for known in (True, False))
    return f"{', '.join(names)}, and the groups {', '.join(groups[:-1])} and {groups[-1]}"


def quick(field: str) -> str:
    """A field of the quickstart."""
    value = flatten(quickstart.get_config().to_dict())[field]
    return f"{value:,}" if isinstance(value, int) else f"{value}"


def count(sweep: str) -> str:
    """How many runs a sweep has."""
    return f"{len(runs(SWEEPS[sweep], root='runs')):,}"


TAKEN: Mapping[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        include,
        results,
        bench,
        compiled,
        drawing,
        tried,
        pace,
        trace,
        group,
        preset,
        variant,
        may_differ,
        quick,
        count,
    )
}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _bounds(number: fields.Number) -> str:
    zero = f"; 0: {number.zero}" if number.zero else ""
    if number.most == float("inf"):
        return f"{number.least:g} or more{zero}" if number.least > -number.most else "any number"
    return f"{number.least:g} to {number.most:,}{zero}"


def _comments() -> dict[str, str]:
    """What stands behind each field in ``run/config.py``, or above it."""
    found: dict[str, str] = {}
    path, above = [], []
    decay = {
        "start": "optimizer step at which rates begin to fall",
        "updates": "steps they fall for",
        "final": "what is left, as a share",
    }
    for line in inspect.getsource(fields).partition("FIELDS: ")[2].splitlines()[1:]:
        text, _, comment = (part.strip() for part in line.partition("# "))
        if line == "}":
            break
        if match := re.fullmatch(r'"(\w+)": \{', text):
            path, above = [*path, match.group(1)], []
        elif text == "},":
            path.pop()
        elif match := re.match(r'"(\w+)": (DECAY)?', text):
            name = ".".join([*path, match.group(1)])
            words = " ".join([*above, comment]).strip()
            found |= {f"{name}.{key}": what for key, what in decay.items()} if match.group(2) else {name: words}
            above = []
        elif comment:
            above.append(comment)
    return found


_LEAVES = flatten(fields.FIELDS)
_COMMENTS = _comments()
