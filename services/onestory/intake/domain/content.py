"""A resource's bytes as they travel: its own, with the shared id in front and a tag that names the verified source.

They begin `{"resourceType":"T","id":"I","meta":{`; the projector puts versionId and lastUpdated right behind that.
"""

from __future__ import annotations

import msgspec

from onestory.intake.domain.item import Item
from onestory.intake.domain.tags import Meta, is_organisation_tag
from onestory.shared.identity import ODS_CODE_SYSTEM

_META = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IN_FRONT = ("resourceType", "id", "meta")
# The record gives each version its own; the publisher's lastUpdated lives on as recorded_at.
_REPLACED = ("versionId", "lastUpdated", "_versionId", "_lastUpdated")


def assemble(item: Item, meta: Meta, shared_id: str, organisation: str) -> bytes:
    """The content of an entry; its references are still the publisher's."""
    parts: list[bytes | msgspec.Raw] = [
        f'{{"resourceType":"{item.resource_type}","id":"{shared_id}","meta":{{'.encode(),
        _meta(item.members.get("meta"), meta, organisation),
        b"}",
    ]
    for name, raw in item.members.items():
        if name not in _IN_FRONT:
            parts += (b',"', name.encode(), b'":', raw)
    parts.append(b"}")
    return b"".join(parts)


def _meta(raw: msgspec.Raw | None, meta: Meta, organisation: str) -> bytes:
    own = b'{"system":"%b","code":"%b"}' % (ODS_CODE_SYSTEM.encode(), organisation.encode())
    if raw is None:
        return b'"tag":[%b]' % own
    members = {name: bytes(value) for name, value in _META.decode(raw).items() if name not in _REPLACED}
    if "tag" not in members:
        members["tag"] = b"[%b]" % own
    elif not any(is_organisation_tag(tag) for tag in meta.tag):
        members["tag"] = b"%b,%b]" % (members["tag"].rstrip()[:-1], own)
    return b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members.items())
