"""Finds the files that the user names, and reads items from them one at a time.

Archives are not unpacked to disk, and no more than one item is in memory.
"""

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


class FileKind(Enum):
    """The kinds of files that can be read."""

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


def file_kind(name: str) -> FileKind | None:
    """Return the kind of the file with this name, or None when its suffix is not supported."""
    lowered = name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if lowered.endswith(suffix)), None)


def find_files(arguments: Sequence[str]) -> list[Path]:
    """Return the files that arguments name, each once. An argument is a file, a folder or a pattern.

    They are in the order of the arguments; those of a folder or pattern are in path order. Unsupported and hidden files
    in folders are skipped. Raises `NotFound` for an argument without a file. Raises `Malformed` for an argument that is
    a file with an unsupported suffix.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        before = len(found)
        for path in _files_of_argument(argument):
            found.setdefault(path.resolve(), path)
        if len(found) == before and not Path(argument).exists():
            raise NotFound(f"No file or folder matches: {argument}")
    if not found:
        raise NotFound(f"No file to publish was found. Supported are: {', '.join(_SUFFIXES)}")
    return list(found.values())


def _files_of_argument(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        yield from _files_in_folder(path)
    elif path.exists():
        if file_kind(path.name) is None:
            raise Malformed(f"{argument} has an unsupported suffix. Supported are: {', '.join(_SUFFIXES)}")
        yield path
    else:
        for match in sorted(glob.glob(argument, recursive=True)):
            yield from _files_in_folder(Path(match)) if Path(match).is_dir() else _if_supported(Path(match))


def _files_in_folder(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield from _if_supported(path)


def _if_supported(path: Path) -> Iterator[Path]:
    if file_kind(path.name) is not None:
        yield path


_Stream = IO[bytes] | gzip.GzipFile
_READ_ERRORS = (EOFError, OSError, lzma.LZMAError, tarfile.TarError, zlib.error)


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an item: the path of the file, the archive's member, and the line.

    Lines count from 1. 0 means that the item is the whole file or member.
    """

    file: str
    member: str = ""
    line: int = 0

    @property
    def item(self) -> str:
        """Return member and line as text, or an empty string for a whole file."""
        return " ".join(part for part in (self.member, f"line {self.line}" if self.line else "") if part)


@dataclass(frozen=True, slots=True)
class FileItem:
    """One resource as its file has it. Content larger than `MAX_BYTES` is cut one byte after that limit."""

    origin: Origin
    content: bytes


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file or member whose remaining items cannot be read, and the reason."""

    origin: Origin
    reason: str


def read_files(
    paths: Sequence[Path], on_read: Callable[[int], None] = lambda _: None
) -> Iterator[FileItem | UnreadableFile]:
    """Yield every item of the files, in order. `on_read` gets the number of bytes after each read from disk.

    A damaged file ends with an `UnreadableFile`, then the next file follows. The members of an archive come in the
    archive's own order; members that are not JSON are skipped.
    """
    for path in paths:
        origin = Origin(str(path))
        try:
            with (
                path.open("rb", buffering=0) as raw,
                io.BufferedReader(_CountingReader(raw, on_read), 1 << 18) as stream,
            ):
                yield from _items(stream, path.name, origin)
        except _READ_ERRORS as error:
            yield UnreadableFile(origin, _reason(error))


class _CountingReader(io.RawIOBase):
    """A file that reports the bytes of each read."""

    def __init__(self, raw: io.FileIO, on_read: Callable[[int], None]) -> None:
        self._raw = raw
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._raw.readinto(buffer) or 0
        self._on_read(count)
        return count


def _items(stream: _Stream, name: str, origin: Origin) -> Iterator[FileItem | UnreadableFile]:
    kind = file_kind(name)
    if kind is FileKind.ARCHIVE:
        yield from _members(stream, origin)
    elif name.lower().endswith(".gz"):
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield from _items(unpacked, name[: -len(".gz")], origin)
    elif kind is FileKind.LINES:
        yield from _lines(stream, origin)
    else:
        yield FileItem(origin, stream.read(MAX_BYTES + 1).removeprefix(codecs.BOM_UTF8))


def _members(stream: _Stream, origin: Origin) -> Iterator[FileItem | UnreadableFile]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        while member := archive.next():
            # tarfile would keep the headers of all earlier members in memory.
            archive.members.clear()  # type: ignore[attr-defined]
            name = member.name.rpartition("/")[2]
            if member.isfile() and not name.startswith(".") and file_kind(name) in (FileKind.ONE, FileKind.LINES):
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
        return f"The file cannot be read: {error.strerror}."
    return "The file is damaged or incomplete, or its content does not match its suffix."
