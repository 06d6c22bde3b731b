"""The command line before Hydra reads it: paths get their quotes, and slips that Hydra would not name are named.

Hydra's grammar for values has no `~`, `=`, brackets or letters beyond ASCII, and run folders end in seed=0. So paths
are put in quotes here, each of them where commas part several.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Never

from sweeps.hydra_glue.private import argument_parser, in_quotes
from training.config import RunConfig
from training.console.program import called
from training.errors import ConfigError

PATHS = ("data.root", "data.csv", "weights.path", "sweep.root")
FUNCTIONS = ("choice", "shuffle", "sort", "glob", "range", "interval", "tag", "str")  # of Hydra's grammar
PARTS = [field.name for field in dataclasses.fields(RunConfig) if dataclasses.is_dataclass(field.type)]
GROUPS = {*PARTS, "experiment", "sweeps"} - {"sweep"}


def readable(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra can read them. Raises ConfigError for what is no argument at all."""
    parser = argument_parser()
    parser.error = _complain  # type: ignore[method-assign]
    options = parser.parse_intermixed_args(list(arguments))
    modes = [options.run, options.multirun, options.cfg is not None, options.info is not None, options.shell_completion]
    if sum(modes) > 1:
        raise ConfigError("only one of -m, --cfg, --info and -sc at a time")
    if not options.shell_completion:
        single = not any(modes[1:]) and not options.help and not options.hydra_help
        for override in options.overrides:
            _check(override, single)
    overrides = set(options.overrides)
    return [quote_path(argument) if argument in overrides else argument for argument in arguments]


def quote_path(override: str) -> str:
    """`data.root=~/photos (1)` with its value in quotes; any other override as it is."""
    key, equals, value = override.partition("=")
    called = re.fullmatch(r"(\w+)\(.*\)", value)
    plain = not value or value == "null" or value[0] in "'\"" or "${" in value or (called and called[1] in FUNCTIONS)
    if not equals or key.lstrip("+") not in PATHS or plain:
        return override
    parts = [os.path.expanduser(part) for part in value.split(",")]  # noqa: PTH111 (a Path would drop ./ and //)
    return f"{key}={','.join(in_quotes(part) for part in parts)}"


def _check(override: str, single: bool) -> None:
    key, equals, value = override.partition("=")
    if not key or (not equals and not override.startswith("~")):
        raise ConfigError(f"{override}: expected KEY=VALUE without spaces, such as model=resnet18")
    if value.endswith(","):
        raise ConfigError(f"{override}: a value is missing after the comma; write {key}=a,b without spaces")
    if key.startswith("+") and key.lstrip("+") in GROUPS:
        raise ConfigError(f"{override}: write it without the +, there is a choice already")
    if single and ((key == "sweeps" and value != "null") or override.lower() == "sweep.plan=true"):
        raise ConfigError(f"{override}: is for a sweep, which needs -m: {called('train')} -m {override}")
    if key in GROUPS and value.startswith("["):
        some = value.strip("[]")
        raise ConfigError(f"{override}: takes one choice; all of them, one after the other: -m {key}={some}")
    if key in GROUPS and re.fullmatch(r"null|[\d.eE+-]+|true|false|", value):
        raise ConfigError(f"{override}: no such choice; `{called('train')} --help` lists them")


def _complain(message: str) -> Never:
    """In place of argparse's usage of twelve lines."""
    hint = (
        "options are -m, --cfg job, --help and --hydra-help, settings are written KEY=VALUE, such as trainer.epochs=3"
    )
    raise ConfigError(f"{message}; {hint}")
