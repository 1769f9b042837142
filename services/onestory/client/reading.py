"""Items out of files, one at a time: nothing is unpacked to disk, and no more than one item is held."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from onestory.client.sources import Kind, kind_of
from onestory.client.submission import MAX_BYTES

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
class Item:
    """One resource as it was written. Of an item over `MAX_BYTES` only one byte more than that is kept."""

    origin: Origin
    content: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file or member that gave no more items, and why."""

    origin: Origin
    reason: str


def read_files(paths: Sequence[Path], metered: Callable[[int], None] = lambda _: None) -> Iterator[Item | Unreadable]:
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


def _items(stream: _Stream, name: str, origin: Origin) -> Iterator[Item | Unreadable]:
    kind = kind_of(name)
    if kind is Kind.ARCHIVE:
        yield from _members(stream, origin)
    elif name.lower().endswith(".gz"):
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield from _items(unpacked, name[: -len(".gz")], origin)
    elif kind is Kind.LINES:
        yield from _lines(stream, origin)
    else:
        yield Item(origin, stream.read(MAX_BYTES + 1).removeprefix(codecs.BOM_UTF8))


def _members(stream: _Stream, origin: Origin) -> Iterator[Item | Unreadable]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        while member := archive.next():
            # Otherwise tarfile keeps the headers of all members that it has passed.
            archive.members.clear()  # type: ignore[attr-defined]
            name = member.name.rpartition("/")[2]
            if member.isfile() and not name.startswith(".") and kind_of(name) in (Kind.ONE, Kind.LINES):
                content = archive.extractfile(member)
                assert content is not None
                yield from _items(content, name, replace(origin, member=member.name))


def _lines(stream: _Stream, origin: Origin) -> Iterator[Item]:
    number = 0
    while line := stream.readline(MAX_BYTES + 1):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_BYTES)):
            pass
        content = line.removeprefix(codecs.BOM_UTF8).strip() if len(line) <= MAX_BYTES else line
        if content:
            yield Item(replace(origin, line=number), content)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"It cannot be read: {error.strerror}."
    return "It is damaged, cut short, or not what its name says."
