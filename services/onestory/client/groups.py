"""Finds the files of one person that refer to one another, so that they are published together.

A reference such as `Patient/p1` leads to the person only if the Patient is known. Where each resource is a file of its
own, the files of a Patient, and the files that refer to it directly or through each other, become one transaction. A
file about nobody, such as an Organization, is published alone: it belongs in the directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from onestory.client.files import FileItem, FileKind, UnreadableFile, file_kind, read_files
from onestory.client.submission import MAX_BYTES, has_claims, source_tags
from onestory.shared.fhir.definitions import directory_types, is_about_a_person, patient_compartment
from onestory.shared.fhir.json import values_at

MAX_FILES = 50_000
"""The most files in one group. Beyond it each file is published alone."""

_LITERAL = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?")
# Around the resources of a transaction.
_ENVELOPE_BYTES = 200


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files of one person, to be published as one transaction: the Patient, if it is among them, is the first."""

    members: tuple[FileItem, ...]
    names: tuple[str, ...]
    """`Type/id` of each member."""

    def transaction(self) -> bytes:
        """Return the transaction. It has the bytes of each file."""
        entries = (
            b'{"resource":%b,"request":{"method":"PUT","url":"%b"}}' % (member.content.strip(), name.encode())
            for member, name in zip(self.members, self.names, strict=True)
        )
        return b'{"resourceType":"Bundle","type":"transaction","entry":[%b]}' % b",".join(entries)


@dataclass(frozen=True, slots=True)
class GroupedFiles:
    """The files of each group in order, and all other files."""

    groups: Sequence[Sequence[_File]]
    others: Sequence[Path]


@dataclass(frozen=True, slots=True)
class _File:
    """One resource in a file: its name (`Type/id`), its source, the names that it refers to, and its person."""

    path: Path
    name: str
    source: tuple[str, str]
    size: int
    references: frozenset[str]
    owner: str | None
    """The name of the Patient whom the resource is about; empty for somebody who is no file, None for nobody."""

    @property
    def resource_type(self) -> str:
        return self.name.partition("/")[0]


class _FileHead(msgspec.Struct, rename="camel"):
    resource_type: str = ""
    id: str = ""


def group_files(paths: Sequence[Path]) -> GroupedFiles:
    """Return which of the files belong together. It reads each JSON file that may hold one resource."""
    single = [path for path in paths if file_kind(path.name) is FileKind.ONE]
    if not 1 < len(single) <= MAX_FILES:
        return GroupedFiles((), paths)
    files: dict[str, _File] = {}
    for read in map(_read, single):
        if read:
            # The second of two files with one resource is published alone, after the group.
            files.setdefault(read.name, read)
    by_patient = sorted(_members_by_patient(files).values(), key=lambda members: members[0].path)
    groups = [part for members in by_patient for part in _parts(members)]
    grouped = {member.path for members in groups for member in members}
    return GroupedFiles(groups, [path for path in paths if path not in grouped])


def read_groups(grouped: GroupedFiles, *args: Any) -> Iterator[FileGroup | FileItem | UnreadableFile]:
    """Yield the groups, and then every other item of the files. The further arguments are those of `read_files`."""
    for members in grouped.groups:
        items = list(read_files([member.path for member in members], *args))
        whole = [item for item in items if isinstance(item, FileItem)]
        if len(whole) == len(items):
            yield FileGroup(tuple(whole), tuple(member.name for member in members))
        else:
            yield from items
    yield from read_files(grouped.others, *args)


def _read(path: Path) -> _File | None:
    """Return what a file says of itself and of others; None unless it holds one resource with an id."""
    item = next(iter(read_files([path])), None)
    if not isinstance(item, FileItem) or len(item.content) > MAX_BYTES:
        return None
    try:
        outline = msgspec.json.decode(item.content, type=_FileHead)
        # A Bundle is large, and is published as it is.
        resource = msgspec.json.decode(item.content) if outline.resource_type != "Bundle" else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    kind, own = outline.resource_type, outline.id
    if kind == "Bundle" or not _LITERAL.fullmatch(f"{kind}/{own}") or has_claims(resource.get("meta")):
        return None
    return _File(
        path=path,
        name=f"{kind}/{own}",
        source=source_tags(resource.get("meta")),
        size=len(item.content),
        references=frozenset(_references(resource)),
        owner=_owner(kind, f"{kind}/{own}", resource),
    )


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        match = _LITERAL.fullmatch(literal) if isinstance(literal := value.get("reference"), str) else None
        if match:
            yield match[1]
        for member in value.values():
            if isinstance(member, dict | list):
                yield from _references(member)


def _owner(kind: str, name: str, resource: Mapping[str, Any]) -> str | None:
    """Return the Patient that the first element of the Patient compartment names, as intake decides it."""
    if kind == "Patient":
        return name
    for steps in patient_compartment().get(kind, ()):
        for reference in values_at(resource, *steps):
            if isinstance(reference, dict) and ("reference" in reference or "identifier" in reference):
                match = _LITERAL.fullmatch(str(reference.get("reference", "")))
                if match and match[1].startswith("Patient/"):
                    return match[1]
                if "identifier" in reference and is_about_a_person(kind) and "reference" not in reference:
                    return ""
    return None


def _members_by_patient(files: Mapping[str, _File]) -> dict[str, list[_File]]:
    """Return the files of each Patient that is a file, the Patient first, for Patients with other files."""
    persons: dict[str, set[str]] = {name: {file.owner} for name, file in files.items() if file.owner is not None}
    _follow_references(files, persons)
    members: dict[str, list[_File]] = {}
    for name, owners in persons.items():
        owner = next(iter(owners)) if len(owners) == 1 else ""
        patient = files.get(owner)
        if patient and files[name].source == patient.source:
            members.setdefault(owner, []).append(files[name])
    return {
        owner: sorted(listed, key=lambda file: (file.name != owner, file.path))
        for owner, listed in members.items()
        if len(listed) > 1
    }


def _follow_references(files: Mapping[str, _File], persons: dict[str, set[str]]) -> None:
    """Give a file that names no person the persons of the files that it refers to, or that refer to it."""
    neighbours = _neighbours(files)
    undecided = {name for name, file in files.items() if file.owner is None and neighbours.get(name)}
    pending = list(persons)
    while pending:
        name = pending.pop()
        for other in neighbours.get(name, ()):
            if other in undecided and not persons[name] <= persons.setdefault(other, set()):
                persons[other] |= persons[name]
                pending.append(other)


def _neighbours(files: Mapping[str, _File]) -> dict[str, set[str]]:
    """Return the references between files that may carry a person from one to the other, in both directions.

    A directory resource serves many persons, so it belongs to a person only if it refers to the Patient itself.
    """
    found: dict[str, set[str]] = {}
    for name, file in files.items():
        for target in file.references & files.keys():
            directory = {file.resource_type, files[target].resource_type} & directory_types()
            if target != name and (not directory or files[target].resource_type == "Patient"):
                found.setdefault(name, set()).add(target)
                found.setdefault(target, set()).add(name)
    return found


def _parts(members: Sequence[_File]) -> Iterable[Sequence[_File]]:
    """Yield the members in parts that fit into one request. The Patient is in the first part."""
    part: list[_File] = []
    size = 0
    for member in members:
        if part and size + member.size + _ENVELOPE_BYTES > MAX_BYTES - _ENVELOPE_BYTES:
            yield part
            part, size = [], 0
        part.append(member)
        size += member.size + _ENVELOPE_BYTES
    yield part
