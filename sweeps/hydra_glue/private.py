"""Hydra's private parts, all of them that finegrid uses. Whoever needs one imports it from here.

A new version of Hydra may change them without notice: tests/sweeps/test_private_parts.py tries each and says by name
what broke.
"""

import contextlib
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig

__all__ = ["BasicSweeper", "Override", "OverrideType"]


def argument_parser() -> ArgumentParser:
    """Hydra's own, with all of its options."""
    return get_args_parser()


def parse_overrides(lines: Sequence[str]) -> list[Override]:
    """Override lines, parsed. Raises Hydra's errors."""
    return OverridesParser.create().parse_overrides(list(lines))


def in_quotes(text: str) -> str:
    """`text` as a value that Hydra's grammar takes as it is."""
    return QuotedString(text, Quote.single).with_quotes()


def grid_of(overrides: Sequence[Override]) -> Iterable[list[str]]:
    """All combinations of the values that overrides list. Raises HydraException for a sweep that is no list."""
    for batch in BasicSweeper.split_arguments(list(overrides), None):
        yield from batch


def context_without_callbacks(loader: ConfigLoader) -> HydraContext:
    """What a sweeper is set up with, for a plan without a sweep."""
    return HydraContext(loader, Callbacks())


@contextlib.contextmanager
def current_job(config: DictConfig) -> Iterator[None]:
    """Have `config` be the job that ${hydra:...} and our resolvers speak of."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
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
