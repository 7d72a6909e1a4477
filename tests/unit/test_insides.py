"""Libraries that are known from within: each is the version that was read, and no other one is used."""

import importlib.util
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.consumer.fetcher import Fetcher
from kafka.net.compat import KafkaNetClient
from kafka.net.connection import KafkaConnection
from kafka.net.manager import KafkaConnectionManager
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager
from kafka.record.default_records import DefaultRecordBatch

from jobs.spark_insides import CHECKPOINT_SETTINGS, SPARK, planned_offsets
from mmrec.errors import IncompatibleStateError, LibraryVersionError
from mmrec.programs.pinned import PinnedLibrary
from mmrec.stores.feast.insides import FEAST
from mmrec.stores.kafka.insides import KAFKA
from services.recommender.ray_insides import RAY

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = [KAFKA, FEAST, SPARK, RAY]
FIRST_USES = {
    "kafka-python": [
        "from mmrec.stores.kafka.insides import SenderInside; SenderInside(None)",
        "from mmrec.stores.kafka.insides import ask_for_ids_again; ask_for_ids_again(None)",
        "from mmrec.stores.kafka.insides import wait_for_answers; wait_for_answers(None)",
        "from mmrec.stores.kafka.insides import read_whole_batches; read_whole_batches(None, None)",
    ],
    "feast": ["import mmrec.stores.feast.engine", "from mmrec.stores.feast.insides import key_prefix; key_prefix('k')"],
    "pyspark": [
        "from pathlib import Path; from jobs.spark_insides import planned_offsets; planned_offsets(Path('.'), 0)",
    ],
    "ray": [
        "from services.recommender.ray_insides import add_wrapped; add_wrapped(None, None, None, one=None, many=None)",
        "from services.recommender.ray_insides import pass_through; pass_through(None, 'grpc.health.v1.Health')",
    ],
}
REFUSED = """
import sys
sys.path.insert(0, {folder!r})
from mmrec.errors import LibraryVersionError
for use in {uses!r}:
    try:
        exec(use)
    except LibraryVersionError as error:
        assert {said!r} in str(error), error
    else:
        raise AssertionError(use)
"""


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_the_locked_version_is_the_one_that_is_known_from_within(library: PinnedLibrary) -> None:
    """Who raises it reads the module against the new source, and measures whether each use is still worth it."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert re.findall(rf"^{re.escape(library.name)}==(\S+)", lock, re.MULTILINE) == [library.version]
    library.check()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_another_version_is_refused_by_name_with_both_versions(library: PinnedLibrary) -> None:
    with pytest.raises(LibraryVersionError, match=rf"{library.name} {library.version}: .* uses insides of 0\.0\.1;"):
        replace(library, version="0.0.1").check()


def test_a_library_that_is_not_there_is_refused() -> None:
    with pytest.raises(LibraryVersionError, match="no-such-library is not installed"):
        PinnedLibrary(name="no-such-library", version="1.0", module="mmrec").check()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_no_inside_is_touched_where_another_version_is_installed(library: PinnedLibrary, tmp_path: Path) -> None:
    described = tmp_path / f"{library.name.replace('-', '_')}-99.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library.name}\nVersion: 99.0\n")
    uses = FIRST_USES[library.name]
    program = REFUSED.format(folder=str(tmp_path), uses=uses, said=f"{library.name} 99.0: ")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_kafka_python_has_the_members_that_are_used() -> None:
    made = {
        KafkaProducer: {"_accumulator", "_sender", "_transaction_manager"},
        KafkaConsumer: {"_fetcher"},
        Sender: {"_client"},
        KafkaNetClient: {"_manager"},
        KafkaConnectionManager: {"_conns"},
        KafkaConnection: {"paused", "connected"},
        TransactionManager: {"_current_state"},
        DefaultRecordBatch: {"_buffer", "_pos", "_next_record_index", "_decompressed"},
    }
    for kind, names in made.items():
        assert names <= set(kind.__init__.__code__.co_names), kind
    for member in (
        RecordAccumulator.append,
        Sender.wakeup,
        TransactionManager.reset_producer_id,
        KafkaNetClient.connection_delay,
        Fetcher.PartitionRecords._unpack_records,
        Fetcher.PartitionRecords._contains_abort_marker,
    ):
        assert member is not None


def test_ray_serve_has_the_members_that_are_used() -> None:
    found = importlib.util.find_spec("ray")
    assert found is not None and found.origin is not None
    source = (Path(found.origin).parent / "serve" / "_private" / "grpc_util.py").read_text(encoding="utf-8")
    assert "self.service_handler_factory = service_handler_factory" in source
    assert "def add_passthrough_service(self, service_name: str)" in source


def test_spark_has_the_classes_that_checkpoints_are_written_with() -> None:
    found = importlib.util.find_spec("pyspark")
    assert found is not None and found.origin is not None
    jars = Path(found.origin).parent / "jars"
    names: set[str] = set()
    for pattern in ("spark-sql_*.jar", "hadoop-client-api-*.jar"):
        (jar,) = jars.glob(pattern)
        with zipfile.ZipFile(jar) as archive:
            names.update(archive.namelist())
    assert {name.replace(".", "/") + ".class" for name in CHECKPOINT_SETTINGS.values()} <= names


@pytest.mark.parametrize("text", ["v2\n{}\n{}", "v1\n{}\n{}\n{}", "v1\n{}", ""])
def test_an_offset_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "offsets").mkdir()
    (tmp_path / "offsets" / "0").write_text(text)
    with pytest.raises(IncompatibleStateError, match=r"writes 'v1', the settings and the offsets of one source"):
        planned_offsets(tmp_path, 0)
