"""The version of the training code: of what was imported, and only of what can change a result."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from training.provenance.code_version import SAME_RESULTS, code_version, first_alike, same_results, statements

PLAIN = b'''"""What it is about."""

import os


def separator() -> str:
    """Of paths."""
    return os.sep  # never empty
'''


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "training", tmp_path / "training", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def version_in(folder: Path, before: str = "") -> str:
    """What a process says whose training/ lies in `folder`; `before`: code that runs between import and question."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import training.provenance.code_version as c\n{before}\n"
    command = [sys.executable, "-S", "-c", code + "print(c.code_version())"]
    return subprocess.check_output(command, cwd=folder, text=True).strip()


def test_comments_docstrings_and_blank_lines_are_no_code() -> None:
    commented = PLAIN.replace(b"import os", b"# the system's\nimport os\n\n").replace(
        b"Of paths.", b"Between\n    parts."
    )
    assert statements(commented) == statements(PLAIN) == "import os\ndef separator() -> str:\n    return os.sep"
    assert statements(PLAIN.replace(b"os.sep", b"os.altsep")) != statements(PLAIN)
    assert statements(b'TEXT = "# no comment"\n') == 'TEXT = "# no comment"'


@pytest.mark.parametrize(
    ("file", "line", "changes"),
    [
        ("engine/loop.py", "\nMORE = 1\n", True),
        ("data/batches.py", "\nMORE = 1\n", True),
        ("config.py", "\nMORE = 1\n", True),
        ("engine/loop.py", "\n# a remark\n", False),
        ("soup.py", "\nMORE = 1\n", False),
        ("engine/tracking/tensorboard.py", "\nMORE = 1\n", False),
        ("record.py", "\nMORE = 1\n", False),
    ],
)
def test_only_what_can_change_a_result_enters(copy: Path, file: str, line: str, changes: bool) -> None:
    assert version_in(copy) == code_version()
    with (copy / "training" / file).open("a") as stream:
        stream.write(line)
    assert (version_in(copy) != code_version()) is changes


def test_a_file_edited_after_the_import_is_not_what_was_run(copy: Path) -> None:
    edit = f"open({str(copy / 'training' / 'engine' / 'loop.py')!r}, 'a').write('MORE = 1\\n')"
    assert version_in(copy, edit) == code_version()
    assert version_in(copy) != code_version()


def test_versions_that_give_the_same_results() -> None:
    assert same_results(code_version()) and not same_results("00000000") and not same_results(None)
    for group in SAME_RESULTS:
        assert {first_alike(version) for version in group} == {group[0]}
    assert first_alike("00000000") == "00000000"
