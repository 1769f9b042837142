"""The settings of the HTTP server: connections, time-outs, bytes in memory, and CORS."""

from __future__ import annotations

from dataclasses import dataclass

from onestory.shared.setting_help import setting


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The limits of one `serve` process.

    A caller is a subject of one system of one organisation. Connections without a verified token count for their
    address.
    """

    max_head_bytes: int = setting(
        65_536,
        "bytes",
        "The largest URL and headers of a request together. A larger head is answered with 431.",
        "Lower it when the gateway has a lower limit.",
    )
    head_timeout_s: float = setting(
        10.0,
        "seconds",
        "How long a client may take for the headers of a request. It is answered with 408 then, and disconnected.",
        "Raise it for clients on very slow lines.",
    )
    body_timeout_s: float = setting(
        60.0,
        "seconds",
        "How long a client may take for the whole body of a request. It is answered with 408 then, and disconnected.",
        "Raise it when publishers send large Bundles over slow lines.",
    )
    write_timeout_s: float = setting(
        30.0,
        "seconds",
        "A client that reads less than 64 kB of a waiting answer in this time is disconnected.",
        "Raise it for clients on very slow lines.",
    )
    keep_alive_s: float = setting(
        65.0,
        "seconds",
        "How long an idle connection stays open.",
        "Set it a little higher than the idle time-out of the gateway.",
    )
    max_connections: int = setting(
        1000,
        "connections",
        "The most open connections of one process. One more closes the oldest that waits for a request, those without "
        "a verified token first. If every connection has a request, the new one is answered with 503.",
        "Raise it together with the limit on open files. `serve` lowers it to that limit less 200.",
    )
    max_connections_per_address: int = setting(
        200,
        "connections",
        "The most connections of one address that have sent no verified token.",
        "Raise it when all callers come through one gateway.",
    )
    max_connections_per_caller: int = setting(
        200,
        "connections",
        "The most connections of one caller. One more closes its oldest idle connection, else it is answered with 429.",
        "Raise it when one system sends very many requests at the same time.",
    )
    max_requests_per_caller: int = setting(
        8,
        "requests",
        "The most requests of one caller in progress at a time. Its other requests wait, the oldest first. A request "
        "does not count while it waits for a large body, a worker process or readers, or while its answer is sent.",
        "Raise it when one caller acts for many users, and PostgreSQL has processors to spare.",
    )
    max_body_memory: int = setting(
        256_000_000,
        "bytes",
        "The most bytes of request bodies in memory, after decompression. A request beyond it is answered with 503.",
        "When the memory of the process is larger or smaller.",
    )
    max_body_memory_per_caller: int = setting(
        64_000_000,
        "bytes",
        "The same for one caller. A request beyond it is answered with 429.",
        "Together with `ONESTORY_MAX_BODY_MEMORY`.",
    )
    max_unread_memory: int = setting(
        256_000_000,
        "bytes",
        "The most bytes of answers that clients have not read yet. An answer of more than 64 kB that would go beyond "
        "it is replaced by 503.",
        "When the memory of the process is larger or smaller.",
    )
    max_unread_memory_per_caller: int = setting(
        64_000_000,
        "bytes",
        "The same for one caller, or for one address without a verified token. The answer is replaced by 429. The only "
        "answer of a caller may be larger.",
        "Together with `ONESTORY_MAX_UNREAD_MEMORY`.",
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "origins such as `https://app.example`, separated by commas",
        "The web pages whose scripts may call the API (CORS). If it is empty, browsers stop them.",
        "When an app runs in a browser and no gateway answers CORS.",
    )
    large_body_processes: int = setting(
        2,
        "processes",
        "How many processes prepare bodies above 64 kB. One caller has one body in preparation at a time. "
        "Bodies that wait for their turn longer than `ONESTORY_LARGE_BODY_LIMIT_S` are answered with 503.",
        "When `serve` has more than two processor cores.",
    )
    large_body_limit_s: float = setting(
        10.0,
        "seconds of a processor",
        "How much processor time the preparation of one large body may take. Then its process is stopped, nothing is "
        "published, and the answer is 413. If it takes three times as long by the clock, the answer is 503.",
        "When publishers send large Bundles to a slow machine.",
    )
    large_body_waiting: int = setting(
        16,
        "bodies",
        "How many large bodies may wait for a process. One more is answered with 503.",
        "When many publishers send large bodies at the same time.",
    )
    large_body_memory_mb: int = setting(
        1_500,
        "megabytes",
        "The most memory that the preparation of one large body may take. Then it ends, and the answer is 413.",
        "When the machine has less memory, or `ONESTORY_MAX_BODY_BYTES` is raised.",
    )
