"""Decoders with the codes of FHIR are built by one thread at a time: msgspec shares half-built types between them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from onestory.shared.fhir import strict_decoder as module


def test_threads_that_need_decoders_at_the_same_time_build_them_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    building, most, build = [0], [0], msgspec.json.Decoder
    wanted = ["Condition", "Observation", "Patient", "Condition"] * 4

    def slow(kind: Any) -> Any:
        building[0] += 1
        most[0] = max(most[0], building[0])
        time.sleep(0.005)
        building[0] -= 1
        return build(kind)

    monkeypatch.setattr(msgspec.json, "Decoder", slow)
    monkeypatch.setattr(module, "_decoders", {})
    with ThreadPoolExecutor(8) as threads:
        decoders = list(threads.map(module.strict_decoder, wanted))

    assert most[0] == 1
    assert len({id(decoder) for decoder in decoders}) == 3
