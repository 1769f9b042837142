"""The broker's jars have pins, and a jar that differs from its pin is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from onestory.local import kafka
from onestory.local.kafka import Pin
from onestory.shared.errors import Misconfigured


def _put(repository: Path, pin: Pin, content: bytes) -> Path:
    jar = repository / pin.path
    jar.parent.mkdir(parents=True)
    jar.write_bytes(content)
    return jar


def test_every_pin_has_coordinates_with_a_fixed_version_and_a_checksum() -> None:
    pins = kafka.read_pins()

    assert "org.apache.kafka:kafka_2.13" in {pin.coordinates.rpartition(":")[0] for pin in pins}
    for pin in pins:
        group, artifact, version = pin.coordinates.split(":")
        assert group
        assert artifact
        assert version[0].isdigit()
        assert "SNAPSHOT" not in version
        assert len(bytes.fromhex(pin.sha256)) == 32


def test_no_artifact_is_pinned_twice() -> None:
    names = [pin.coordinates.rpartition(":")[0] for pin in kafka.read_pins()]

    assert len(names) == len(set(names))


def test_a_jar_that_is_what_its_pin_says_is_used_from_the_cache(tmp_path: Path) -> None:
    pin = Pin("org.example:thing:1.0", hashlib.sha256(b"as published").hexdigest())
    jar = _put(tmp_path, pin, b"as published")

    assert kafka.resolve([pin], tmp_path) == [jar]


def test_a_jar_with_a_wrong_checksum_is_refused_in_one_sentence_and_deleted(tmp_path: Path) -> None:
    pin = Pin("org.example:thing:1.0", hashlib.sha256(b"as published").hexdigest())
    jar = _put(tmp_path, pin, b"tampered with")

    with pytest.raises(Misconfigured, match=r"org\.example:thing:1\.0 does not have the checksum") as raised:
        kafka.resolve([pin], tmp_path)

    assert "\n" not in str(raised.value)
    assert not jar.exists()
