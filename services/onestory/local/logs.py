"""`onestory logs`: prints the log files of the embedded stack's processes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from onestory.local import state
from onestory.shared.errors import NotFound

POLL_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One process or all; `-f` waits for more."""
    parser.add_argument("process", nargs="?", help="one process (default: all)")
    parser.add_argument("-f", "--follow", action="store_true", help="wait for more until interrupted")
    parser.add_argument("-n", "--lines", type=int, default=100, help="how many of the last lines to print first")


def run(arguments: argparse.Namespace) -> int:
    """Print the logs. With several, each line begins with the name of its process. Raises `NotFound`."""
    files = _files(state.find_home(), arguments.process)
    offsets = {file: _print_end(file, arguments.lines, _prefix(file, files)) for file in files}
    while arguments.follow:
        time.sleep(POLL_S)
        for file in files:
            offsets[file] = _print_new(file, offsets[file], _prefix(file, files))
    return 0


def _files(home: Path, name: str | None) -> list[Path]:
    files = sorted((home / "logs").glob("*.log"))
    chosen = [file for file in files if name in (None, file.stem)]
    if not chosen:
        known = ", ".join(file.stem for file in files) or "none yet; start with: onestory up"
        raise NotFound(f"process: there is no log of this name in {home}. Logs: {known}.")
    return chosen


def _prefix(file: Path, files: list[Path]) -> str:
    return f"{file.stem:9} " if len(files) > 1 else ""


def _print_end(file: Path, count: int, prefix: str) -> int:
    """Print the last `count` lines. Returns the offset of the end."""
    content = file.read_bytes()
    for line in content.decode(errors="replace").splitlines()[-count:] if count > 0 else []:
        print(prefix + line)
    return len(content)


def _print_new(file: Path, offset: int, prefix: str) -> int:
    """Print the whole lines after `offset`. Returns the offset after them."""
    with file.open("rb") as log:
        log.seek(offset)
        whole, newline, _ = log.read().rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        print(prefix + line, flush=True)
    return offset + len(whole + newline)
