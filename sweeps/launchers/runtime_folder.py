"""The folder in which the sweeps of one user on one machine find each other. Nobody else can write to it."""

import os
import stat
import tempfile
from pathlib import Path

from training.errors import ConfigError

VARIABLE = "FINEGRID_RUNTIME"


def runtime_folder() -> Path:
    """FINEGRID_RUNTIME, or else `finegrid` in XDG_RUNTIME_DIR, or else a folder of this user's in the temporary one;
    made where it isn't there. Raises ConfigError where the first can't be used, OSError where no other can."""
    if named := os.environ.get(VARIABLE):
        try:
            Path(named).parent.mkdir(parents=True, exist_ok=True)
            return _own(Path(named))
        except OSError as error:
            raise ConfigError(f"{VARIABLE}={named}: {error.strerror or error}") from error
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        try:
            return _own(Path(runtime) / "finegrid")
        except OSError:  # of a session that is over, or of the user that one was before `su`
            pass
    return _own(Path(tempfile.gettempdir()) / f"finegrid-{os.getuid()}")


def _own(folder: Path) -> Path:
    """A folder that is this user's alone. Raises OSError where it is another's, or a link, which may lead anywhere."""
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.getuid():
            raise PermissionError(13, f"{folder} belongs to another user")
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return folder
