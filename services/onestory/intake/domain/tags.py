"""What `meta` says of the source: claims that the token must bear out, and what a publisher may say in tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from onestory.intake.domain.submission import Said
from onestory.shared.errors import Forbidden
from onestory.shared.identity import is_ods_code_system

SYSTEM_TAG = "https://onestory.nhs.uk/CodeSystem/source-system"
SEQUENCE_TAG = "https://onestory.nhs.uk/CodeSystem/sequence"
COMPLETE_TYPE_TAG = "https://onestory.nhs.uk/CodeSystem/complete-type"

_OUR_SOURCE = re.compile(r"(?:https://onestory\.nhs\.uk)?/organisations/(?P<organisation>[^/]+)(?:/.*)?")


class Tag(msgspec.Struct, frozen=True):
    """A Coding in meta.tag."""

    system: str | None = None
    code: str | None = None


class Meta(msgspec.Struct, rename="camel", frozen=True):
    """What of a resource's meta decides anything here."""

    last_updated: str | None = None
    source: str | None = None
    tag: tuple[Tag, ...] = ()


_META = msgspec.json.Decoder(Meta)
NOTHING = Meta()


def read_meta(raw: msgspec.Raw | None) -> Meta:
    """The meta of a resource that the validator has accepted."""
    return _META.decode(raw) if raw is not None else NOTHING


def is_organisation_tag(tag: Tag) -> bool:
    """Whether a tag names the organisation that says this."""
    return is_ods_code_system(tag.system)


def refuse_other_source(meta: Meta, organisation: str, path: str) -> None:
    """Raise `Forbidden` where the body claims to come from another organisation than the token says."""
    for index, tag in enumerate(meta.tag):
        if is_organisation_tag(tag) and (tag.code or "").upper() != organisation:
            raise Forbidden("The token is of another organisation than this tag.", expression=f"{path}.tag[{index}]")
    ours = _OUR_SOURCE.fullmatch(meta.source or "")
    if ours and ours["organisation"].upper() != organisation:
        raise Forbidden("The token is of another organisation than this source.", expression=f"{path}.source")


def said_in(meta: Meta) -> Said:
    """What the tags say of the statement."""
    return Said(
        system=next(_codes(meta, SYSTEM_TAG), None),
        sequence=next(_codes(meta, SEQUENCE_TAG), None),
        complete_types=tuple(_codes(meta, COMPLETE_TYPE_TAG)) or None,
    )


def _codes(meta: Meta, system: str) -> Iterator[str]:
    return (tag.code for tag in meta.tag if tag.system == system and tag.code)
