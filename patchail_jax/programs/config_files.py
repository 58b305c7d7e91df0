"""A config by its name or its file: ``cheetah``, ``configs/cheetah.py``, ``mine.py:patchail_w+published``."""

import difflib
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

import patchail_jax.configs
from patchail_jax.errors import UserError
from patchail_jax.files.home import expanded


def packaged() -> list[str]:
    """The names of the package's own configs."""
    return sorted(module.name for module in pkgutil.iter_modules(patchail_jax.configs.__path__))


def load(asked: str) -> ConfigDict:
    """The config that ``NAME|FILE[:METHOD[+VARIANT]]`` asks for; ``UserError`` where there is none, or a file fails.

    A file of that path, from the folder one is in, comes first; then the package's config of that name.
    """
    where, *method = asked.split(":", 1)
    path = expanded(where)
    if path.is_file():
        get_config = _attempt(path, lambda: _get_config(path, _module(path)))
        config = _attempt(path, lambda: get_config(*method))
    elif (name := _packaged_name(path)) in packaged():
        config = importlib.import_module(f"patchail_jax.configs.{name}").get_config(*method)
    else:
        raise _unknown(path)
    if not isinstance(config, ConfigDict):
        raise UserError(f"{path}: get_config() gives {type(config).__name__}, not a ConfigDict")
    return config


def _packaged_name(path: Path) -> str:
    """``cheetah`` for cheetah, cheetah.py and configs/cheetah.py; "" for a path that leads elsewhere."""
    if str(path.parent) in (".", "configs") and path.suffix in ("", ".py"):
        return path.stem
    return ""


def _module(path: Path) -> ModuleType:
    """The file as a module, under a name that shadows no other."""
    loader = SourceFileLoader("patchail_config_file", str(path))
    module = ModuleType(loader.name)
    module.__file__ = str(path)
    sys.modules[loader.name] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


def _get_config(path: Path, module: ModuleType) -> Callable[..., Any]:
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"{path} has no function get_config()")
    found: Callable[..., Any] = module.get_config
    return found


def _attempt(path: Path, action: Callable[[], Any]) -> Any:
    """What ``action`` returns; ``UserError`` in one line, with the file's line, for whatever a person's file raises."""
    try:
        return action()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        place = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UserError(f"{place}: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _unknown(path: Path) -> UserError:
    """The error that names the nearest file or config."""
    beside = {str(file) for file in path.parent.glob("*.py") if not file.stem.startswith("_")}
    form = "{}" if path.suffix != ".py" and path.parent == Path() else "configs/{}.py"
    known = sorted(beside | {form.format(name) for name in packaged()})
    near = difflib.get_close_matches(str(path), known, n=1) or difflib.get_close_matches(path.stem, packaged(), n=1)
    what = "file" if path.suffix == ".py" else "named"
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return UserError(f"no config {what} {path}; {hint}")
