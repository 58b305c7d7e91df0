"""Flags to a config: ``--config=FILE[:METHOD]``, ``--config.KEY=VALUE``, ``--print_config``, ``--profile``."""

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from patchail_jax.errors import UserError


class Options(NamedTuple):
    """What the command line asks for."""

    config: ConfigDict
    print_config: bool
    profile: bool


def parse(argv: Sequence[str]) -> Options:
    """``argv``, program name first, to options; ``UserError`` names the wrong flag, key, value or file."""
    config_file = _config_file(argv)
    # Config files import their neighbours as ``configs.base``, wherever the command is started.
    root = str(config_file.resolve().parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)

    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=list(argv))
    flags.DEFINE_bool("print_config", False, "print the config and exit", flag_values=values)
    flags.DEFINE_bool("profile", False, "write a trace of a few updates into the run folder", flag_values=values)
    try:
        rest = values(list(argv))
    except UserError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _explain(error, argv, config_file) from error
    if len(rest) > 1:
        raise UserError(f"what is {rest[1]!r}? Flags start with --, for example --config.seed=1")
    return Options(config.value, values.print_config, values.profile)


def _config_file(argv: Sequence[str]) -> Path:
    """The file behind ``--config``, which must exist."""
    for position, word in enumerate(argv):
        if word.lstrip("-") == "config" and position + 1 < len(argv):
            value = argv[position + 1]
        elif word.lstrip("-").startswith("config=") and word.startswith("-"):
            value = word.split("=", 1)[1]
        else:
            continue
        path = Path(value.split(":", 1)[0])
        if path.is_file():
            return path
        names = {str(file): file.stem for file in path.parent.glob("*.py") if file.stem not in ("base", "__init__")}
        near = difflib.get_close_matches(str(path), names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(names)) or 'none there'}"
        raise UserError(f"no config file {path}{hint}")
    raise UserError("--config is missing, for example --config=configs/cheetah.py")


def _explain(error: Exception, argv: Sequence[str], config_file: Path) -> UserError:
    """One line for what absl and ml_collections raise."""
    overrides = [word.lstrip("-").split("=", 1)[0] for word in argv[1:] if word.lstrip("-").startswith("config.")]
    known = _known_keys(argv, config_file)
    for name in overrides:
        key = name.removeprefix("config.")
        if known and key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"; did you mean config.{near[0]}?" if near else ""
            return UserError(f"no config key {name}{hint}")
    return UserError(" ".join(str(error).split()) or type(error).__name__)


def _known_keys(argv: Sequence[str], config_file: Path) -> list[str]:
    """Dotted names of every field of the config, without the overrides."""
    words = [argv[0], *(word for word in argv if word.lstrip("-").startswith("config="))]
    words = words if len(words) > 1 else [argv[0], f"--config={config_file}"]
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=words)
    values(words)
    return [key for key, _ in _flatten(config.value, "")]


def _flatten(config: ConfigDict, prefix: str) -> list[tuple[str, object]]:
    """Fields as ``("env.task", value)`` pairs; groups are named too."""
    fields: list[tuple[str, object]] = []
    for key, value in config.items():
        fields.append((prefix + key, value))
        if isinstance(value, ConfigDict):
            fields += _flatten(value, f"{prefix}{key}.")
    return fields
