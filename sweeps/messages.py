"""What went wrong, in one line for a person."""

import dataclasses
import difflib
import re
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from training.config import RunConfig
from training.errors import ConfigError
from training.record import RunInUse

MISTAKE, FAILURE = 2, 1  # exit codes


def one_line(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for `error`."""
    chain = _causes(error)
    for cause in chain:
        if isinstance(cause, ConfigError | RunInUse):
            return MISTAKE, f"error: {cause}"
    for cause in chain:
        if isinstance(cause, OmegaConfBaseException | HydraException):
            return MISTAKE, f"error: {_plain(chain)}"
    return FAILURE, f"error: {type(error).__name__}: {_flat(str(error))}"


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    node: BaseException | None = error
    while node is not None and node not in chain:
        chain.append(node)
        node = node.__cause__ or node.__context__
    return chain


def _plain(chain: list[BaseException]) -> str:
    """Hydra's and OmegaConf's words, less what only they understand, and with the nearest valid name."""
    text = "\n".join(str(cause) for cause in chain)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], chain)
    if found := re.search(r"full_key: (\S+)", text):
        reason = next(str(cause) for cause in chain if "full_key" in str(cause)).splitlines()[0]
        if "not in" in reason:
            return _unknown_key(found[1], chain)
        return f"{found[1]}: {reason}"
    if found := re.search(r"Could not find '([^']+)'\n*.*Available options in '([^']+)':\n((?:\s+\S+\n?)+)", text):
        group, options = found[2], found[3].split()
        asked = found[1].removeprefix(f"{group}/")
        near = difflib.get_close_matches(asked, options, 1)
        return f"{group}={asked}: no such choice{_did_you_mean(near)}; choose from {', '.join(options)}"
    return _flat(str(chain[0]))


def _unknown_key(key: str, chain: list[BaseException]) -> str:
    known = _keys(RunConfig)
    if re.fullmatch(r"\w+\.kwargs\.\w+", key):
        return f"{key}: not in the config yet; write +{key}=... to add it"
    near = difflib.get_close_matches(key, known, 1) or difflib.get_close_matches(
        key.rpartition(".")[2], [name.rpartition(".")[2] for name in known], 1
    )
    near = [name for name in known if name == near[0] or name.endswith(f".{near[0]}")][:1] if near else []
    return f"{key}: no such key{_did_you_mean(near)}; `python train.py --cfg job` shows all keys"


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
    return " ".join(text.split())
