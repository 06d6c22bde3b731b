"""The command line before Hydra reads it: paths get their quotes, and slips that Hydra would not name are named.

Hydra's grammar for values has no `~`, `=`, brackets or letters beyond ASCII, and run folders end in seed=0. So paths
are put in quotes here, each of them where commas part several.
"""

import argparse
import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Never

from sweeps.hydra_glue.private import PARTS, argument_parser, in_quotes, repeated_key
from training.config import RunConfig
from training.console.program import called
from training.errors import ConfigError
from training.finished.run_names import named_run

WEIGHTS = "weights.path"
PATHS = ("data.root", "data.csv", WEIGHTS, "sweep.root")
NAME = "sweep.name"  # true, 007 and 1e3 are folders of these names, not what Hydra makes of them
OF_SWEEPS = ("sweep.plan=true", "sweep.detach=true")
FUNCTIONS = ("choice", "shuffle", "sort", "glob", "range", "interval", "tag", "str")  # of Hydra's grammar
GROUPS = {*PARTS, "experiment", "sweeps"} - {"sweep"}
# Hydra's names for folders. Ours follow from what a run is; a second place would hold one half of a sweep.
FOLDERS = ("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.run.dir", "hydra.job.chdir")


def readable(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra can read them. Raises ConfigError for what is no argument at all."""
    parser = argument_parser()
    parser.error = _complain  # type: ignore[method-assign]
    options = parser.parse_intermixed_args(list(arguments))
    modes = [options.run, options.multirun, options.cfg is not None, options.info is not None, options.shell_completion]
    if sum(modes) > 1:
        raise ConfigError("only one of -m, --cfg, --info and -sc at a time")
    _check_options(options)
    if not options.shell_completion:
        sweeps = any(re.fullmatch(r"hydra\.mode=['\"]?MULTIRUN['\"]?", override) for override in options.overrides)
        single = not any(modes[1:]) and not options.help and not options.hydra_help and not sweeps
        for override in options.overrides:
            _check(override, single)
            _check_hydra(override)
            _check_length(override)
    _check_plan(options.overrides)
    overrides = set(options.overrides)
    if options.hydra_help:  # which composes nothing of ours, so that Hydra would know no key of it
        return [argument for argument in arguments if argument not in overrides]
    return [quoted(_of_params(argument)) if argument in overrides else argument for argument in arguments]


def quoted(override: str) -> str:
    """`data.root=~/photos (1)` and `sweep.name=007` with the value in quotes; any other override as it is."""
    key, equals, value = override.partition("=")
    if key == NAME and re.fullmatch(r"(?i)true|false|inf|nan|[+-]?[\d_]+(\.[\d_]*)?(e[+-]?[\d_]+)?", value):
        return f"{key}={in_quotes(value)}"
    called = re.fullmatch(r"(\w+)\(.*\)", value)
    plain = not value or value == "null" or value[0] in "'\"" or "${" in value or (called and called[1] in FUNCTIONS)
    if not equals or key.lstrip("+") not in PATHS or plain:
        return override
    parts = [os.path.expanduser(part) for part in value.split(",")]  # noqa: PTH111 (a Path would drop ./ and //)
    if key.lstrip("+") == WEIGHTS:  # once for all runs of a sweep: what is best by val changes while it runs
        parts = [path_of_weights(part) for part in parts]
    return f"{key}={','.join(in_quotes(part) for part in parts)}"


def _of_params(override: str) -> str:
    """`hydra.sweeper.params.optimizer.lr="interval(1e-4,1e-2)"` as `optimizer.lr=interval(1e-4,1e-2)`, which is what it
    means there; Hydra would take each dot for a deeper level. Any other override as it is."""
    if one := re.fullmatch(r"\+{0,2}hydra\.sweeper\.params\.([^=]+)=(['\"])(.*)\2", override):
        return f"{one[1]}={one[3]}"
    return f"+{override}" if override.startswith("hydra.sweeper.params={") else override


def path_of_weights(path: str) -> str:
    """weights.path, or where the report's id for a run stands there, the folder of that run. Raises ConfigError."""
    try:
        found = str(named_run(path))
    except ConfigError as error:
        raise ConfigError(f"{WEIGHTS}={error}") from None
    return path if found == str(Path(path)) else found  # as it was written: paths stay in old commands and records


def _check(override: str, single: bool) -> None:
    key, equals, value = override.partition("=")
    if not key or (not equals and not override.startswith("~")):
        raise ConfigError(
            f"{override}: expected KEY=VALUE without spaces, such as model=resnet18; one with spaces needs quotes, "
            "'data.root=my photos'"
        )
    if value.endswith(","):
        raise ConfigError(f"{override}: a value is missing after the comma; write {key}=a,b without spaces")
    if key.startswith("+") and key.lstrip("+") in GROUPS:
        raise ConfigError(f"{override}: write it without the +, there is a choice already")
    if single and ((key == "sweeps" and value != "null") or override.lower() in OF_SWEEPS):
        raise ConfigError(f"{override}: is for a sweep, which needs -m: {called('train')} -m {override}")
    if key in GROUPS and value.startswith("["):
        some = value.strip("[]")
        raise ConfigError(f"{override}: takes one choice; all of them, one after the other: -m {key}={some}")
    if key in GROUPS and re.fullmatch(r"null|[\d.eE+-]+|true|false|", value):
        raise ConfigError(f"{override}: no such choice; `{called('train')} --help` lists them")


def _check_plan(overrides: Sequence[str]) -> None:
    """A plan that is no plan, but the sweep."""
    stock = [override for override in overrides if re.fullmatch(r"hydra/sweeper=['\"]?(basic|optuna)['\"]?", override)]
    asked = [override.lower() for override in overrides if override.lower() in OF_SWEEPS]
    if stock and asked:
        ours = "grid" if "basic" in stock[0] else "optuna_async"
        raise ConfigError(f"{asked[0]}: Hydra's own {stock[0]} makes no plan; hydra/sweeper={ours} does")


def _check_length(override: str) -> None:
    """A part of a path that no file system takes, which would be told without its key."""
    key, _, value = override.partition("=")
    if key.lstrip("+") in PATHS:
        longest = max((len(os.fsencode(part)) for part in re.split("[/,]", value)), default=0)
        if longest > 255:
            raise ConfigError(f"{key}={value[:20]}...: a name of {longest} bytes; a file's or folder's may have 255")


def _check_options(options: argparse.Namespace) -> None:
    """What Hydra ignores, or tells with a traceback."""
    shows = options.cfg is not None or options.help
    if options.resolve and not shows:
        raise ConfigError(f"--resolve: is only for --cfg: {called('train')} --cfg job --resolve")
    if options.package is not None and options.cfg is None:
        raise ConfigError(f"--package {options.package}: is only for --cfg: --cfg job --package {options.package}")
    known = ["hydra", "_global_", *(field.name for field in dataclasses.fields(RunConfig))]
    if options.package is not None and options.package.partition(".")[0] not in known:
        raise ConfigError(f"--package {options.package}: no such part of the config; choose from {', '.join(known)}")
    rerun = options.experimental_rerun
    if rerun is not None and not (Path(rerun) / ".hydra" / "config.pickle").is_file():
        raise ConfigError(
            f"--experimental-rerun {rerun}: expected a folder with .hydra/config.pickle, which Hydra's PickleJobInfo"
            "Callback writes; without it: the same command again, a run folder follows from its configuration"
        )


def _check_hydra(override: str) -> None:
    """Hydra's own keys, where they can't mean what they seem to; and a dict with one key twice."""
    key, _, value = override.partition("=")
    key = key.lstrip("+~")
    if "{" in value and (twice := repeated_key(override)) is not None:
        raise ConfigError(f"{override}: {twice} stands twice in one dict, and only one of the values can be meant")
    if key in FOLDERS[:3]:
        raise ConfigError(
            f"{override}: runs lie in sweep.root/sweep.name; set these: sweep.root=FOLDER sweep.name=NAME"
        )
    if key == FOLDERS[3] and value.lower() != "false":
        raise ConfigError(f"{override}: relative paths (data.root, sweep.root) would be looked for in the run's folder")
    params = re.fullmatch(r"hydra\.sweeper\.params\.(.+)", key)
    if params and _lists_values(value):
        raise ConfigError(
            f"{override}: on the command line write {params[1]}={value}; hydra.sweeper.params is for a recipe's file, "
            f"as {params[1]}: {value} below params:"
        )
    if re.match(r"hydra[./]", key) and _lists_values(value):
        raise ConfigError(
            f"{override}: Hydra's own settings take one value for the whole sweep, not a list to go through; start one "
            "sweep for each"
        )


def _lists_values(value: str) -> bool:
    """Whether a value is a sweep by its looks: a,b or range(0,3), outside of quotes, lists and dicts."""
    if value[:1] in ("'", '"', "[", "{"):
        return False
    called = re.fullmatch(r"(\w+)\(.*\)", value)
    return bool(called and called[1] in ("choice", "shuffle", "sort", "glob", "range", "interval")) or "," in value


def _complain(message: str) -> Never:
    """In place of argparse's usage of twelve lines."""
    hint = (
        "options are -m, --cfg job, --help and --hydra-help, settings are written KEY=VALUE, such as trainer.epochs=3"
    )
    raise ConfigError(f"{message}; {hint}")
