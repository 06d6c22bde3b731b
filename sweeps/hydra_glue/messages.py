"""What went wrong, in one line for a person."""

import dataclasses
import difflib
import re
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sweeps.hydra_glue.arguments import PATHS
from sweeps.hydra_glue.config_files import composed_in, mistake_in_file
from sweeps.stopping import SweepEnded
from training.config import RunConfig
from training.errors import ConfigError
from training.run_folder import RunInUse

MISTAKE, FAILURE = 2, 1  # exit codes
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list, such as [a,b]",
    dict: "settings, such as {a:1,b:2}",
    type(None): "null",
}


def one_line(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for `error`."""
    if isinstance(error, SweepEnded):
        return error.code, str(error)
    chain = _causes(error)
    for cause in chain:
        if isinstance(cause, ConfigError | RunInUse):
            return MISTAKE, f"error: {_flat(str(cause))}"
    if (mistake := mistake_in_file(chain)) is not None:
        return MISTAKE, f"error: {mistake}"
    inner = [cause for cause in chain if "raised while resolving interpolation" not in str(cause)] or chain
    if any(isinstance(cause, OmegaConfBaseException | HydraException) for cause in inner):
        return MISTAKE, f"error: {_plain(inner)}"
    return FAILURE, f"error: {type(inner[0]).__name__}: {_flat(str(inner[0]))}"


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    node: BaseException | None = error
    while node is not None and node not in chain:
        chain.append(node)
        node = node.__cause__ or node.__context__
    return chain


def _plain(chain: list[BaseException]) -> str:
    """What Hydra or OmegaConf complain of, in the terms of this project, with what would be right."""
    text = "\n".join(str(cause) for cause in chain)
    if found := re.search(r"Error when parsing index: \d+, string: (.*?) out of \[", text, re.DOTALL):
        key, _, value = found[1].partition("=")
        quoted = f"'{key}=\"{value}\"'"
        return f"{found[1]}: can't be read as KEY=VALUE; text with special characters takes quotes in quotes: {quoted}"
    if found := re.search(r"Ambiguous value for argument '(.*)'\n|Sweep parameters '(.*)' requires --multirun", text):
        given = found[1] or found[2]
        key, _, value = given.partition("=")
        comma = ""
        if key in PATHS:
            value = value.replace("'", "")
            comma = f"; a path with a comma takes quotes in quotes: '{key}=\"{value}\"'"
        return f"{key}={value}: several values make a sweep, which needs -m: python train.py -m {key}={value}{comma}"
    if "INTERVAL_SWEEP" in text:
        return "interval(...) is for a search (hydra/sweeper=optuna); a grid takes values: optimizer.lr=1e-3,1e-4"
    if found := re.search(r"Could not override '([^']+)'", text):
        nested = re.search(r"full_key: (\S+)", text)
        return _unknown_key(nested[1] if nested and nested[1].startswith(f"{found[1]}.") else found[1])
    if found := re.search(r"full_key: ([\w.]+)", text):
        lines = next(str(cause) for cause in chain if "full_key" in str(cause)).splitlines()
        reason = next((line for line in lines if "raised while" not in line), lines[0])
        if (where := composed_in(text)) and found[1].partition(".")[0] == "sweeps":
            return f"{where}a recipe begins with the line `# @package _global_`"
        return where + (_unknown_key(found[1]) if "not in" in reason else _wrong_type(found[1], reason, text))
    if found := re.search(r"Could not find '([^']+)'\n*.*Available options in '([^']+)':\n((?:\s+\S+\n?)+)", text):
        group, options = found[2], found[3].split()
        given = found[1].removeprefix(f"{group}/")
        near = difflib.get_close_matches(given.lower(), options, 1)
        return f"{group}={given}: no such choice{_did_you_mean(near)}; choose from {', '.join(options)}"
    if found := re.search(r"Could not find '(\w+)/([^']+)'", text):
        return f"{found[1]}={found[2]}: no such choice, and {found[1]} has no others"
    return _flat(str(chain[0]))


def _wrong_type(key: str, reason: str, text: str) -> str:
    if key.isdigit() and (given := re.search(r"Error merging override \+*(([\w.]+)=.*)", text)):  # within a list
        return (
            f"{given[1]}: entry {key} can't be that: {reason[:1].lower()}{reason[1:]}; expected {_expected(given[2])}"
        )
    wanted = _expected(key)
    if given := re.search(rf"Error merging override \+*({re.escape(key)}=.*)", text):
        return f"{given[1]}: {f'expected {wanted}' if wanted else reason}"
    if wanted and (value := re.match(r"(?:Value|Invalid value) '(.*)'(?: of type|, expected| is not)", reason)):
        return f"{key}={value[1]}: expected {wanted}"
    return f"{key}: {reason}"


def _expected(key: str) -> str:
    """The type of a key in words; nothing for a key that isn't ours."""
    kind: Any = RunConfig
    for part in key.split("."):
        kind = get_type_hints(kind).get(part) if dataclasses.is_dataclass(kind) else None
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if float in kinds:
        kinds = tuple(one for one in kinds if one is not int)  # one of the numbers
    return " or ".join(filter(None, map(_in_words, kinds)))


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind == list[float]:
        return "a list of numbers, such as [0.5,1.0]"
    return WORDS.get(kind) or WORDS.get(get_origin(kind), "")


def _unknown_key(key: str) -> str:
    """The same word in another group, a similar one in the same, a similar one anywhere: in this order."""
    group, _, word = key.lower().replace("/", ".").rpartition(".")
    known = _keys(RunConfig)
    words = {name.rpartition(".")[2]: name for name in reversed(known)}
    beside = {name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == group}
    near = [words[word]] if word in words else []
    has_kwargs = group in ("model", "optimizer", "scheduler", "loss")
    for among in (beside, {} if has_kwargs else words):
        near = near or [among[name] for name in difflib.get_close_matches(word, among, 1)]
    hint = _did_you_mean(near)
    if has_kwargs and not near:
        hint = f"; if it is a setting of torch's own: {group}.kwargs.{word}"
    shown = "hydra" if group.startswith("hydra") else "job"
    return f"{key}: no such key{hint}; `python train.py --cfg {shown}` shows all keys"


def _keys(kind: Any, prefix: str = "") -> list[str]:
    names = []
    for field in dataclasses.fields(kind):
        names.append(prefix + field.name)
        if dataclasses.is_dataclass(field.type):
            names += _keys(field.type, f"{prefix}{field.name}.")
    return names


def _did_you_mean(near: list[str]) -> str:
    return f"; did you mean {near[0]}?" if near else ""


def _flat(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines())
