"""What the programs that a user calls by name have in common: a parser, and every mistake in one line.

Exit codes: 0 done, 1 a bug or a failure, 2 a user's mistake, 130 interrupted.
"""

import argparse
import difflib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from training.console.table import VisibleRecord, printable
from training.errors import ConfigError
from training.run_folder import RunInUse
from training.targets import trusting

MISTAKE, INTERRUPTED = 2, 130  # exit codes
ErrorLine = Callable[[Exception], tuple[int, str]]


def called(module: str) -> str:
    """How a person calls the program `module` here: by the console command where that was used, else by Python."""
    if Path(sys.argv[0]).name == "finegrid":
        name = module.rpartition(".")[2]
        return f"finegrid {'init' if name == 'starting_folder' else name}"
    return "python train.py" if module == "train" else f"python -m {module}"


def parser_for(module: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser that says the first line of the module's docstring, and what stands below its examples."""
    first, _, rest = str(doc).partition("\n")
    below = " ".join(line for line in rest.split("\n") if line and not line.startswith(("python -m ", "finegrid ")))
    return argparse.ArgumentParser(prog=called(module), description=first, epilog=below)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """The option --trust, of programs that read run folders; run_program follows it."""
    words = "a module of your own whose code a run folder may use (again for more; or FINEGRID_TRUST=MODULE,MODULE)"
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=words)


def show_any_name() -> None:
    """Names of files come from anywhere: control characters in them are written out in logs, and so is what the output
    has no encoding for (bytes that are not UTF-8), instead of an error after all the work."""
    logging.setLogRecordFactory(VisibleRecord)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_program(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None,
    error_line: ErrorLine | None = None,
) -> int:
    """Parse `arguments` (None: the command line's) and do the work; gives the exit code. `error_line`: the code and the
    line for any error; without it, a user's mistake is one line and a bug is raised. With HYDRA_FULL_ERROR=1 all are
    raised."""
    try:
        show_any_name()
        options = _parsed(parser, arguments)
        with trusting(name for given in getattr(options, "trust", []) for name in given.split(",") if name):
            work(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough (`| head`), which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again while it exits
    except Exception as error:
        mistake = isinstance(error, ConfigError | OSError | RunInUse)
        if os.environ.get("HYDRA_FULL_ERROR") == "1" or not (error_line or mistake):
            raise
        code, line = error_line(error) if error_line else (MISTAKE, f"error: {_in_words(error)}")
        print(printable(line), file=sys.stderr)
        return code
    return 0


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. Raises ConfigError, in place of argparse's usage of many lines."""

    def complain(message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        numbers = {"int": "a whole number", "float": "a number", "positive": "a whole number above 0"}
        if found := re.fullmatch(r"(.*): invalid (\w+) value: '(.*)'", message, re.DOTALL):
            message = f"{found[1]} {found[3]}: expected {numbers.get(found[2], found[2])}"
        if found := re.match(r"unrecognized arguments: (-[\w-]+)", message):
            close = difflib.get_close_matches(found[1], parser._option_string_actions, 1)
            message += f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"{message}; --help shows what there is")

    parser.error = complain  # type: ignore[method-assign]
    return parser.parse_intermixed_args(arguments)


def _in_words(error: Exception) -> str:
    """A file's trouble as `FILE: what`, anything else as it is."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        return f"{name}: {error.strerror.lower()}"
    return str(error)
