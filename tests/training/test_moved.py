"""Modules that users' own code knows by their old names."""

import importlib
import subprocess
import sys

import pytest
from conftest import ROOT

from training.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_old_names_are_the_new_modules(old: str) -> None:
    sys.modules.pop(old, None)
    module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, training; print('torch' in sys.modules, len([name for name in sys.modules if 'training' in name]))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split() == ["False", "2"]


def test_a_program_runs_under_its_old_name() -> None:
    said = [
        subprocess.run([sys.executable, "-m", name], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in ("training.code_version", "training.provenance.code_version")
    ]
    assert said[0].stdout == said[1].stdout and len(said[0].stdout.strip()) == 8
    assert [one.stderr for one in said] == ["", ""]
