"""Cassandra's configuration files and its command line."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from .files import NodeFolder
from .java import Java
from .ports import Ports
from .spec import NodeSpec

MAIN_CLASS = "org.apache.cassandra.service.CassandraDaemon"

# A heap that grows from a small size keeps an idle node at half the memory of one that starts with its maximum.
INITIAL_HEAP = "64m"

JAVA_OPTIONS = (
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+PerfDisableSharedMem",  # writes no file into the system's temporary folder
    "-Djdk.attach.allowAttachSelf=true",
    "-Dfile.encoding=UTF-8",
    "-Dchronicle.analytics.disable=true",
    "-Dcassandra-foreground=yes",
    "-Dcassandra.superuser_setup_delay_ms=0",
)

# A single node has no others to wait for. The defaults are 30 s at the first boot, 8 s for gossip, 2 s at a stop.
ALONE_OPTIONS = (
    "-Dcassandra.ring_delay_ms=0",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.shutdown_announce_in_ms=0",
)

# On one machine gossip is much faster than the default 30 s; without a wait a joining node finds no seed.
MEMBER_OPTIONS = ("-Dcassandra.ring_delay_ms=5000",)

# As Cassandra's own tests do, flush no system table after a change of the schema or a TRUNCATE, and sync no file: the
# schema is then only in the commit log, which Cassandra replays too late for it. Java compiles each method only once,
# because most of what such a node does is to start.
THROWAWAY_OPTIONS = (
    "-Dcassandra.test.flush_local_schema_changes=false",
    "-Dcassandra.unsafesystem=true",
    "-Dcassandra.skip_sync=true",
    "-XX:TieredStopAtLevel=1",
)

# The JDK internals that Cassandra uses, from its own jvm*-server.options files: same exports for Java 11 and 17.
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

# File names are relative to the data folder, in which Java runs: logback would expand `${…}` and `%i` in its path.
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
    """Write the configuration that Cassandra reads at its start, and empty the folder for Java's temporary files."""
    shutil.rmtree(folder.temporary, ignore_errors=True)
    for needed in (folder.conf, folder.logs, folder.temporary):
        needed.mkdir(parents=True, exist_ok=True)
    # JSON is valid YAML, and it quotes any character in a path or a name.
    (folder.conf / "cassandra.yaml").write_text(json.dumps(cassandra_yaml(spec, ports), indent=2), "utf-8")
    (folder.conf / "cassandra-rackdc.properties").write_text(f"dc={spec.datacenter}\nrack={spec.rack}\n", "utf-8")
    (folder.conf / "logback.xml").write_text(LOGBACK, "utf-8")


def cassandra_yaml(spec: NodeSpec, ports: Ports) -> dict[str, object]:
    """Return the content of cassandra.yaml; other options keep Cassandra's defaults, also the limits of batches."""
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
        # Nodes of a new cluster have no data to fetch from each other, so they may join at the same time.
        "auto_bootstrap": False,
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10s",
        "commitlog_total_space": "128MiB",
        "auto_snapshot": False,
        "user_defined_functions_enabled": False,
        "materialized_views_enabled": True,  # off by default; the service reads them
        # The storage format of Cassandra 5, which its SAI indexes need.
        "storage_compatibility_mode": "NONE",
        "memtable": {"configurations": {"default": {"class_name": "TrieMemtable"}}},
        "sstable": {"selected_format": "bti"},
    }


def java_command(
    spec: NodeSpec, java: Java, jars: Sequence[Path], ports: Ports, folder: NodeFolder, token: str
) -> list[str]:
    """Return the command that runs the node in the foreground; `token` identifies this start on the command line."""
    return [
        str(java.executable),
        f"-Xms{INITIAL_HEAP}",
        f"-Xmx{spec.heap}",
        *JAVA_OPTIONS,
        *(MEMBER_OPTIONS if spec.seeds else ALONE_OPTIONS),
        *(THROWAWAY_OPTIONS if spec.throwaway else ()),
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
    """Return the option that carries a start's token on the command line."""
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
