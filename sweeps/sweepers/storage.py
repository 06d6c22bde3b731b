"""Where a study lies: the journal in its sweep's folder, or the database of an Optuna URL. Mistakes are one line."""

import contextlib
import functools
import hashlib
import importlib.util
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from sweeps.sweepers.journal import JOURNAL, open_journal
from training.errors import ConfigError
from training.run_folder import MULTIRUN, lock
from training.schema.checks import need

PACKAGES = {
    "psycopg": "'finegrid[postgres]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}  # where pip has a module under another name
EXAMPLES = "sqlite:///studies.db, postgresql://user@host/studies, mysql+pymysql://user@host/studies"

LOCK_S = 60.0  # so long a controller waits for another to count and ask
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
        raise ConfigError(f"{what}: {_in_short(cause)}") from error


def _in_short(error: BaseException) -> str:
    return re.sub(r"\(Background on this error at: .*?\)|\[SQL: .*", "", " ".join(str(error).split())).strip()


def _without_password(storage: Any) -> str:
    return re.sub(r"(//[^:/@]*):[^@]*@|([?&]password)=[^&]*", _starred, str(storage))


def _starred(found: re.Match[str]) -> str:
    return f"{found[1]}:***@" if found[1] is not None else f"{found[2]}=***"


def backend(storage: Any, folder: Path) -> Any:
    """What Optuna takes as a storage. Raises ConfigError for a damaged journal."""
    if storage is None:
        return open_journal(folder / JOURNAL)
    # a server may have been started anew since the last question
    return RDBStorage(with_driver(storage), engine_kwargs={"pool_pre_ping": True}) if is_postgres(storage) else storage


def is_postgres(storage: Any) -> bool:
    """Whether a study lies on a PostgreSQL server."""
    return isinstance(storage, str) and storage.startswith("postgresql")


def with_driver(storage: str) -> str:
    """A URL with the driver that is installed: psycopg, unless only psycopg2 is. Raises SQLAlchemy's error for what is
    no URL."""
    url = make_url(storage)
    if url.drivername == "postgresql" and importlib.util.find_spec("psycopg2") is None:
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


@contextlib.contextmanager
def exclusive(storage: Any, folder: Path, name: str) -> Iterator[None]:
    """Hold a study for this controller alone: by the lock of the sweep's folder, and where the study lies on a
    PostgreSQL server by a lock of that, since other controllers may have other folders, or no locks between their
    hosts. Either goes with its owner. Raises RunInUse, StorageInternalError."""
    with contextlib.ExitStack() as held:
        held.enter_context(lock(folder, wait_s=LOCK_S))
        if is_postgres(storage):
            held.enter_context(_server_lock(storage, name))
        yield


@contextlib.contextmanager
def _server_lock(storage: str, name: str) -> Iterator[None]:
    key = {"key": int.from_bytes(hashlib.sha256(f"finegrid {name}".encode()).digest()[:8], "big", signed=True)}
    with contextlib.ExitStack() as held:
        try:
            connection = held.enter_context(_own_engine(storage, os.getpid()).connect())
            connection.execute(text(f"SET lock_timeout = '{LOCK_S:g}s'"))
            connection.execute(text("SELECT pg_advisory_lock(:key)"), key)
        except SQLAlchemyError as error:
            raise StorageInternalError(f"the study can't be locked: {_in_short(error)}") from error
        try:
            yield
        finally:
            try:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
            except SQLAlchemyError:  # the lock goes with its connection, if it hasn't
                connection.invalidate()


@functools.cache
def _own_engine(storage: str, process: int) -> Engine:
    """For what is not Optuna's. A connection is kept, since to make one takes longer than what is asked by it."""
    return create_engine(with_driver(storage), pool_size=1, pool_pre_ping=True, isolation_level="AUTOCOMMIT")


def clock_offset_s(storage: Any, folder: Path) -> float | None:
    """How many seconds the clock that all controllers of a study share is ahead of this host's: the server's, or that
    of the file system. None where it can't be asked."""
    if is_postgres(storage):
        with contextlib.suppress(SQLAlchemyError), _own_engine(storage, os.getpid()).connect() as connection:
            before = time.time()
            told = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
            return float(told) - (before + time.time()) / 2
        return None
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as file:
        before = time.time()
        os.utime(file.name)
        return os.stat(file.name).st_mtime - (before + time.time()) / 2  # noqa: PTH116 (as above)
    return None


def file_of(storage: Any, folder: Path) -> Path | None:
    """The file that a study lies in; None for a database server. Raises ConfigError for a URL that is none, and for a
    file that can't be made or written."""
    if storage is None:
        return folder / JOURNAL
    need(isinstance(storage, str), f"hydra.sweeper.storage={storage}: expected a URL, such as {EXAMPLES}")
    with storage_errors_told(storage):
        url = make_url(with_driver(storage))
        url.get_dialect().import_dbapi()
    if is_postgres(storage) and (url.password or "password" in url.query):
        raise ConfigError(
            f"hydra.sweeper.storage={_without_password(storage)}: a password in it would be seen in the list of"
            " processes and in files of the sweep; leave it out, and give it as PGPASSWORD or in ~/.pgpass"
        )
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
