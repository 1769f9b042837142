"""Settings: the environment, read once, into one frozen object. Every name has the prefix ONESTORY_."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from onestory.shared.durations import duration
from onestory.shared.errors import Misconfigured

PREFIX = "ONESTORY_"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a deployment decides. `docs/settings.md` explains each; tests hold the two together."""

    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, `host:port[,host:port]`."""
    postgres: str = "postgresql://postgres@127.0.0.1:5432/onestory"
    """A libpq connection string."""
    key_secret: str = ""
    """Secret behind person keys and shared ids, at least 32 characters. Fixed for the life of a deployment."""
    host: str = "127.0.0.1"
    """Address that `serve` and the health endpoints of other processes listen on."""
    port: int = 8080
    """Port of `serve`."""
    health_port: int = 8081
    """Port of live, ready and metrics for processes that serve nothing else. 0 turns it off."""
    base_url: str = "http://127.0.0.1:8080"
    """Where callers reach `serve`; it begins every Location and fullUrl."""
    oidc_issuer: str = ""
    """The `iss` that a token must carry."""
    oidc_audience: str = "onestory"
    """The `aud` that a token must carry."""
    oidc_jwks_url: str = ""
    """Where the issuer's public keys are."""
    schema_registry_url: str = ""
    """A Confluent-compatible schema registry; empty: ids come from `schemas/avro/ids.json`."""
    topic_prefix: str = ""
    """Stands before the names of topics and consumer groups, for environments that share a Kafka. Fixed for life."""
    instance: str = ""
    """Name of this process in its consumer group, its own and the same after each restart. Empty: it has none."""
    consumer_session_s: float = 10.0
    """Seconds of silence after which a consumer group gives a process's partitions to others."""
    replication_factor: int = 1
    """Replicas of each topic that `topics apply` creates."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """Which network each practice belongs to, JSON: `{"A81001": "north", ...}`."""
    demographic_authorities: tuple[str, ...] = ()
    """ODS codes that may supersede an NHS number and say where a person is registered, comma separated."""
    sequenced_sources: tuple[str, ...] = ()
    """Sources that declare that they always send a sequence, `ODS/system`, comma separated."""
    source_rhythms: Mapping[str, timedelta] = field(default_factory=dict)
    """The longest silence expected of a source, JSON: `{"A81001": "P1D", "RX1/ward": "PT1H"}` (ISO 8601)."""
    referral_clocks: str = ""
    """How long referrals wait where it differs from `schemas/referral/clocks.yaml`, JSON of the same shape."""
    referral_escalation: str = ""
    """Who is told of what is overdue at a team that names no escalation contact: `ODS`, or `ODS/team`."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "json"
    """json, or console for people."""
    max_body_bytes: int = 10_000_000
    """Largest request body, after decompression."""
    worklist_listeners: int = 500
    """How many worklists may be followed at once in one process of `serve`."""
    publish_timeout_s: float = 4.0
    """Seconds that a publish waits for Kafka before it answers 503."""
    message_limit_s: float = 4.0
    """Seconds that a BaRS message may take before it is given up and answered 408."""
    parking_limit_per_hour: int = 1000
    """Parked messages of one publisher in an hour, past which an alarm is raised (docs/decisions/0003)."""
    local_stack: bool = False
    """True only in the embedded stack; the development issuer refuses to start without it."""


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises `Misconfigured` with the variable's name and what it should hold."""
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for name, kind in Settings.__annotations__.items():
        raw = environment.get(PREFIX + name.upper())
        if raw is not None:
            values[name] = _parse(PREFIX + name.upper(), raw, kind)
    settings = Settings(**values)  # type: ignore[arg-type]
    if settings.key_secret and len(settings.key_secret) < 32:
        raise Misconfigured(f"{PREFIX}KEY_SECRET has {len(settings.key_secret)} characters; give at least 32.")
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", settings.topic_prefix):
        raise Misconfigured(f"{PREFIX}TOPIC_PREFIX takes letters, digits, '.', '_' and '-', at most 100 of them.")
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,249}", settings.instance) or settings.instance in (".", ".."):
        raise Misconfigured(f"{PREFIX}INSTANCE takes letters, digits, '.', '_' and '-', at most 249 of them.")
    return settings


def require(settings: Settings, *names: str) -> None:
    """Raise `Misconfigured` for a setting that this process needs and nobody gave."""
    for name in names:
        if not getattr(settings, name):
            raise Misconfigured(f"{PREFIX}{name.upper()} is not set; docs/settings.md says what it is for.")


def _parse(variable: str, raw: str, kind: str) -> object:
    try:
        match kind:
            case "int":
                return int(raw)
            case "float":
                return float(raw)
            case "bool":
                return {"1": True, "true": True, "0": False, "false": False}[raw.lower()]
            case "tuple[str, ...]":
                return tuple(part.strip() for part in raw.split(",") if part.strip())
            case "Mapping[str, str]":
                return _string_map(raw)
            case "Mapping[str, timedelta]":
                return {name: duration(text) for name, text in _string_map(raw).items()}
            case _:
                return raw
    except (ValueError, KeyError) as error:
        raise Misconfigured(f"{variable} cannot be read as {kind}.") from error


def _string_map(raw: str) -> dict[str, str]:
    table = json.loads(raw)
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError
    return table
