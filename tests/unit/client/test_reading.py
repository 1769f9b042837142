"""Items are read from files, compressed files and archives, in order. Damaged files are named."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from onestory.client.files import FileItem, Origin, UnreadableFile, find_files, read_files
from onestory.client.submission import MAX_BYTES
from onestory.shared.errors import Malformed, NotFound


def _tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:xz") if path.suffix == ".xz" else tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _places(path: Path) -> list[tuple[str, int, bytes]]:
    items = list(read_files([path]))
    return [(item.origin.member, item.origin.line, item.content) for item in items if isinstance(item, FileItem)]


def test_a_json_file_is_one_item_without_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_bytes(b"\xef\xbb\xbf{}")

    assert list(read_files([path])) == [FileItem(Origin(str(path)), b"{}")]


def test_each_line_of_ndjson_is_an_item_and_empty_ones_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "many.ndjson"
    path.write_bytes(b'{"a":1}\r\n\n{"a":2}')

    assert _places(path) == [("", 1, b'{"a":1}'), ("", 3, b'{"a":2}')]


@pytest.mark.parametrize("name", ["x.json.gz", "x.ndjson.gz"])
def test_compressed_files_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"{}\n"))

    assert [content.strip() for _, _, content in _places(path)] == [b"{}"]


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.xz"])
def test_the_members_of_an_archive_are_read_in_its_own_order(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    members = {
        "f/b.json": b'{"b":1}',
        "f/readme.txt": b"no",
        "f/._b.json": b"no",
        "f/a.ndjson.gz": gzip.compress(b'{"a":1}\n{"a":2}\n'),
    }
    _tar(path, members)

    assert _places(path) == [
        ("f/b.json", 0, b'{"b":1}'),
        ("f/a.ndjson.gz", 1, b'{"a":1}'),
        ("f/a.ndjson.gz", 2, b'{"a":2}'),
    ]


def test_a_damaged_file_is_named_and_the_next_one_is_read(tmp_path: Path) -> None:
    cut, whole = tmp_path / "a.tar.xz", tmp_path / "b.json"
    _tar(cut, {f"{number}.json": bytes(range(256)) * number for number in range(1, 40)})
    cut.write_bytes(cut.read_bytes()[:-100])
    whole.write_bytes(b"{}")

    items = list(read_files([cut, whole]))

    assert [item.origin.file for item in items if isinstance(item, UnreadableFile)] == [str(cut)]
    assert items[-1] == FileItem(Origin(str(whole)), b"{}")


def test_of_an_oversize_line_no_more_is_kept_than_shows_that_it_is_and_the_next_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(b"x" * (2 * MAX_BYTES + 5) + b"\n{}\n")

    assert [(line, len(content)) for _, line, content in _places(path)] == [(1, MAX_BYTES + 1), (2, 2)]


def test_the_bytes_read_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b"{}" * 1000))
    read: list[int] = []

    list(read_files([path], read.append))

    assert sum(read) == path.stat().st_size


def test_files_come_in_path_order_each_once(tmp_path: Path) -> None:
    for name in ("b/2.json", "b/1.ndjson", "a.json.gz", "notes.txt", ".hidden/3.json", "c.tar.xz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = find_files([str(tmp_path / "b" / "*.json"), str(tmp_path)])

    assert [str(path.relative_to(tmp_path)) for path in found] == ["b/2.json", "a.json.gz", "b/1.ndjson", "c.tar.xz"]


def test_an_argument_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(NotFound):
        find_files([str(tmp_path / "missing.json")])
    with pytest.raises(NotFound):
        find_files([str(tmp_path)])
    with pytest.raises(Malformed):
        find_files([str(tmp_path / "notes.txt")])
