"""Mistakes in config files, recipes above all, that neither Hydra nor OmegaConf tell as such."""

import re
import traceback
from collections.abc import Sequence
from types import FrameType

from hydra.errors import HydraException
from yaml import YAMLError
from yaml.error import MarkedYAMLError


def mistake_in_file(chain: Sequence[BaseException]) -> str | None:
    """What is wrong with a config file, for an error and its causes; None where it is something else."""
    for error in chain:
        file = _being_read(error)
        if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
            mark, problem = error.problem_mark, error.problem or "can't be read"
            tab = "; indent with spaces, not with tabs" if "cannot start any token" in problem else ""
            return f"{mark.name} line {mark.line + 1}: no YAML: {problem}{tab}"
        if isinstance(error, YAMLError):  # too many aliases, say
            return f"{file or 'a config file'}: no YAML: {' '.join(str(error).split())}"
        if found := re.search(r"Environment variable '(.*)' not found", str(error)):
            return _without_variable(found[1], chain)
        if file is None:
            continue
        if isinstance(error, UnicodeDecodeError):
            return f"{file}: not UTF-8 text ({error.reason} at byte {error.start})"
        if isinstance(error, RecursionError):
            return f"{file}: its defaults lead back to itself"
        if isinstance(error, OSError) and not isinstance(error, HydraException):
            expected = "expected settings, such as `seed: 0`" if "loaded object" in str(error) else error.strerror
            return f"{file}: {expected or error}"
    return None


def _without_variable(name: str, chain: Sequence[BaseException]) -> str:
    key = re.search(r"full_key: ([\w.]+)", "\n".join(map(str, chain)))
    where = f"{key[1]}: " if key else ""
    return f"{where}the environment variable {name} is not set; ${{oc.env:{name},DEFAULT}} would give it a default"


def composed_in(text: str) -> str:
    """`sweeps/NAME: ` for an error in what that file sets, else nothing."""
    found = re.search(r"In '([^']+)': \w+ raised while composing config", text)
    return f"{found[1]}: " if found else ""


def _being_read(error: BaseException) -> str | None:
    """The config file that Hydra was reading; errors of the file system and of decoding don't name it. None where
    Hydra had read them all."""
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = _file_of(frame, isinstance(error, RecursionError)) or found
    return found


def _file_of(frame: FrameType, endless: bool) -> str | None:
    module, names = frame.f_globals.get("__name__", ""), frame.f_locals
    if module == "hydra._internal.core_plugins.file_config_source":
        return names.get("full_path") or names.get("config_path")
    return names.get("path") if endless and module == "hydra._internal.defaults_list" else None
