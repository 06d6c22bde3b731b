"""The version of the code that made a result: a hash of what was imported, and which versions give the same results.

    python -m training.code_version    prints the version of this checkout

Only files that can change a result enter (data, models, engine, config), without comments, docstrings and blank lines.
The sources are read when this module is imported, so that a file that is edited while a sweep runs doesn't change what
its runs say of themselves.
"""

import ast
import hashlib
import io
import tokenize
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1]
FILES = (
    *("config.py", "schema/checks.py", "schema/data_config.py", "device.py", "metrics.py", "targets.py"),
    *("data/**/*.py", "models/**/*.py", "engine/**/*.py"),
)
# What only watches, measures or tells: it can't change what a run comes to.
WATCHERS = ("engine/tracking/", "engine/latency.py", "engine/model_card.py", "data/parallel.py")
# Versions that were shown to give the same results, to the bit: a group a line. Add this code's version to the newest
# group if tests/test_old_outputs.py and the golden tests pass and no result can differ; begin a new one if results do.
SAME_RESULTS: tuple[tuple[str, ...], ...] = (
    # From 47bee83 on, the layout in rooms
    ("239708f6", "3d9140da", "ac5e2144", "98c49c9d", "5fd54a61", "f10c8209", "3009462d", "2771215d"),
)


def _read() -> dict[str, bytes]:
    files = sorted({file for pattern in FILES for file in FOLDER.glob(pattern)})
    names = {file.relative_to(FOLDER).as_posix(): file for file in files}
    return {name: file.read_bytes() for name, file in names.items() if not name.startswith(WATCHERS)}


_SOURCES = _read()


@cache
def code_version() -> str:
    """Eight hex digits that change whenever code that can change a result does."""
    return version_of(_SOURCES)


def version_of(sources: dict[str, bytes]) -> str:
    """The version of these sources, by file name."""
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        digest.update(name.encode() + b"\0" + statements(source).encode() + b"\0")
    return digest.hexdigest()[:8]


def first_alike(version: str) -> str:
    """The oldest version that gives the same results as this one."""
    return next((group[0] for group in SAME_RESULTS if version in group), version)


def same_results(version: str | None) -> bool:
    """Whether code of this version gives the results that this code gives."""
    return version is not None and first_alike(version) == first_alike(code_version())


def statements(source: bytes) -> str:
    """Python source without comments, docstrings and blank lines; equal for two files that do the same line by line."""
    lines = source.decode().splitlines()
    for start, end in _docstrings(ast.parse(source)):
        lines[start - 1 : end] = [""] * (end - start + 1)
    text = "\n".join(lines) + "\n"
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _docstrings(tree: ast.Module) -> list[tuple[int, int]]:
    """First and last line of each docstring, where it stands on lines of its own."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                found.append((first.lineno, first.end_lineno or first.lineno))
    return found


if __name__ == "__main__":
    print(code_version())
