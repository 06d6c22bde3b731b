"""What went wrong, in one line for a person."""

import dataclasses
import difflib
import errno
import re
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sweeps.hydra_glue.arguments import PATHS
from sweeps.hydra_glue.config_files import composed_in, mistake_in_file
from sweeps.stopping import SweepEnded
from training.config import RunConfig
from training.console.program import called
from training.errors import ConfigError
from training.run_folder import RunInUse

MISTAKE, FAILURE = 2, 1  # exit codes
EXTRAS = {  # of Hydra's launchers: the extra of ours that brings the package
    "joblib": "joblib",
    "submitit_local": "slurm",
    "submitit_slurm": "slurm",
    "ray": "ray",
    "ray_aws": "ray",
}
ELSEWHERE = {  # what other projects have under such names, and what does it here
    "hydra/sweeper": "; searches are hydra/sweeper=optuna_async, whose samplers are hydra/sweeper/sampler=NAME",
    "tracking": "; several at once: tracking.wandb=true beside TensorBoard, and python -m analysis.report reads runs",
}
OF_SEARCHES = ["hydra.sweeper.n_trials", "hydra.sweeper.direction", "hydra.sweeper.storage", "hydra.sweeper.study_name"]
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
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG:
            return MISTAKE, f"error: {cause.filename}: a name of more letters than a file's name may have"
    if (mistake := mistake_in_file(chain)) is not None:
        return MISTAKE, f"error: {mistake}"
    for cause in chain:
        if isinstance(cause, TypeError) and (mistake := _unknown_argument(str(cause))) is not None:
            return MISTAKE, f"error: {mistake}"
    inner = [cause for cause in chain if "raised while resolving interpolation" not in str(cause)] or chain
    if any(isinstance(cause, OmegaConfBaseException | HydraException) for cause in inner):
        return MISTAKE, f"error: {_plain(inner)}"
    for cause in chain:
        if (mistake := _interpolation(str(cause))) is not None:
            return MISTAKE, f"error: {mistake}"
    return FAILURE, f"error: {type(inner[0]).__name__}: {_flat(str(inner[0]))}"


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    node: BaseException | None = error
    while node is not None and node not in chain:
        chain.append(node)
        node = node.__cause__ or node.__context__
    return chain


