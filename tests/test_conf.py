"""conf/: what a user opens shows every key that there is."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from conftest import ROOT
from omegaconf import OmegaConf

from training.config import RunConfig

CONF = ROOT / "conf"
MAIN: Any = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"), resolve=False)
DEFAULTS = {group: choice for entry in MAIN["defaults"] if isinstance(entry, dict) for group, choice in entry.items()}
PARTS = {field.name: field.type for field in fields(RunConfig) if is_dataclass(field.type)}


@pytest.mark.parametrize("group", PARTS)
def test_the_default_choice_shows_every_key(group: str) -> None:
    shown = MAIN[group] if group in MAIN else OmegaConf.load(CONF / group / f"{DEFAULTS[group]}.yaml")
    assert set(shown) == {field.name for field in fields(PARTS[group])}  # type: ignore[arg-type]


def test_every_part_of_a_run_is_chosen_or_written_out() -> None:
    assert set(PARTS) <= {*DEFAULTS, *MAIN}
    assert {field.name for field in fields(RunConfig)} <= {*DEFAULTS, *MAIN}
