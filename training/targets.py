"""What a `_target_` of a config names (a model, an optimizer, a transform, a data source), and whether it takes its
arguments. Every mistake is one line that names the config key."""

import difflib
import inspect
import pkgutil
import traceback
from collections.abc import Callable
from typing import Any

from training.errors import ConfigError

ANY = "module.name of a function or class that Python can import from here"


def locate(target: str, key: str, expected: str = ANY) -> Callable[..., Any]:
    """The function or class that `target` names. `key`: the config's, such as model or augment.own[0].

    Raises ConfigError when there is no such thing, with what is `expected`.
    """
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}._target_={target}: {error}{_near(target) or f'; expected {expected}'}") from error
    except Exception as error:  # the module's own mistake
        raise ConfigError(f"{key}._target_={target}: importing it raises {failure(error)}") from error
    if not callable(found):
        raise ConfigError(f"{key}._target_={target}: expected {expected}, found a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _near(target: str) -> str:
    module, _, name = target.rpartition(".")
    try:
        names = dir(pkgutil.resolve_name(module))
    except Exception:
        return ""
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {module}.{near[0]}?" if near else ""


def bind(function: Callable[..., Any], key: str, *args: Any, **kwargs: Any) -> None:
    """Raise ConfigError unless `function` takes these arguments."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        called = getattr(function, "__name__", function)
        takes = ", ".join(name for name in inspect.signature(function).parameters if name != "self")
        raise ConfigError(f"{key}: {called} refuses these settings: {error}; it takes {takes}") from error
    except ValueError:  # built-in, so it can't say what it takes
        return


def failure(error: Exception) -> str:
    """What went wrong in somebody else's code, and where: type, message, file and line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({place.filename}, line {place.lineno})"
