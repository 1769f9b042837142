"""Reads the settings from environment variables, once, into one frozen object. Each name begins with ONESTORY_."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta

from onestory.shared.durations import parse_duration
from onestory.shared.errors import Misconfigured
from onestory.shared.http.settings import HttpSettings
from onestory.shared.ods_settings import with_upper_case_codes
from onestory.shared.setting_help import setting as _setting

PREFIX = "ONESTORY_"

_PASSWORD = re.compile(r"://[^:/@]*:(.*)@|\bpassword\s*=\s*('[^']*'|\S+)")

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Settings(HttpSettings):
    """The settings of a deployment."""

    kafka: str = _setting(
        "127.0.0.1:9092",
        "`host:port[,host:port]`",
        "The bootstrap servers of Kafka.",
        "Always beyond the embedded stack.",
    )
    postgres: str = _setting(
        "postgresql://postgres@127.0.0.1:5432/onestory",
        "libpq connection string",
        "The PostgreSQL database.",
        "Always beyond the embedded stack.",
        secret=True,
    )
    key_secret: str = _setting(
        "",
        "at least 32 characters",
        "The secret behind person keys and shared ids. Keep it as you keep the database's backup.",
        "Set it once. **It is fixed for the life of a deployment**: another secret is another set of people.",
        secret=True,
    )
    host: str = _setting(
        "127.0.0.1",
        "address",
        "The address on which `serve` and the health endpoints of other processes listen.",
        "When callers or probes come from another machine.",
    )
    port: int = _setting(8080, "port", "The port of `serve`.", "When the port is taken.")
    health_port: int = _setting(
        8081,
        "port",
        "The port of `/health/live`, `/health/ready` and `/metrics` of processes that serve nothing else. `0` turns it "
        "off.",
        "When several processes run on one machine: one port for each.",
    )
    base_url: str = _setting(
        "http://127.0.0.1:8080",
        "URL",
        "The URL at which callers reach `serve`. Every `Location` and `fullUrl` begins with it.",
        "Always beyond the embedded stack.",
    )
    oidc_issuer: str = _setting("", "URL", "The `iss` that a token must carry.", "Set it: `serve` needs it.")
    oidc_audience: str = _setting(
        "onestory", "text", "The `aud` that a token must carry.", "When the issuer gives another audience."
    )
    oidc_jwks_url: str = _setting("", "URL", "The URL of the issuer's public keys.", "Set it: `serve` needs it.")
    schema_registry_url: str = _setting(
        "",
        "URL",
        "A Confluent-compatible schema registry. If it is empty, schema ids come from `schemas/avro/ids.json`.",
        "When other consumers read schemas from a registry.",
    )
    topic_prefix: str = _setting(
        "",
        "letters, digits, `.`, `_`, `-`; at most 100",
        "The text before the names of topics and consumer groups, for environments that share one Kafka.",
        "Set it before the first start of a second environment. **It is fixed for the life of a deployment.**",
    )
    instance: str = _setting(
        "",
        "letters, digits, `.`, `_`, `-`; at most 249",
        "The name of this process in its consumer group. A process that is killed and started again under its name "
        "gets its partitions back at once. Without a name the group waits for `ONESTORY_CONSUMER_SESSION_S` first.",
        "Give each `project` process a name of its own that stays the same after a restart.",
    )
    consumer_session_s: float = _setting(
        10.0,
        "seconds",
        "The silence after which a consumer group gives the partitions of a process to others. Kafka bounds it: from 6 "
        "seconds to 30 minutes by default.",
        "Raise it when processes pause for longer.",
    )
    replication_factor: int = _setting(
        1, "replicas", "The replicas of each topic that `onestory topics apply` creates.", "Use 3 beyond one machine."
    )
    directory_authorities: tuple[str, ...] = _setting(
        (),
        "ODS codes, separated by commas",
        "The organisations whose word counts in the directory for others than themselves: which practices are members "
        "of a network, who owns a DoS service id, which practices a team serves, and which team or network succeeds "
        "another ([decision 44](../explanation/decisions/0044-networks-from-the-directory.md)).",
        "Set it before live use, to the organisation that keeps the directory. If it is empty, **no network reads a "
        "record**, except by `ONESTORY_NETWORKS`.",
    )
    networks: Mapping[str, str] = _setting(
        {},
        'JSON: practice ODS code to network, `{"A81001": "north"}`',
        "The network of practices whose network the directory does not state yet. The directory decides for a practice "
        "from the first membership that a directory authority states for it.",
        "Only in a deployment that had it before networks came from the directory. Load the networks with `onestory "
        "directory load`, then remove it.",
    )
    demographic_authorities: tuple[str, ...] = _setting(
        (),
        "ODS codes, separated by commas",
        "The organisations that may supersede an NHS number, and state where a person is registered and that a person "
        "died or moved. No other `Patient.link` joins two people, no other `Patient.generalPractitioner` opens a "
        "record to a network, and no other word of a death is a fact "
        "([decision 29](../explanation/decisions/0029-whose-word-counts.md)).",
        "Set it before live use. If it is empty, no people are joined, no death is a fact, and **any publisher** may "
        "name the practice ([decision 11](../explanation/decisions/0011-registered-practice.md)).",
    )
    identities_per_source: int = _setting(
        20,
        "local Patient ids",
        "How many of its own Patients one organisation may link to one NHS number. The link of one more is parked with "
        "the reason, and not followed: readers do not see what was stated under that id before its number was known. "
        "The statements under the NHS number itself are read as always.",
        "When a source gives a person a new local id at each visit. Stored statements follow with a rebuild.",
    )
    sequenced_sources: tuple[str, ...] = _setting(
        (),
        "`ODS/system`, separated by commas",
        "The sources that always send `X-Sequence`: 1, 2, 3 and so on for each person, as NEMS numbers its messages. "
        "Readers see a missing number between two others as a statement that did not arrive.",
        "When a source declares that it numbers its statements. Never name a source whose numbers have gaps.",
    )
    replaced_systems: Mapping[str, str] = _setting(
        {},
        'JSON: the new `ODS/system` to the name of the earlier system, `{"A81001/new": "old"}`',
        "The systems that replace an earlier one of the same organisation. Only these may send `X-Replaces-System`, "
        "which retires statements of the earlier system.",
        "While an organisation moves to another clinical system. Remove it when the move is over.",
    )
    accept_unreviewed: tuple[str, ...] = _setting(
        (),
        "names of files such as `merge/allergens`, separated by commas",
        "The files of `schemas/merge` and `schemas/summary` that no clinician has reviewed, and that this deployment "
        "uses all the same. `serve` and `summarise` refuse to start while another file has no review "
        "([decision 35](../explanation/decisions/0035-review-of-clinical-data.md)).",
        "For tests and trials. Before live use have each file reviewed instead.",
    )
    dmd: str = _setting(
        "",
        "folder",
        "The folder to which `onestory admin medicines load` writes a dm+d release, and from which `serve` and "
        "`summarise` read it at their start. If it is empty, medicines are compared by their names alone "
        "([decision 37](../explanation/decisions/0037-comparing-medicines.md)).",
        "When the deployment has a dm+d release. All processes read the same one.",
    )
    source_rhythms: Mapping[str, timedelta] = _setting(
        {},
        'JSON: `ODS` or `ODS/system` to an ISO 8601 duration, `{"A81001": "P1D", "RX1/ward": "PT1H"}`',
        "The longest silence that is expected of a source. The value of an organisation holds for each of its systems "
        "that is not named itself. A source that is silent for longer is stale, for readers and in the metrics. A "
        "source without a rhythm never is.",
        "When a source is connected, or goes out of use.",
    )
    referral_clocks: str = _setting(
        "",
        "JSON in the shape of `schemas/referral/clocks.yaml`",
        "The waits that differ from that file; name only what changes: "
        '`{"day-ends": "18:00", "referral": {"routine": {"requested": "3 working days"}}}`. A wait is an ISO 8601 '
        "duration, which also runs by night and on holidays, or a number of English working days, which is over when "
        "the last of them ends; the day on which it began does not count. Only routine waits may have working days. "
        "No wait may be longer than a year, or longer than the wait of something less urgent.",
        "When local agreements differ. **No clinician has reviewed the values of the file.**",
    )
    referral_escalation: str = _setting(
        "",
        "`ODS` or `ODS/team` (the team's id in the directory)",
        "The escalation contact for a team that names none, and for a requester. If it is empty, the organisations of "
        "requester and recipient get the notice.",
        "When the deployment has a duty desk.",
    )
    log_level: str = _setting(
        "info", "`debug`, `info`, `warning` or `error`", "The least level that is logged.", "To find a fault."
    )
    log_format: str = _setting(
        "json", "`json` or `console`", "The form of log lines.", "Use `console` for reading by eye."
    )
    max_body_bytes: int = _setting(
        10_000_000, "bytes", "The largest request body, after decompression.", "When a publisher's Bundles are larger."
    )
    max_bundle_entries: int = _setting(
        10_000,
        "entries",
        "The most entries that one Bundle may have. A larger one is answered with 413.",
        "When a publisher's Bundles have more entries.",
    )
    max_message_values: int = _setting(
        20_000,
        "JSON values",
        "The most JSON values that a BaRS message, a referral or the Parameters of an operation above 64 kB may have. "
        "More are answered with 413.",
        "When senders' messages hold more. Each 10,000 delay other requests by up to 15 ms.",
    )
    worklist_listeners: int = _setting(
        500,
        "worklists",
        "How many worklists clients may follow at the same time (`/worklists/.../events`) in one process of `serve`. "
        "One more is answered with 503. One user follows at most a fifth of them, and at least ten.",
        "When `onestory_worklist_listeners` comes near it.",
    )
    publish_timeout_s: float = _setting(
        4.0,
        "seconds",
        "How long a publish waits for Kafka before it is answered with 503.",
        "When Kafka is far away.",
    )
    idempotency_key_days: int = _setting(
        30,
        "days",
        "How long PostgreSQL keeps the Idempotency-Key of a publish. Until then the key with other content is answered "
        "with 422. Later the projector still parks the message.",
        "When publishers repeat requests after a longer time.",
    )
    message_limit_s: float = _setting(
        4.0,
        "seconds",
        "How long a BaRS message (`$process-message`) may take before it is rolled back and answered with 408.",
        "When senders wait for longer or shorter.",
    )
    parking_limit_per_hour: int = _setting(
        1000,
        "messages of one publisher",
        "How many messages of one publisher may be parked in an hour before an alarm is raised "
        "([decision 3](../explanation/decisions/0003-parking-limit.md)).",
        "When a publisher's normal number of faults is known.",
    )
    local_stack: bool = _setting(
        False,
        "`true` or `false`",
        "True only in the embedded stack. The development issuer refuses to start without it.",
        "Never.",
    )


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process. Raises `Misconfigured` with the name of the wrong variable."""
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for each in fields(Settings):
        raw = environment.get(PREFIX + each.name.upper())
        if raw is not None:
            values[each.name] = _parse(PREFIX + each.name.upper(), raw, str(each.type))
    values = with_upper_case_codes(values, PREFIX)
    settings = Settings(**values)  # type: ignore[arg-type]
    if settings.key_secret and len(settings.key_secret) < 32:
        raise Misconfigured(f"{PREFIX}KEY_SECRET has {len(settings.key_secret)} characters. Set at least 32.")
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", settings.topic_prefix):
        raise Misconfigured(f"{PREFIX}TOPIC_PREFIX takes letters, digits, '.', '_' and '-', at most 100 of them.")
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,249}", settings.instance) or settings.instance in (".", ".."):
        raise Misconfigured(f"{PREFIX}INSTANCE takes letters, digits, '.', '_' and '-', at most 249 of them.")
    _check_http(settings)
    _check_postgres(settings.postgres)
    return settings


