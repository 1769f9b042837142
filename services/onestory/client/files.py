"""Items out of files, one at a time: nothing is unpacked to disk, and no more than one item is held."""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import IO

from onestory.client.submission import MAX_BYTES
from onestory.shared.errors import Malformed, NotFound

# The files that a publisher names: paths, folders (all below them) and patterns, in path order.


class FileKind(Enum):
    """How a file holds its items."""

    ONE = "one resource"
    LINES = "one resource a line"
    ARCHIVE = "many files"


_SUFFIXES = {
    ".json": FileKind.ONE,
    ".ndjson": FileKind.LINES,
    ".tar": FileKind.ARCHIVE,
    ".tar.gz": FileKind.ARCHIVE,
    ".tgz": FileKind.ARCHIVE,
    ".tar.xz": FileKind.ARCHIVE,
    ".txz": FileKind.ARCHIVE,
    ".json.gz": FileKind.ONE,
    ".ndjson.gz": FileKind.LINES,
}


def kind_of(name: str) -> FileKind | None:
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


_Stream = IO[bytes] | gzip.GzipFile
_DAMAGED = (EOFError, OSError, lzma.LZMAError, tarfile.TarError, zlib.error)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item stands: the file as it was named, the archive's member, the line (from 1; 0: the whole of it)."""

    file: str
    member: str = ""
    line: int = 0

    @property
    def item(self) -> str:
        """What is meant within the file; empty when it is the file itself."""
        return " ".join(part for part in (self.member, f"line {self.line}" if self.line else "") if part)


@dataclass(frozen=True, slots=True)
class FileItem:
    """One resource as it was written. Of an item over `MAX_BYTES` only one byte more than that is kept."""

    origin: Origin
    content: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file or member that gave no more items, and why."""

    origin: Origin
    reason: str


def read_files(
    paths: Sequence[Path], metered: Callable[[int], None] = lambda _: None
) -> Iterator[FileItem | Unreadable]:
    """Every item of `paths`, in order. `metered` hears how many bytes were read from disk.

    A damaged file ends in an `Unreadable`, and the next file follows. The members of an archive come in the archive's
    own order; those that are not JSON are passed over.
    """
    for path in paths:
        origin = Origin(str(path))
        try:
            with path.open("rb", buffering=0) as raw, io.BufferedReader(_Metered(raw, metered), 1 << 18) as stream:
                yield from _items(stream, path.name, origin)
        except _DAMAGED as error:
            yield Unreadable(origin, _reason(error))


class _Metered(io.RawIOBase):
    """A file that says how far it was read."""

    def __init__(self, raw: io.FileIO, metered: Callable[[int], None]) -> None:
        self._raw = raw
        self._metered = metered

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._raw.readinto(buffer) or 0
        self._metered(count)
        return count


def _items(stream: _Stream, name: str, origin: Origin) -> Iterator[FileItem | Unreadable]:
    kind = kind_of(name)
    if kind is FileKind.ARCHIVE:
        yield from _members(stream, origin)
    elif name.lower().endswith(".gz"):
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield from _items(unpacked, name[: -len(".gz")], origin)
    elif kind is FileKind.LINES:
        yield from _lines(stream, origin)
    else:
        yield FileItem(origin, stream.read(MAX_BYTES + 1).removeprefix(codecs.BOM_UTF8))


def _members(stream: _Stream, origin: Origin) -> Iterator[FileItem | Unreadable]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        while member := archive.next():
            # Otherwise tarfile keeps the headers of all members that it has passed.
            archive.members.clear()  # type: ignore[attr-defined]
            name = member.name.rpartition("/")[2]
            if member.isfile() and not name.startswith(".") and kind_of(name) in (FileKind.ONE, FileKind.LINES):
                content = archive.extractfile(member)
                assert content is not None
                yield from _items(content, name, replace(origin, member=member.name))


def _lines(stream: _Stream, origin: Origin) -> Iterator[FileItem]:
    number = 0
    while line := stream.readline(MAX_BYTES + 1):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_BYTES)):
            pass
        content = line.removeprefix(codecs.BOM_UTF8).strip() if len(line) <= MAX_BYTES else line
        if content:
            yield FileItem(replace(origin, line=number), content)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"It cannot be read: {error.strerror}."
    return "It is damaged, cut short, or not what its name says."
