"""A directory resource that cannot be read is unusable, and does not stop the projector."""

from __future__ import annotations

import pytest

from onestory.referral.directory.model import CurrentDirectoryStatement
from onestory.referral.directory.rows import to_row
from onestory.shared.errors import Unprocessable


@pytest.mark.parametrize(
    "extension",
    [b'[{"url":"http://x","valueDecimal":1e999}]', b"[" * 1_100 + b"]" * 1_100, b'{"a":' * 600 + b"1" + b"}" * 600],
)
def test_a_resource_with_an_odd_value_is_unusable(extension: bytes) -> None:
    content = b'{"resourceType":"Organization","id":"a","name":"Harbour","extension":%b}' % extension

    with pytest.raises(Unprocessable):
        to_row(CurrentDirectoryStatement("a", "Organization", "A81001", content, True))
