"""Where a study lies: the journal in its sweep's folder, or the database of an Optuna URL. Mistakes are one line."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from sweeps.sweepers.journal import JOURNAL, open_journal
from training.errors import ConfigError
from training.run_folder import MULTIRUN
from training.schema.checks import need

PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}  # where pip has a module under another name
EXAMPLES = "sqlite:///studies.db, postgresql://user@host/studies, mysql+pymysql://user@host/studies"

WITHOUT = "without this key the study is a journal file in the sweep's folder"


@contextlib.contextmanager
def storage_errors_told(storage: Any) -> Iterator[None]:
    """A storage that can't be reached is the user's mistake. Raises ConfigError."""
    what = f"hydra.sweeper.storage={_without_password(storage)}"
    try:
        yield
    except NoSuchModuleError as error:
        raise ConfigError(f"{what}: there is no database of this kind; such as {EXAMPLES}; {WITHOUT}") from error
    except ImportError as error:
        package = PACKAGES.get(str(error.name), error.name)
        raise ConfigError(f"{what}: its driver is missing; pip install {package}") from error
    except (SQLAlchemyError, StorageInternalError, ValueError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        text = re.sub(r"\(Background on this error at: .*?\)|\[SQL: .*", "", " ".join(str(cause).split())).strip()
        raise ConfigError(f"{what}: {text}") from error


def _without_password(storage: Any) -> str:
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", str(storage))


def backend(storage: Any, folder: Path) -> Any:
    """What Optuna takes as a storage. Raises ConfigError for a damaged journal."""
    return open_journal(folder / JOURNAL) if storage is None else storage


def file_of(storage: Any, folder: Path) -> Path | None:
    """The file that a study lies in; None for a database server. Raises ConfigError for a URL that is none, and for a
    file that can't be made or written."""
    if storage is None:
        return folder / JOURNAL
    need(isinstance(storage, str), f"hydra.sweeper.storage={storage}: expected a URL, such as {EXAMPLES}")
    with storage_errors_told(storage):
        url = make_url(storage)
        url.get_dialect().import_dbapi()
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return None
    file = Path(url.database)
    what = f"hydra.sweeper.storage={storage}: unable to open database file"
    need(file.parent.is_dir(), f"{what}: there is no folder {file.parent}")
    need(not file.is_dir(), f"{what}: {file} is a folder")
    target = file if file.exists() else file.parent
    need(os.access(target, os.W_OK), f"{what}: {target} can't be written")
    return file


def name_in(storage: Any, folder: Path, name: str, named: bool) -> str:
    """The study's name. A folder that was renamed or copied is known by what lies in it: the one study of its journal,
    whatever that is called. `named`: the user gave this name as hydra.sweeper.study_name. Raises ConfigError where it
    is open which study is meant."""
    file = file_of(storage, folder)
    if named or (file is not None and not file.exists()):
        return name
    with storage_errors_told(storage):
        names = optuna.get_all_study_names(backend(storage, folder))
    if name in names:
        return name
    if storage is None:
        if len(names) > 1:
            raise ConfigError(
                f"{file} holds the studies {', '.join(names)}: name one of them as hydra.sweeper.study_name"
            )
        return names[0] if names else name
    if (before := _name_before(folder)) in names:
        raise ConfigError(
            f"{folder} holds the runs of study {before} of this storage, which has no study {name}:"
            f" hydra.sweeper.study_name={before} goes on with it, hydra.sweeper.study_name={name} begins a new one"
        )
    return name


def _name_before(folder: Path) -> str | None:
    """The study that this folder was last used for, by the config that lies in it."""
    with contextlib.suppress(Exception):
        config = OmegaConf.load(folder / MULTIRUN)
        return str(OmegaConf.select(config, "hydra.sweeper.study_name") or OmegaConf.select(config, "sweep.name"))
    return None