def _check_http(settings: HttpSettings) -> None:
    for name in (each.name for each in fields(HttpSettings) if each.name.startswith(("max_", "keep_alive"))):
        if getattr(settings, name) <= 0:
            raise Misconfigured(f"{PREFIX}{name.upper()} must be greater than 0.")
    for name in ("head_timeout_s", "body_timeout_s", "write_timeout_s"):
        if not getattr(settings, name) >= 1:
            raise Misconfigured(f"{PREFIX}{name.upper()} must be at least 1 second.")
    if not all(_ORIGIN.fullmatch(origin) for origin in settings.cors_origins):
        raise Misconfigured(
            f"{PREFIX}CORS_ORIGINS takes origins such as https://app.example: scheme, host in lower case, perhaps a "
            "port. It takes no path and no *."
        )


def _check_postgres(dsn: str) -> None:
    from psycopg import ProgrammingError  # late: commands that need no database start without it
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(dsn)
    except ProgrammingError:
        # The text of the error quotes the part that cannot be read, which may be the password.
        raise Misconfigured(
            f"{PREFIX}POSTGRES is no libpq connection string. Write "
            "postgresql://user:password@host:port/database, "  # pragma: allowlist secret
            "with each special character of the password as %XX."
        ) from None


def hide_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the text without the key secret, and without the password and the whole of the connection string."""
    environment = os.environ if environment is None else environment
    dsn, key_secret = (environment.get(PREFIX + name, "") for name in ("POSTGRES", "KEY_SECRET"))
    secrets = [key_secret, dsn, *(part for match in _PASSWORD.findall(dsn) for part in match)]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def require(settings: Settings, *names: str) -> None:
    """Raise `Misconfigured` when one of these settings is empty."""
    for name in names:
        if not getattr(settings, name):
            raise Misconfigured(f"{PREFIX}{name.upper()} is not set. See docs/reference/settings.md.")


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
                return {name: parse_duration(text) for name, text in _string_map(raw).items()}
            case _:
                return raw
    except (ValueError, KeyError) as error:
        raise Misconfigured(f"{variable} cannot be read as {kind}.") from error


def _string_map(raw: str) -> dict[str, str]:
    table = json.loads(raw)
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError
    return table
