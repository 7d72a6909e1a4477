"""A Spark session whose driver is on this machine and needs no network: local jars, nothing written elsewhere.

Reads MMREC_SPARK_JARS (paths of the Kafka connector, separated by "," or ":") and JAVA_HOME, which the stack sets, and
SPARK_LOCAL_IP: where the driver listens, and where executors of a cluster find it; loopback where it is not set.
"""

import os
import re
import sys
from pathlib import Path

from pyspark.sql import SparkSession

import mmrec
from jobs.spark_insides import CHECKPOINT_SETTINGS, SPARK
from mmrec.connections.brokers import REDACTED, REDACTED_TEXT
from mmrec.errors import MachineError

JARS_VARIABLE = "MMREC_SPARK_JARS"
LATE_C2 = (
    "-XX:Tier4InvocationThreshold=40000 -XX:Tier4MinInvocationThreshold=10000"
    " -XX:Tier4CompileThreshold=60000 -XX:Tier4BackEdgeThreshold=400000"
)
"""Java's second compiler waits eight times as long as by default (5,000 calls): in a stream's first minute it took 12
of the JVM's 28 CPU-seconds, more than its code saved by then."""


def local_spark(
    name: str, *, master: str, folder: Path, max_result: str = "128m", num_partitions: int = 2
) -> SparkSession:
    """Start Spark.

    Args:
        master: Such as local[2,4]: two threads, and a task whose worker was killed is tried four times in all; or a
            cluster's, such as spark://host:7077.
        folder: Folder for Spark's own files.
        max_result: Largest result; more is fetched in portions (jobs/decoded_stream.py).
        num_partitions: Into how many parts rows are shuffled: as many as threads, or as executors' cores.

    Raises:
        MachineError: the connector's jars are not named or do not exist.
        LibraryVersionError: another version of Spark is installed than spark_insides.py was written against.
    """
    SPARK.check()
    jars = [jar for jar in re.split("[,:]", os.environ.get(JARS_VARIABLE, "")) if jar]
    missing = [jar for jar in jars if not Path(jar).is_file()]
    if not jars or missing:
        raise MachineError(f"{JARS_VARIABLE} names {missing or 'no jars'}; `mmrec up` fetches them and sets it")
    folder.mkdir(parents=True, exist_ok=True)
    where = os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # Workers are children of the JVM: they must find this Python and this package.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    root = str(Path(mmrec.__file__).parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    options = {
        "spark.jars": ",".join(jars),
        "spark.driver.host": where,
        "spark.driver.bindAddress": where,
        "spark.driver.memory": "1g",
        "spark.driver.maxResultSize": max_result,
        "spark.driver.extraJavaOptions": f"-XX:+UseSerialGC {LATE_C2} -Djava.io.tmpdir={folder}",
        "spark.ui.enabled": "false",
        "spark.redaction.regex": REDACTED,
        "spark.sql.redaction.string.regex": REDACTED_TEXT,
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": str(num_partitions),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
        # What passes through Spark in quantity are pieces of tables, which are compressed.
        "spark.shuffle.compress": "false",
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        "spark.sql.artifact.isolation.enabled": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
        "spark.sql.streaming.metricsEnabled": "false",
        **CHECKPOINT_SETTINGS,
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.streaming.numRecentProgressUpdates": "5",
    }
    builder = SparkSession.builder.appName(name).master(master)
    for key, value in options.items():
        builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
