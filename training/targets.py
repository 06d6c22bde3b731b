"""What a `_target_` of a config names (a model, an optimizer, a transform, a data source), and whether it takes its
arguments. Every mistake is one line that names the config key.

The composed config is the user's own and may name anything that Python can import. What stands in a file that may come
from elsewhere (a run folder, a checkpoint) is read inside of `foreign`: there a target has to be one of KNOWN for its
role, or defined in a module that the user trusts: --trust MODULE, or FINEGRID_TRUST=MODULE,MODULE.
"""

import contextlib
import difflib
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from training.errors import ConfigError, Impossible
from training.metrics import METRICS

ANY = "module.name of a function or class that Python can import from here"
ENVIRONMENT = "FINEGRID_TRUST"
# Exact names that come with finegrid, by role (the first part of the config key).
NAMES = {
    "model": {"training.models.torchvision_model", "training.models.torchvision.torchvision_model"},
    "data": {
        "training.sources.digits",
        "training.sources.folder",
        "training.torchvision_sets.torchvision",
        "training.data.torchvision_sets.torchvision",
    },
    "loss": {f"training.engine.loss.{name}" for name in ("cross_entropy", "bce", "focal")},
    "trainer": {metric.target for metric in METRICS.values()},
}
# Classes, by role: where their names begin, and the base class that they have to have (None: any class).
CLASSES: dict[str, tuple[tuple[tuple[str, ...], str | None], ...]] = {
    "model": (
        (("torch.nn.", "torchvision.models.", "timm.models."), "torch.nn.Module"),
        (("training.models.",), "training.models.family.Family"),
    ),
    "optimizer": ((("torch.optim.",), "torch.optim.Optimizer"),),
    "scheduler": ((("torch.optim.lr_scheduler.",), "torch.optim.lr_scheduler.LRScheduler"),),
    "augment": ((("torchvision.transforms.",), None),),
    "loss": ((("torch.nn.",), "torch.nn.Module"),),
}
BUILDERS = "torchvision.models."  # its registered builders are known models, too
_source: ContextVar[str | None] = ContextVar("source", default=None)  # the file that is read, if it may be foreign
_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


@contextlib.contextmanager
def trusting(modules: Iterable[str]) -> Iterator[None]:
    """In here, files that may be foreign may name what is defined in these modules, and in those of FINEGRID_TRUST."""
    token = _trusted.set((*_trusted.get(), *modules))
    try:
        yield
    finally:
        _trusted.reset(token)


@contextlib.contextmanager
def foreign(source: object) -> Iterator[None]:
    """In here, targets come from `source`, a file or folder that may be from elsewhere."""
    token = _source.set(str(source))
    try:
        yield
    finally:
        _source.reset(token)


def locate(target: str, key: str, expected: str = ANY) -> Callable[..., Any]:
    """The function or class that `target` names. `key`: the config's, such as model or augment.own[0].

    Raises ConfigError when there is no such thing, with what is `expected`, and where a foreign file may not name it.
    """
    source = _source.get()
    if source is not None and not _may_be_imported(target, key):
        raise _refusal(target, key, source)
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}._target_={target}: {error}{_near(target) or f'; expected {expected}'}") from error
    except Exception as error:  # the module's own mistake
        raise ConfigError(f"{key}._target_={target}: importing it raises {failure(error)}") from error
    if not callable(found):
        raise ConfigError(f"{key}._target_={target}: expected {expected}, found a {type(found).__name__}")
    if source is not None and not _may_be_called(found, target, key):
        raise _refusal(target, key, source)
    return found  # type: ignore[no-any-return]


def _role(key: str) -> str:
    return key.partition(".")[0]


def _trusted_modules() -> tuple[str, ...]:
    named = (name.strip() for name in os.environ.get(ENVIRONMENT, "").split(","))
    return (*_trusted.get(), *(name for name in named if name))


def _inside(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _may_be_imported(target: str, key: str) -> bool:
    """Whether a foreign file may make Python import this: by its name alone."""
    if not isinstance(target, str):
        return False
    known = tuple(prefix for prefixes, _ in CLASSES.get(_role(key), ()) for prefix in prefixes)
    return target in NAMES.get(_role(key), ()) or target.startswith(known) or _inside(target, _trusted_modules())


def _may_be_called(found: Any, target: str, key: str) -> bool:
    """Whether a foreign file may make us call this. What counts is where it is defined: every module also has the names
    of those that it imports, such as own_parts.os.system."""
    role, defined = _role(key), str(getattr(found, "__module__", ""))
    trusted = _trusted_modules()
    if target in NAMES.get(role, ()) or target in trusted or _inside(defined, trusted):
        return True
    if role == "model" and defined.startswith(BUILDERS) and not isinstance(found, type):
        import torchvision

        names = torchvision.models.list_models(module=torchvision.models)
        return any(found is torchvision.models.get_model_builder(name) for name in names)
    for prefixes, base in CLASSES.get(role, ()):
        fits = isinstance(found, type) and f"{defined}.".startswith(prefixes)
        if fits and (base is None or issubclass(found, pkgutil.resolve_name(base))):
            return True
    return False


def _refusal(target: str, key: str, source: str) -> ConfigError:
    module = str(target).rpartition(".")[0]
    top = module.partition(".")[0]
    others = not module or top in sys.stdlib_module_names or top in ("torch", "torchvision", "training")
    name = "MODULE" if others else module
    return ConfigError(
        f"{source}: refused: it names {key}._target_={target}, which is not among what a run folder may name; if the "
        f"code is your own, say so by --trust {name} or {ENVIRONMENT}={name}"
    )


def _near(target: str) -> str:
    module, _, name = target.rpartition(".")
    try:
        names = dir(pkgutil.resolve_name(module))
    except Exception:
        return ""
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {module}.{near[0]}?" if near else ""


def bind(function: Callable[..., Any], key: str, *args: Any, **kwargs: Any) -> None:
    """Raise ConfigError unless `function` takes these arguments; Impossible, since another choice may take them."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        called = getattr(function, "__name__", function)
        takes = ", ".join(name for name in inspect.signature(function).parameters if name != "self")
        raise Impossible(f"{key}: {called} refuses these settings: {error}; it takes {takes}") from error
    except ValueError:  # built-in, so it can't say what it takes
        return


def failure(error: Exception) -> str:
    """What went wrong in somebody else's code, and where: type, message, file and line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({place.filename}, line {place.lineno})"