def _unknown_argument(text: str) -> str | None:
    """A key that was added to a sweeper or launcher (+hydra.launcher.NAME=...), which has no such setting."""
    found = re.search(r"\w*(Sweeper|Launcher)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text)
    return _unknown_key(f"hydra.{found[1].lower()}.{found[2]}") if found else None


def _interpolation(text: str) -> str | None:
    """What an interpolation of the user's own could not find, ${oc.env:NAME} say. Those of the keys below hydra are
    ours, and what they raise has another cause."""
    found = re.search(r"raised while resolving interpolation: (.*?)\n\s*full_key: (\S+)", text, re.DOTALL)
    if found is None or found[2].startswith("hydra."):
        return None
    reason, key = _flat(found[1]).strip("\"'"), found[2]
    if missing := re.search(r"Environment variable '(.*)' not found", reason):
        name = missing[1]
        return f"{key}: the environment variable {name} is not set; ${{oc.env:{name},DEFAULT}} would give it a default"
    return f"{key}: {reason}"


def _unreadable(override: str, text: str) -> str:
    """An override that Hydra's grammar refuses, with its reason."""
    reason = text.partition(" out of [")[2].partition("].\n")[2].partition("\nSee https")[0]
    reason = _flat(re.sub(r"^Error parsing override .*\n", "", reason).replace("LexerNoViableAltException: ", ""))
    if "while evaluating" in reason:
        return f"{override}: {reason}"
    key, _, value = override.partition("=")
    if re.search(r"(^|,)\s*(,|$)", value) and re.fullmatch(r"[\w.,/+ -]+", value):
        return f"{override}: can't be read as KEY=VALUE (no value on one side of a comma)"
    hint = f"text with special characters takes quotes in quotes: '{key}=\"{value}\"'"
    told = reason.replace(override, "").strip(" ^")
    return f"{override}: can't be read as KEY=VALUE{f' ({told})' if told else ''}; {hint}"


def _no_such_choice(group: str, given: str, options: list[str]) -> str:
    if group == "hydra/launcher" and (extra := EXTRAS.get(given)):
        return (
            f"{group}={given}: its package is not installed: pip install 'finegrid[{extra}]', or in a checkout "
            f"pip install -e '.[{extra}]'"
        )
    if Path("conf", group, f"{given}.yaml").is_file() and not any(
        one.startswith(("--config-dir", "-cd")) for one in sys.argv
    ):  # as `finegrid init` makes it
        return f"{group}={given}: conf/{group}/{given}.yaml is read with --config-dir conf"
    near = difflib.get_close_matches(given.lower(), options, 1)
    elsewhere = "" if near else ELSEWHERE.get(group, "")
    return f"{group}={given}: no such choice{_did_you_mean(near)}; choose from {', '.join(options)}{elsewhere}"


def _plain(chain: list[BaseException]) -> str:
    """What Hydra or OmegaConf complain of, in the terms of this project, with what would be right."""
    text = "\n".join(str(cause) for cause in chain)
    if found := re.search(r"Error when parsing index: \d+, string: (.*?) out of \[", text, re.DOTALL):
        return _unreadable(found[1], text)
    if found := re.search(r"Ambiguous value for argument '(.*)'\n|Sweep parameters '(.*)' requires --multirun", text):
        given = found[1] or found[2]
        key, _, value = given.partition("=")
        comma = ""
        if key in PATHS:
            value = value.replace("'", "")
            comma = f"; a path with a comma takes quotes in quotes: '{key}=\"{value}\"'"
        return f"{key}={value}: several values make a sweep, which needs -m: {called('train')} -m {key}={value}{comma}"
    if found := re.search(r"(\S+?)=(.*): INTERVAL_SWEEP", text):
        key = found[1]
        whole = _expected(key).startswith("a whole number")
        values, drawn = ("1,2,3", f", of whole numbers as {key}=int({found[2]})") if whole else ("1e-3,1e-4", "")
        search = f"is for a search (hydra/sweeper=optuna_async){drawn}"
        return f"{key}={found[2]}: {search}; a grid takes values: {key}={values}"
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
        return _no_such_choice(found[2], found[1].removeprefix(f"{found[2]}/"), found[3].split())
    if found := re.search(r"Could not find '(\w+)/([^']+)'", text):
        return f"{found[1]}={found[2]}: no such choice, and {found[1]} has no others"
    return _reasons(chain)


def _reasons(chain: list[BaseException]) -> str:
    """What Hydra says, and why: the reason stands in the error below, which may repeat what is above it."""
    told: list[str] = []
    for cause in chain:
        lines = [
            line for line in str(cause).splitlines() if not re.match(r"\s*(full_key|object_type|reference_type)", line)
        ]
        reason = _flat("\n".join(lines))
        if reason and not any(reason in before for before in told):
            told.append(reason)
    return ": ".join(told)


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
    if re.match(r"Incompatible value 'None'|field '.*' is not Optional", reason):
        return f"{key}=null: expected {wanted or 'settings, not nothing'}"
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
    near = near if group.partition(".")[0] != "hydra" or word in words else []  # whose words are not alike by meaning
    hint = _did_you_mean(near)
    if key in OF_SEARCHES:
        hint = "; it is for a search, which needs hydra/sweeper=optuna_async"
    if has_kwargs and not near:
        hint = f"; if it is a setting of torch's own: {group}.kwargs.{word}"
    shown = "hydra" if group.startswith("hydra") else "job"
    return f"{key}: no such key{hint}; `{called('train')} --cfg {shown}` shows all keys"


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
