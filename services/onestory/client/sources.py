"""The files that a publisher names: paths, folders (all below them) and patterns, in path order."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

from onestory.shared.errors import Malformed, NotFound


class Kind(Enum):
    """How a file holds its items."""

    ONE = "one resource"
    LINES = "one resource a line"
    ARCHIVE = "many files"


_SUFFIXES = {
    ".json": Kind.ONE,
    ".ndjson": Kind.LINES,
    ".tar": Kind.ARCHIVE,
    ".tar.gz": Kind.ARCHIVE,
    ".tgz": Kind.ARCHIVE,
    ".tar.xz": Kind.ARCHIVE,
    ".txz": Kind.ARCHIVE,
    ".json.gz": Kind.ONE,
    ".ndjson.gz": Kind.LINES,
}


def kind_of(name: str) -> Kind | None:
    """How the file of this name holds its items; None for a name that we do not read."""
    lowered = name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if lowered.endswith(suffix)), None)


def find(arguments: Sequence[str]) -> list[Path]:
    """The files behind `arguments`, each once: in the order given, a folder's or pattern's in path order.

    In folders, other kinds of files and hidden ones are passed over. Raises `NotFound` for an argument that leads to
    no file, `Malformed` for a file named outright whose suffix we do not read.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        before = len(found)
        for path in _behind(argument):
            found.setdefault(path.resolve(), path)
        if len(found) == before and not Path(argument).exists():
            raise NotFound(f"There is no file, folder or pattern of files: {argument}")
    if not found:
        raise NotFound(f"There is nothing to publish: no {', '.join(_SUFFIXES)} file was found.")
    return list(found.values())


def _behind(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        yield from _below(path)
    elif path.exists():
        if kind_of(path.name) is None:
            raise Malformed(f"{argument} is none of the files that can be published: {', '.join(_SUFFIXES)}")
        yield path
    else:
        for match in sorted(glob.glob(argument, recursive=True)):
            yield from _below(Path(match)) if Path(match).is_dir() else _readable(Path(match))


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield from _readable(path)


def _readable(path: Path) -> Iterator[Path]:
    if kind_of(path.name) is not None:
        yield path
