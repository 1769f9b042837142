"""Settings come from environment variables, are read once, and report wrong values."""

from __future__ import annotations

import pytest

from onestory.__main__ import main
from onestory.admin import migrate
from onestory.shared.errors import Misconfigured
from onestory.shared.settings import PREFIX, Settings, read, require


def test_every_setting_is_read_in_its_own_type() -> None:
    settings = read(
        {
            "ONESTORY_PORT": "9000",
            "ONESTORY_PUBLISH_TIMEOUT_S": "2.5",
            "ONESTORY_LOCAL_STACK": "true",
            "ONESTORY_DEMOGRAPHIC_AUTHORITIES": "X26, Y99",
            "ONESTORY_NETWORKS": '{"A81001": "north"}',
        }
    )

    assert (settings.port, settings.publish_timeout_s, settings.local_stack) == (9000, 2.5, True)
    assert settings.demographic_authorities == ("X26", "Y99")
    assert settings.networks == {"A81001": "north"}


def test_ods_codes_are_read_in_upper_case() -> None:
    settings = read(
        {
            "ONESTORY_DEMOGRAPHIC_AUTHORITIES": "x26,rz3",
            "ONESTORY_NETWORKS": '{"a81001": "North"}',
            "ONESTORY_SEQUENCED_SOURCES": "a81001/Emis",
            "ONESTORY_REPLACED_SYSTEMS": '{"a81001/New": "Old"}',
            "ONESTORY_SOURCE_RHYTHMS": '{"a81001": "P1D", "rx1/Ward": "PT1H"}',
            "ONESTORY_REFERRAL_ESCALATION": "rx1/Team",
        }
    )

    assert settings.demographic_authorities == ("X26", "RZ3")
    assert settings.networks == {"A81001": "North"}
    assert settings.sequenced_sources == ("A81001/Emis",)
    assert settings.replaced_systems == {"A81001/New": "Old"}
    assert list(settings.source_rhythms) == ["A81001", "RX1/Ward"]
    assert settings.referral_escalation == "RX1/Team"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEMOGRAPHIC_AUTHORITIES", "X26;RZ3"),
        ("NETWORKS", '{"https://fhir.nhs.uk/Id/ods-organization-code|A81001": "north"}'),
        ("NETWORKS", '{"A81001": "north", "a81001": "south"}'),
        ("SEQUENCED_SOURCES", "/emis"),
        ("REPLACED_SYSTEMS", '{"A 81001/new": "old"}'),
        ("SOURCE_RHYTHMS", '{"": "P1D"}'),
        ("REFERRAL_ESCALATION", "duty desk"),
    ],
)
def test_a_code_that_is_no_ods_code_is_refused(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{PREFIX}{name}.*ODS code"):
        read({PREFIX + name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("LOCAL_STACK", "perhaps"), ("NETWORKS", "[1]"), ("NETWORKS", "{"), ("PUBLISH_TIMEOUT_S", "")],
)
def test_a_value_that_cannot_be_read_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{PREFIX}{name}"):
        read({PREFIX + name: value})


def test_a_short_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(Misconfigured, match="at least 32") as caught:
        read({"ONESTORY_KEY_SECRET": "hunter2"})  # pragma: allowlist secret

    assert "hunter2" not in str(caught.value)


def test_a_setting_that_a_process_needs_is_asked_for_by_name() -> None:
    with pytest.raises(Misconfigured, match="ONESTORY_OIDC_ISSUER"):
        require(Settings(), "oidc_issuer")


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://user:geh%zzeim@host/db",  # pragma: allowlist secret
        "postgresql://user:geheim@ho st/db",  # pragma: allowlist secret
        "user=x password=geheim dbname",
        "postgresql://user:geheim@host:5432/db?unknown=1",  # pragma: allowlist secret
    ],
)
@pytest.mark.parametrize("command", [["migrate"], ["parked"], ["project", "record"]])
def test_a_malformed_connection_string_is_one_sentence_without_the_password(
    dsn: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONESTORY_POSTGRES", dsn)

    assert main(command) == 1

    printed = "".join(capsys.readouterr())
    assert "ONESTORY_POSTGRES" in printed
    assert printed.count("\n") == 1
    assert "geh" not in printed


def test_a_traceback_shows_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    key_secret, dsn = "k" * 40, "postgresql://user:geheim@host/db"  # pragma: allowlist secret
    monkeypatch.setenv("ONESTORY_POSTGRES", dsn)
    monkeypatch.setenv("ONESTORY_KEY_SECRET", key_secret)

    def run(_arguments: object) -> int:
        raise ValueError(f"cannot read {dsn}, nor geheim, nor {key_secret}")

    monkeypatch.setattr(migrate, "run", run)

    assert main(["migrate"]) == 1

    printed = capsys.readouterr().err
    assert "ValueError: cannot read ***, nor ***, nor ***" in printed
    assert "geheim" not in printed
    assert key_secret not in printed


def test_settings_show_no_secret() -> None:
    shown = repr(Settings(postgres="postgresql://user:geheim@host/db", key_secret="k" * 40))

    assert "geheim" not in shown
    assert "kkk" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://app.example/path"),
        ("CORS_ORIGINS", "https://a.example, app.example"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_HEAD_BYTES", "-1"),
        ("WRITE_TIMEOUT_S", "0"),
        ("HEAD_TIMEOUT_S", "nan"),
    ],
)
def test_a_limit_of_http_that_cannot_be_kept_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{PREFIX}{name}"):
        read({PREFIX + name: value})


def test_origins_are_read_as_browsers_send_them() -> None:
    settings = read({"ONESTORY_CORS_ORIGINS": "https://app.example, http://localhost:3000,http://[::1]:8000"})

    assert settings.cors_origins == ("https://app.example", "http://localhost:3000", "http://[::1]:8000")
