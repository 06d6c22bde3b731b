"""Hydra's private parts, all of them that finegrid uses. Whoever needs one imports it from here.

A new version of Hydra may change them without notice: tests/sweeps/test_private_parts.py tries each and says by name
what broke.
"""

import contextlib
import dataclasses
import itertools
import os
import pickle
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins import file_config_source
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import (  # type: ignore[attr-defined]
    CommonTokenStream,
    InputStream,
    OverrideLexer,
    OverrideParser,
    OverridesParser,
)
from hydra.core.override_parser.types import Glob, Override, OverrideType, Quote, QuotedString
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from training.config import RunConfig
from training.errors import ConfigError

__all__ = ["BasicSweeper", "Override", "OverrideType"]
PARTS = [field.name for field in dataclasses.fields(RunConfig) if dataclasses.is_dataclass(field.type)]  # of a config
_parsed: dict[tuple[str, str, int, int, int], bytes] = {}  # config files, as FileConfigSource read them
MANY = 100_000  # runs of a grid; more is a slip


def argument_parser() -> ArgumentParser:
    """Hydra's own, with all of its options."""
    return get_args_parser()


def parse_overrides(lines: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Override lines, parsed. `loader`: knows the choices of config groups, which glob() chooses among. Raises Hydra's
    errors."""
    return OverridesParser.create(loader).parse_overrides(list(lines))


def repeated_key(line: str) -> str | None:
    """The key that stands twice in one dict of an override line, such as a={b:1,b:2}; None where none does. (Hydra
    takes the last.) A line that can't be parsed has none."""
    lexer = OverrideLexer(InputStream(line))
    lexer.removeErrorListeners()
    parser = OverrideParser(CommonTokenStream(lexer))
    parser.removeErrorListeners()
    nodes = [parser.override()]  # type: ignore[no-untyped-call]
    while nodes:
        node = nodes.pop()
        children = list(getattr(node, "children", None) or ())
        if isinstance(node, OverrideParser.DictContainerContext):
            pairs = [child for child in children if isinstance(child, OverrideParser.DictKeyValuePairContext)]
            keys = [str(pair.children[0].getText()) for pair in pairs]
            for place, key in enumerate(keys):
                if key in keys[:place]:
                    return key
        nodes += reversed(children)
    return None


def in_quotes(text: str) -> str:
    """`text` as a value that Hydra's grammar takes as it is."""
    return QuotedString(text, Quote.single).with_quotes()


def grid_of(overrides: Sequence[Override]) -> Iterable[list[str]]:
    """All combinations of the values that overrides list. Raises HydraException for a sweep that is no list, and
    ConfigError for one without values, or of more than MANY combinations."""
    count = 1
    for override in overrides:
        if override.is_interval_sweep():
            raise HydraException(f"{override.input_line}: INTERVAL_SWEEP")
        if override.is_sweep_override():
            count *= _count_values(override)
        if count > MANY:
            raise ConfigError(f"{override.input_line}: makes more than {MANY} runs of this grid")
    lines: dict[str, list[str]] = {}  # of each key; the last override of one wins
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            lines[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        elif override.is_delete() and "=" not in str(override.input_line):
            lines[key] = [key]  # whatever its value; ~key= would delete it only if it were empty
        else:
            lines[key] = [f"{key}={override.get_value_element_as_str()}"]
    yield from map(list, itertools.product(*lines.values()))


def _count_values(override: Override) -> int:
    """How many values a sweep lists; MANY + 1 stands for more."""
    try:
        count = sum(1 for _ in itertools.islice(override.sweep_string_iterator(), MANY + 1))
    except ValueError as error:  # a step of 0
        raise ConfigError(f"{override.input_line}: {error}") from error
    if count:
        return count
    if not isinstance(override.value(), Glob):
        raise ConfigError(
            f"{override.input_line}: lists no values; the end is not part of a range: range(0,3) is 0,1,2"
        )
    group = override.key_or_group
    options = override.config_loader.get_group_options(group) if override.config_loader else []
    why = f"matches none of {', '.join(options)}" if options else f"glob() chooses among files, and {group} is no group"
    raise ConfigError(f"{override.input_line}: {why}")


class FileConfigSource(file_config_source.FileConfigSource):  # by this name, since Hydra tells sources by names
    """Hydra's source of config files, except that `key: ???` there stays a value that is missing. (OmegaConf would
    leave the value of the file before in its place.)"""

    def load_config(self, config_path: str) -> ConfigResult:
        """As Hydra's, but a file is parsed once in this process, as long as it stays as it is."""
        file = os.path.join(self.path, self._normalize_file_name(config_path))  # noqa: PTH118 (it may end in /)
        try:
            state = os.stat(file)  # noqa: PTH116
        except OSError:
            return self._read(config_path)
        key = (self.provider, file, state.st_ino, state.st_size, state.st_mtime_ns)
        if key not in _parsed:
            _parsed[key] = pickle.dumps(self._read(config_path))
        result: ConfigResult = pickle.loads(_parsed[key])
        return result

    def _read(self, config_path: str) -> ConfigResult:
        """A missing value becomes ${missing_in:FILE}, which compose.py resolves: with an error. Raises ConfigError for
        a part of the config that is missing."""
        result = super().load_config(config_path)
        if isinstance(result.config, DictConfig):
            for key in _missing(OmegaConf.to_container(result.config)):
                if key in ("hydra", *PARTS):
                    raise ConfigError(f"{key}: ??? in {config_path}: settings are missing; write some, or leave it out")
                if key.partition("[")[0] != "defaults":  # a choice that has to be made, which Hydra knows
                    OmegaConf.update(result.config, key, f"${{missing_in:{in_quotes(config_path)}}}")
        return result


def _missing(values: Any, key: str = "") -> Iterator[str]:
    """Keys of missing values, a.b[0]. (OmegaConf.missing_keys would resolve what refers to other files.)"""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _missing(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _missing(value, f"{key}[{number}]")
    elif isinstance(values, str) and values == "???":
        yield key


def keep_missing_values() -> None:
    """Have Hydra read config files by our FileConfigSource."""
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource


def context_without_callbacks(loader: ConfigLoader) -> HydraContext:
    """What a sweeper is set up with, for a plan without a sweep."""
    return HydraContext(loader, Callbacks())


@contextlib.contextmanager
def current_job(config: DictConfig) -> Iterator[None]:
    """Have `config` be the job that ${hydra:...} and our resolvers speak of."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = cast(Any, config)  # set_config() would copy the hydra node, which takes longer
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def singletons() -> Any:
    """All of Hydra's global state, to be taken to another process."""
    return Singleton.get_state()


def set_singletons(state: Any) -> None:
    """Take over the global state of another process."""
    Singleton.set_state(state)


def returned(result: JobReturn) -> Any:
    """What a job gave, or the exception that it raised, which `result.return_value` would raise."""
    return result._return_value


def failed(config: DictConfig, error: BaseException) -> JobReturn:
    """The result of a job that raised `error`."""
    overrides = list(config.hydra.overrides.task)
    return JobReturn(overrides=overrides, cfg=config, status=JobStatus.FAILED, _return_value=error)


def set_failed(result: JobReturn, error: BaseException) -> None:
    """Have `result` be that of a job that raised `error`."""
    result._return_value, result.status = error, JobStatus.FAILED
