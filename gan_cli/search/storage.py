"""Where Optuna keeps a study: a file in the search's folder, or a database."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, DiskFull, PackageMissing, two_lines
from gan_cli.store.disk import is_full

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

SQLITE, JOURNAL = "sqlite", "journal"
FILES = {SQLITE: "study.db", JOURNAL: "study.journal"}
LOCK = ".asking.lock"  # held while a trial is asked for, or one left behind is found
REMEDY = "storage=sqlite or storage=journal keeps it in a file of the search's folder"
# What to install for a driver that is imported by another name.
DRIVERS = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
FULL = "database or disk is full"  # SQLite's words
PATIENCE = 60  # seconds to wait for another process that writes


def load() -> None:
    """Imports Optuna, and keeps it quiet: what it has to say, `gan search` says. Raises PackageMissing."""
    try:
        import optuna
    except ImportError as error:
        what = f"gan search asks Optuna what to try, which cannot be imported ({error})"
        raise PackageMissing(two_lines(what, "pip install 'gan-cli[search]'")) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna's remarks on its own interface are not the user's concern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check(storage: str) -> None:
    """Raises ConfigError for what names no storage, and for a password, which would be written into files."""
    if storage in FILES:
        return
    if "://" not in storage:
        remedy = did_you_mean(storage, FILES) or "choices: sqlite, journal, or a database: postgresql://user@host/name"
        raise ConfigError(two_lines(f"storage={storage} names no storage", remedy))
    with faults(storage):
        from sqlalchemy.engine import make_url

        url = make_url(storage)
    if url.get_backend_name() == SQLITE and url.database in (None, "", ":memory:"):
        raise ConfigError(two_lines(f"storage={storage} is kept in memory, and gone with the process", REMEDY))
    if url.password is not None:
        what = "storage= holds a password, which the files of the search would show"
        raise ConfigError(two_lines(what, "leave it out: ~/.pgpass, or the file of options of your database, keeps it"))


def own(storage: str) -> bool:
    """Whether it is a file in the search's folder."""
    return storage in FILES


def opened(storage: str, folder: Path) -> BaseStorage:
    """The storage, made where there is none. Raises ConfigError where that cannot be."""
    from optuna.storages import JournalStorage, RDBStorage

    from gan_cli.search.journal import Journal

    with faults(storage), quiet():
        if storage == JOURNAL:
            return JournalStorage(Journal(str(folder / FILES[JOURNAL])))
        if storage != SQLITE:
            return RDBStorage(storage.replace("{", "{{").replace("}", "}}"))
        from sqlalchemy.engine import URL

        url = URL.create("sqlite", database=str((folder / FILES[SQLITE]).absolute())).render_as_string()
        waiting = {"connect_args": {"timeout": PATIENCE}}
        return RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=waiting)


@contextmanager
def faults(storage: str) -> Iterator[None]:
    """Turns what goes wrong with a storage into ConfigError, a driver that is missing into PackageMissing, and a disk
    that is full into DiskFull."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError, ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, ConfigError):
            raise
        driver = getattr(error.__cause__, "name", None)
        if isinstance(error, ImportError) and driver is not None:
            what = f"storage={storage} wants its database's driver, {driver}, which is not installed"
            raise PackageMissing(two_lines(what, f"pip install {DRIVERS.get(driver, driver)}")) from error
        cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
        if is_full(error) or FULL in str(cause):
            what = f"storage={storage} cannot be written: no space left on device"
            raise DiskFull(two_lines(what, "make room")) from error
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise ConfigError(two_lines(f"storage={storage} cannot be opened: {reason}", REMEDY)) from error
