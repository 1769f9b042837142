"""The development issuer: the claims of its tokens, and the cases in which it refuses to start."""

from __future__ import annotations

import argparse
from pathlib import Path

import jwt
import pytest

from onestory.local import issuer
from onestory.local.issuer import Issuer
from onestory.shared.errors import Misconfigured

NOW = 2_000_000_000


@pytest.fixture
def signer(tmp_path: Path) -> Issuer:
    return Issuer("http://issuer", "onestory", issuer.load_key(tmp_path / "issuer-key.pem"))


def _claims(signer: Issuer, token: str) -> dict[str, object]:
    key = jwt.PyJWK(signer.jwks()["keys"][0])
    claims: dict[str, object] = jwt.decode(
        token, key, algorithms=["ES256"], audience="onestory", issuer="http://issuer", options={"verify_iat": False}
    )
    return claims


def test_outside_the_embedded_stack_it_refuses_to_start_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONESTORY_LOCAL_STACK", raising=False)

    with pytest.raises(Misconfigured, match="only in the embedded stack") as raised:
        issuer.run(argparse.Namespace())

    assert "\n" not in str(raised.value)


def test_a_token_claims_what_was_asked_for_and_verifies_against_the_published_key(signer: Issuer) -> None:
    wanted = {"org": "A81001", "role": "R8000", "network": "north", "lifetime": "60"}

    claims = _claims(signer, signer.token(wanted, NOW))

    assert claims["org"] == "A81001"
    assert claims["role"] == "R8000"
    assert claims["network"] == "north"
    assert claims["purpose"] == "TREAT"
    assert claims["exp"] == NOW + 60
    assert "system" not in claims


@pytest.mark.parametrize("lifetime", ["-1", "x", "99999999"])
def test_a_lifetime_that_makes_no_sense_is_refused(signer: Issuer, lifetime: str) -> None:
    with pytest.raises(ValueError, match=r"lifetime|invalid literal"):
        signer.token({"org": "A81001", "lifetime": lifetime}, NOW)


def test_the_key_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first = issuer.load_key(tmp_path / "issuer-key.pem")

    again = issuer.load_key(tmp_path / "issuer-key.pem")

    assert first.private_numbers() == again.private_numbers()


def test_the_published_key_holds_nothing_private(signer: Issuer) -> None:
    assert "d" not in signer.jwks()["keys"][0]
