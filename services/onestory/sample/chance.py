"""Chance that can be repeated: the same words give the same stream on every machine, day and Python version."""

from __future__ import annotations

import hashlib
import random
import uuid


def stream(*words: int | str) -> random.Random:
    """A random stream of its own for these words. Adding a stream somewhere changes no other stream."""
    return random.Random(int.from_bytes(fingerprint(*words)))  # noqa: S311 (people are invented here, not secrets)


def fingerprint(*words: int | str) -> bytes:
    """16 bytes that stand for these words; not `hash()`, which differs from process to process."""
    return hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=16).digest()


def uuid_of(*words: int | str) -> str:
    """A UUID (version 4 by its form) that stands for these words."""
    return str(uuid.UUID(bytes=fingerprint(*words), version=4))
