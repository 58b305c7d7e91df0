"""Flags to a config: ``--config=NAME|FILE[:METHOD]``, ``--config.KEY=VALUE``, ``--print_config``, ``--profile``."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from patchail_jax.errors import UserError, one_line
from patchail_jax.programs.config_files import load, packaged
from patchail_jax.run.config import refuse_fields, refuse_numbers, unknown_field
from patchail_jax.storage.run_config import flatten

# What Python and absl say of a value, and how it is said here.
_WORDS = {
    r"invalid literal for int\(\) with base 10:": "it must be a whole number, not",
    r"could not convert string to float:": "it must be a number, not",
    r"\('Non-boolean argument to boolean flag', (.*)\)": r"it must be True or False, not \1",
}


class Options(NamedTuple):
    """What the command line asks for."""

    config: ConfigDict
    print_config: bool
    profile: bool
    given: Sequence[str]  # the fields that flags set


def parse(argv: Sequence[str]) -> Options:
    """``argv``, program name first, to options; ``UserError`` names the wrong flag, key, value or file."""
    asked, words = _split(argv)
    if len(asked) > 1:
        raise UserError(f"--config is given {len(asked)} times; fields of one config are set by --config.KEY=VALUE")
    if not asked:
        raise UserError("--config is missing, for example --config=cheetah")
    config = load(asked[0])
    refuse_fields(config)
    fields = flatten(config.to_dict())
    groups = {name[: dot.start()] for name in fields for dot in re.finditer(r"\.", name)}
    known = [*fields, *sorted(groups)]
    _refuse_groups(words, groups, fields)
    method = fields["method"]
    values = flags.FlagValues()
    flags.DEFINE_bool("print_config", False, "print the config and exit", flag_values=values)
    flags.DEFINE_bool("profile", False, "write a trace of a few updates into the run folder", flag_values=values)
    try:
        holder = config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=words)
        rest = values(words)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _explain(error, words, known) from error
    if len(rest) > 1:
        raise UserError(f"unknown argument {rest[1]!r}: flags start with --, for example --config.seed=1")
    if holder.value.method != method:
        name = asked[0].partition(":")[0]
        raise UserError(f"the method is named behind the config: --config={name}:{holder.value.method}")
    refuse_numbers(holder.value)
    given = [name for name in fields if f"config.{name}" in values]
    return Options(holder.value, values.print_config, values.profile, given)


def names_config(words: Sequence[str]) -> bool:
    """Whether ``--config`` is among the words."""
    return bool(_split(words)[0])


def config_help() -> str:
    """The lines of a program's help about flags of the config: how they are written, and what they may name."""
    from patchail_jax.run.presets import PRESETS, VARIANTS

    methods = list(PRESETS)
    return f"""\
  --config=...         a config by its name, or a file of yours that has get_config()
  --config.KEY=VALUE   any field: --config.seed=1 --config.env.num_envs=4

configs   {", ".join(packaged())}
methods   {", ".join(methods[:6])},
          {", ".join(methods[6:])}
variants  {", ".join(VARIANTS)}
"""


def train_help() -> str:
    """What ``patchail train --help`` prints."""
    return f"""\
usage: patchail train --config=NAME|FILE[:METHOD[+VARIANT]] [--config.KEY=VALUE ...]

Trains a run, or resumes the one in its run folder.

  --print_config       prints every field with its value, and exits
  --profile            writes a trace of a few updates into the run folder
{config_help()}
examples:
  patchail train --config=quickstart
  patchail train --config=cheetah:patchail_w+published --config.seed=1
  patchail train --config=mine.py --config.run_folder=runs/mine
"""


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands behind each ``--config``, if anything does, and all other words."""
    asked: list[str] = []
    rest, words = [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name in ("--config", "-config"):
            asked += filter(None, [value if equals else next(words, "")])
        else:
            rest.append(word)
    return asked, rest


def _refuse_groups(words: Sequence[str], groups: Collection[str], fields: Iterable[str]) -> None:
    """``UserError`` for a word that sets a whole group of fields."""
    for word in words:
        key = re.sub(r"^--?config\.", "", word.partition("=")[0])
        if word.startswith("-") and key in groups:
            first = next(field for field in fields if field.startswith(f"{key}."))
            raise UserError(f"config.{key} is a group of fields: set them one by one, as --config.{first}=VALUE")


def _explain(error: Exception, words: Sequence[str], known: Sequence[str]) -> UserError:
    """One line for what absl and ml_collections raise."""
    for word in words[1:]:
        name = word.lstrip("-").split("=", 1)[0]
        key = name.removeprefix("config.")
        if word.startswith("-") and key != name and key not in known:
            return unknown_field(key, known)
    if isinstance(error, flags.UnrecognizedFlagError):
        near = [field for field in known if f".{field}".endswith(f".{error.flagname}")]
        hint = f"did you mean --config.{near[0]}?" if near else "a field of the config is set by --config.KEY=VALUE"
        return UserError(f"unknown flag --{error.flagname}; {hint}")
    said = one_line(error)
    for theirs, ours in _WORDS.items():
        said = re.sub(theirs, ours, said)
    return UserError(said)
