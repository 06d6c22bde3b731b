"""The command that makes a run folder's run again with other seeds, from what Hydra left in the folder."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from analysis.read.records import flat
from training.console.program import called
from training.provenance.differences import leaves
from training.record import read_record
from training.run_folder import OUTPUTS

PLACE = ("seed", "sweep.root", "sweep.name", "sweep.plan", "sweeps")  # keys that the command has its own values for
PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
OVERRIDE = re.compile(r"(\+{0,2}|~)[A-Za-z_][\w./@:]*(=.*)?", re.DOTALL)
LAUNCHER = ("hydra.launcher", "hydra/launcher")


def command_for(folder: Path, seeds: Sequence[int]) -> str | None:
    """A line for a shell that trains the configuration of the run in `folder` with `seeds`, into the same sweep; None
    where the folder doesn't tell how it was made."""
    hydra = _read(folder / ".hydra" / "hydra.yaml")
    told = hydra.get("hydra") if isinstance(hydra, dict) else None
    lines = _read(folder / ".hydra" / "overrides.yaml")
    if not isinstance(lines, list) or not isinstance(told, dict):
        return None
    overrides = list(map(str, lines))
    if not all(OVERRIDE.fullmatch(line) for line in overrides):
        return None  # nothing that Hydra would take for an option: the folder may come from anywhere
    kept = [line for line in overrides if key_of(line) not in PLACE]
    recipe = next((line.partition("=")[2] for line in overrides if key_of(line) == "sweeps"), "null")
    if recipe.strip("'\"") != "null":
        of_recipe = list(_recipe_lines(folder, told, recipe.strip("'\"")) or ())
        if not of_recipe:
            return None
        known = {key_of(line) for line in kept}
        # a group that is chosen on the command line would set its keys anew, so the recipe's lines come first
        kept = [line for line in of_recipe if key_of(line) not in known] + kept
    sweep = folder.absolute().parent.parent
    place = [f"sweep.name={sweep.name}"]
    if sweep.parent != Path.cwd() / OUTPUTS or made_in(folder) is not None:
        place.insert(0, f"sweep.root={sweep.parent}")
    launcher = [line for line in _strings(told, "overrides", "hydra") if line.startswith(LAUNCHER)]
    words = [*kept, *launcher, *place, f"seed={','.join(map(str, seeds))}"]
    command = f"{called('train')} -m {shlex.join(words)}"
    return command if command.isprintable() else None


def made_in(folder: Path) -> Path | None:
    """The folder in which the run's command was given, where that is another one than this: paths in it may be
    relative."""
    hydra = _read(folder / ".hydra" / "hydra.yaml")
    found = hydra.get("hydra") if isinstance(hydra, dict) else None
    runtime = found.get("runtime") if isinstance(found, dict) else None
    cwd = runtime.get("cwd") if isinstance(runtime, dict) else None
    return Path(cwd) if isinstance(cwd, str) and Path(cwd) != Path.cwd() else None


def key_of(line: str) -> str:
    """`+a.b=1` -> `a.b`."""
    return line.partition("=")[0].lstrip("+~")


def _recipe_lines(folder: Path, told: dict[str, Any], recipe: str) -> Iterator[str] | None:
    """What a recipe sets, but for what it runs: the groups that it chooses and its keys, as the run had them."""
    runtime = told.get("runtime")
    if not isinstance(runtime, dict) or not isinstance(sources := runtime.get("config_sources"), list):
        return None
    paths = [Path(str(one.get("path"))) for one in sources if isinstance(one, dict) and one.get("schema") == "file"]
    file = next(
        (path / "sweeps" / f"{recipe}.yaml" for path in paths if (path / f"sweeps/{recipe}.yaml").is_file()), None
    )
    content = _read(file) if file is not None else None
    record = read_record(folder)
    if not isinstance(content, dict) or record is None or record.config is None:
        return None
    return _lines(content, runtime.get("choices"), dict(leaves(record.config)))


def _lines(content: dict[str, Any], choices: Any, config: dict[str, Any]) -> Iterator[str]:
    defaults = content.get("defaults")
    for entry in defaults if isinstance(defaults, list) else []:
        for key in entry if isinstance(entry, dict) else ():
            group = str(key).split()[-1].strip("/")
            if not group.startswith("hydra") and isinstance(choices, dict) and choices.get(group) is not None:
                yield f"{group}={choices[group]}"
    for key, _ in flat({name: part for name, part in content.items() if name not in ("defaults", "hydra", "sweep")}):
        if key in config and key not in PLACE:
            yield f"{key}={hydra_value(config[key])}"


def hydra_value(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(map(hydra_value, value))}]"
    text = str(value)
    if PLAIN.fullmatch(text) and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _strings(node: Any, *names: str) -> list[str]:
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return [one for one in node if isinstance(one, str)] if isinstance(node, list) else []


def _read(file: Path) -> Any:
    """What is in a YAML file; None where it can't be read."""
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
