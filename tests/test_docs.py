"""Whatever a page names is there: pages, files, commands, flags, fields, scalars, messages; and its examples run."""

import ast
import contextlib
import functools
import io
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from patchail_jax import __version__
from patchail_jax.__main__ import VERBS, main
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.launch.launchers import LAUNCHERS
from patchail_jax.launch.sweeps.paper import SWEEPS
from patchail_jax.outputs.metrics import _CONSOLE
from patchail_jax.programs.command_line import parse
from patchail_jax.run.config import FIELDS, paper_config
from patchail_jax.run.presets import PRESETS
from patchail_jax.storage.run_config import flatten

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
}
REPORTS = ("table1", "curves", "aggregate", "html", "results")
FOLDERS = ("configs", "docs", "launch", "patchail_jax", "results", "tests", "third_party")
ALL_FIELDS = set(flatten(paper_config("cheetah_run").to_dict()))
every_page = pytest.mark.parametrize("page", PAGES)


def code(text):
    """What stands in backticks, in a line or as a block of commands."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return [*blocks, *re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))]


def commands(text):
    """Every command on a page, as words."""
    for block in [*re.findall(r"```sh\n(.*?)```", text, re.DOTALL), *code(text)]:
        for line in block.splitlines():
            words = re.sub(r"^\.venv/bin/|^python -m patchail_jax\.main ", "", line.partition(" #")[0].strip())
            if re.match(r"(patchail|make|pip) ", words):
                yield shlex.split(words)


def slug(heading):
    """A heading's anchor, as Python-Markdown makes it."""
    plain = re.sub(r"[`*]", "", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


@functools.cache
def sources():
    """The program's files, the launchers' among them, which lie behind a link."""
    return [path.read_text() for folder in ("patchail_jax", "launch") for path in (ROOT / folder).rglob("*.py")]


@functools.cache
def strings():
    """Every string of the program, with a mark where it has a value."""
    found = []
    for text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@functools.cache
def help_of(words):
    """The help of a verb; argparse exits by itself."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return printed.getvalue()


@functools.cache
def all_flags():
    """Every flag of every verb."""
    forms = (("demos", "convert", form) for form in ("pickle", "hdf5", "video"))
    verbs = {(verb,) for verb in VERBS} | {("launch", launcher) for launcher in LAUNCHERS} | {*forms}
    verbs |= {("demos", verb) for verb in ("record", "inspect")} | {("reports", verb) for verb in REPORTS}
    return {flag for words in verbs for flag in re.findall(r"--\w+", help_of(words))}


def test_the_site_has_every_page_once():
    named = re.findall(r"([\w/]+\.md)", str(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(named) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@every_page
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        place = (folder / path).resolve() if path else ROOT / page
        assert place.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text(), re.MULTILINE)
            headings += re.findall(r"group (\w+)", place.read_text())
            assert anchor in map(slug, headings), target


@every_page
def test_files_that_a_page_names_exist(page):
    for text in code(PAGES[page]):
        for name in re.findall(rf"(?<![\w/.])(?:{'|'.join(FOLDERS)})/[\w./*-]*", text):
            assert list(ROOT.glob(name.rstrip("./").replace("NAME", "*"))), name


@every_page
def test_commands_have_their_verbs_and_flags(page):
    for words in commands(PAGES[page]):
        program, *rest = words
        if program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert rest[0] in targets, words
            continue
        verb, *rest = rest
        if program == "pip" or verb == "--version":
            continue
        assert verb in VERBS, words
        if verb in ("train", "doctor", "bench"):
            flags = [word for word in rest if word.startswith("--config")]
            assert parse(["patchail train", *(flags or ["--config=quickstart"])]).config
            rest = [word for word in rest if word not in flags]
        depth = {"demos": 1 + (rest[:1] == ["convert"]), "reports": 1, "launch": 1}.get(verb, 0)
        shown = help_of((verb, *rest[:depth])) if "RUN" not in rest[:depth] else ""
        assert shown.startswith(f"usage: {' '.join(['patchail', verb, *rest[:depth]])}"), words
        if verb == "launch":
            assert rest[0] in LAUNCHERS and (len(rest) < 2 or rest[1] in SWEEPS), words
        for word in rest[depth:]:
            if word.startswith("--") and word != "--help":
                assert re.search(rf"{re.escape(word.partition('=')[0])}(?![\w-])", shown), words


@every_page
def test_flags_that_a_page_names_alone_exist(page):
    flags = [word for text in code(PAGES[page]) for word in text.split()[:1] if word.startswith("--")]
    for flag in {flag.partition("=")[0] for flag in flags}:
        assert flag in all_flags() or flag.startswith("--config."), flag


@every_page
def test_fields_that_a_page_names_exist(page):
    groups = [name for name, value in FIELDS.items() if not hasattr(value, "default") and not isinstance(value, str)]
    for text in code(PAGES[page]):
        for name in re.findall(r"--config\.([a-z_.]+)=", text):
            assert name in ALL_FIELDS, name
        if match := re.fullmatch(rf"(?:config\.)?((?:{'|'.join(groups)})\.[a-z_.]+)(=[^`]*)?", text):
            name = match.group(1)
            assert any(field == name or field.startswith(f"{name}.") for field in ALL_FIELDS), name
    for name in re.findall(r"\{\{ preset (\w+)", PAGES[page]):
        assert name in PRESETS


@every_page
def test_scalars_that_a_page_names_are_logged(page):
    literal = {text for text in strings() if re.fullmatch(r"[a-z]+/[a-z_]+", text)}
    laps = {f"time/{name}" for text in sources() for name in re.findall(r'lap\("(\w+)"\)', text)}
    judged = {f"evaluation/{who}_{what}" for who in ("expert", "agent") for what in ("logit", "reward")}
    traced = [name for words in re.findall(r"\{\{ trace \S+ (.+?) \}\}", PAGES[page]) for name in words.split()]
    first = "actor|critic|discriminator|reward|cloning|episode|evaluation|time|memory"
    for text in [*code(PAGES[page]), *traced]:
        if re.fullmatch(rf"(?:{first})/[a-z_]+", text):
            assert text in literal | laps | judged, text


def test_the_tutorial_explains_the_console_s_numbers():
    text = PAGES["docs/tutorial.md"]
    explained = re.findall(r"^\| `([^`]+)` \|", text.partition("A `train` line")[2].partition("## 4")[0], re.MULTILINE)
    assert explained == [name for name, _, _ in _CONSOLE]
    lines = re.findall(r"^train .+$", text, re.MULTILINE)
    assert lines and all(f"  {name} " in line for line in lines for name in explained if name != "log pi(a_E)")


def test_messages_that_are_explained_are_the_program_s():
    messages = re.findall(r"^### `(.+)`$", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    assert len(messages) >= 25
    for message in messages:
        pattern = re.compile(".*".join(re.escape(part) for part in message.split("…")), re.DOTALL)
        # A value's mark is never part of a fixed part, so a message whose words have changed is found.
        assert any(pattern.search(re.sub("%[.0-9]*[sdf]", "\0", text).replace("%%", "%")) for text in strings()), (
            message
        )


def test_the_page_s_environment_is_one(tmp_path, monkeypatch):
    (source,) = re.findall(r"```python\n(.*?)```", PAGES["docs/environment.md"], re.DOTALL)
    (tmp_path / "page_of_an_environment.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    factory = "page_of_an_environment:make"
    made = FactoryEnvironment(factory=factory, task="dot", action_repeat=2, image_size=24, episode_frames=10)
    first = made.reset(3).frame
    last = made.step(np.ones(1, np.float32)).frame
    assert first.shape == (24, 24, 3) and (first != last).any()
    np.testing.assert_array_equal(made.reset(3).frame, first)


def test_a_page_s_config_is_one(tmp_path):
    (source,) = re.findall(r"```python\n(.*?)```", PAGES["docs/extending.md"], re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(source)
    assert parse(["patchail train", f"--config={path}:patchail_w"]).config.env.task == "walker_run"


def test_the_page_s_loop_of_updates_runs(tmp_path):
    train, loop = re.findall(r"```python\n(.*?)```", PAGES["docs/api.md"], re.DOTALL)
    compile(train, "docs/api.md", "exec")
    (tmp_path / "loop.py").write_text(loop)
    found = runpy.run_path(str(tmp_path / "loop.py"))
    assert found["actions"].shape == (5, found["A"]) and "discriminator/accuracy" in found["metrics"]


def test_the_citation_and_the_changes_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__ and f"\n## {__version__}" in PAGES["CHANGELOG.md"]
    assert citation["license"] in (ROOT / "setup.py").read_text()
