"""What Cassandra is told: its configuration files and its command line."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from .files import NodeFolder
from .java import Java
from .ports import Ports
from .spec import NodeSpec

MAIN_CLASS = "org.apache.cassandra.service.CassandraDaemon"

# Growing from a small heap keeps an idle node at half the memory of one that starts with all of it.
INITIAL_HEAP = "64m"

JAVA_OPTIONS = (
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+PerfDisableSharedMem",  # no file per process in the system's temporary folder
    "-Djdk.attach.allowAttachSelf=true",
    "-Dfile.encoding=UTF-8",
    "-Dchronicle.analytics.disable=true",
    "-Dcassandra-foreground=yes",
    "-Dcassandra.superuser_setup_delay_ms=0",
)

# Nobody to wait for: at a first boot that is 30 s by default, then 8 s for gossip, and 2 s at a stop.
ALONE_OPTIONS = (
    "-Dcassandra.ring_delay_ms=0",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.shutdown_announce_in_ms=0",
)

# On one machine the others are heard of well before the default 30 s; without a wait a join finds no seed.
MEMBER_OPTIONS = ("-Dcassandra.ring_delay_ms=5000",)

# What Cassandra reaches into, as its own server options document: the exports are the same for Java 11 and 17.
EXPORTS = (
    "java.base/java.lang.ref",
    "java.base/java.lang.reflect",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
)
OPENS = {
    11: (
        "java.base/java.lang.module",
        "java.base/java.lang.reflect",
        "java.base/java.io",
        "java.base/java.net",
        "java.base/java.nio",
        "java.base/java.util",
        "java.base/jdk.internal.loader",
        "java.base/jdk.internal.math",
        "java.base/jdk.internal.module",
        "java.base/jdk.internal.ref",
        "java.base/jdk.internal.reflect",
        "java.base/jdk.internal.util.jar",
        "java.base/sun.nio.ch",
        "java.rmi/sun.rmi.transport.tcp",
        "jdk.management/com.sun.management.internal",
    ),
    17: (
        "java.base/java.io",
        "java.base/java.lang",
        "java.base/java.lang.module",
        "java.base/java.lang.ref",
        "java.base/java.lang.reflect",
        "java.base/java.math",
        "java.base/java.net",
        "java.base/java.nio",
        "java.base/java.util",
        "java.base/java.util.concurrent",
        "java.base/java.util.concurrent.atomic",
        "java.base/jdk.internal.loader",
        "java.base/jdk.internal.math",
        "java.base/jdk.internal.module",
        "java.base/jdk.internal.ref",
        "java.base/jdk.internal.reflect",
        "java.base/jdk.internal.util",
        "java.base/jdk.internal.util.jar",
        "java.base/jdk.internal.vm",
        "java.base/sun.nio.ch",
        "java.rmi/sun.rmi.transport.tcp",
        "jdk.management/com.sun.management.internal",
        "jdk.management.jfr/jdk.management.jfr",
    ),
}

# The names are relative to the data folder, in which Java runs: logback would read `${…}` and `%i` in that one's name.
LOGBACK = """\
<configuration>
  <appender name="FILE" class="ch.qos.logback.core.rolling.RollingFileAppender">
    <file>logs/system.log</file>
    <rollingPolicy class="ch.qos.logback.core.rolling.FixedWindowRollingPolicy">
      <fileNamePattern>logs/system.%i.log</fileNamePattern>
      <minIndex>1</minIndex>
      <maxIndex>2</maxIndex>
    </rollingPolicy>
    <triggeringPolicy class="ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy">
      <maxFileSize>10MB</maxFileSize>
    </triggeringPolicy>
    <encoder>
      <pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern>
    </encoder>
  </appender>
  <root level="INFO">
    <appender-ref ref="FILE"/>
  </root>
</configuration>
"""


def write_configuration(spec: NodeSpec, ports: Ports, folder: NodeFolder) -> None:
    """Write the files Cassandra reads at start, and empty the folder for Java's temporary files."""
    shutil.rmtree(folder.temporary, ignore_errors=True)
    for needed in (folder.conf, folder.logs, folder.temporary):
        needed.mkdir(parents=True, exist_ok=True)
    # JSON is YAML, and quotes whatever is in a path or a name.
    (folder.conf / "cassandra.yaml").write_text(json.dumps(cassandra_yaml(spec, ports), indent=2), "utf-8")
    (folder.conf / "cassandra-rackdc.properties").write_text(f"dc={spec.datacenter}\nrack={spec.rack}\n", "utf-8")
    (folder.conf / "logback.xml").write_text(LOGBACK, "utf-8")


def cassandra_yaml(spec: NodeSpec, ports: Ports) -> dict[str, object]:
    """Cassandra's settings; what is not named keeps the server's own default, limits on batches included."""
    return {
        "cluster_name": spec.cluster_name,
        "listen_address": spec.host,
        "rpc_address": spec.host,
        "native_transport_port": ports.native,
        "storage_port": ports.storage,
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": ",".join(spec.seeds or (spec.host,))}],
            }
        ],
        "endpoint_snitch": "GossipingPropertyFileSnitch",
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "num_tokens": 4,
        # Nodes of a new cluster have nothing to fetch from each other, and so may join at the same time.
        "auto_bootstrap": False,
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10s",
        "commitlog_total_space": "128MiB",
        "auto_snapshot": False,
        "user_defined_functions_enabled": False,
        # The storage of Cassandra 5, which its SAI indexes need.
        "storage_compatibility_mode": "NONE",
        "memtable": {"configurations": {"default": {"class_name": "TrieMemtable"}}},
        "sstable": {"selected_format": "bti"},
    }


def java_command(
    spec: NodeSpec, java: Java, jars: Sequence[Path], ports: Ports, folder: NodeFolder, token: str
) -> list[str]:
    """The command that runs the node in the foreground; `token` on it tells this start from any other."""
    return [
        str(java.executable),
        f"-Xms{INITIAL_HEAP}",
        f"-Xmx{spec.heap}",
        *JAVA_OPTIONS,
        *(MEMBER_OPTIONS if spec.seeds else ALONE_OPTIONS),
        *(f"--add-exports={package}=ALL-UNNAMED" for package in EXPORTS),
        *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENS[java.major]),
        *_folder_options(folder),
        *(() if ports.jmx is None else (f"-Dcassandra.jmx.local.port={ports.jmx}",)),
        token_option(token),
        "-cp",
        ":".join(map(str, jars)),
        MAIN_CLASS,
    ]


def token_option(token: str) -> str:
    """How a start's token appears on the command line."""
    return f"-Dasgi_app.node={token}"


def _folder_options(folder: NodeFolder) -> tuple[str, ...]:
    return (
        f"-Dcassandra.config={(folder.conf / 'cassandra.yaml').as_uri()}",
        f"-Dcassandra-rackdc.properties={(folder.conf / 'cassandra-rackdc.properties').as_uri()}",
        f"-Dcassandra.storagedir={folder.root}",
        f"-Dcassandra.logdir={folder.logs}",
        f"-Dlogback.configurationFile={folder.conf / 'logback.xml'}",
        f"-Djava.io.tmpdir={folder.temporary}",
        f"-Djna.tmpdir={folder.temporary}",
    )
