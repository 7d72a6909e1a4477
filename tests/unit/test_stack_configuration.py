"""A stack takes the ports it was given, or says which ones it took instead; its configuration is complete."""

import re
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmrec.config import ServingSettings, load_settings
from mmrec.connections.console_settings import ConsoleSettings
from mmrec.errors import ConfigurationError, MachineError
from mmrec.telemetry.metric_names import PROCESSES
from services.recommender import environment
from services.stack import configuration
from services.stack.configuration import StackPorts, asked_settings, choose_ports, read_document, write_configuration
from services.stack.ports import any_free, is_free, is_open, next_free


@contextmanager
def _listening(port: int = 0):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server.getsockname()[1]


def _document(**named: str) -> dict:
    """A document that names free ports for everything but what `named` says."""
    milvus, recommender, collector, admin, console = any_free(5)
    kafka, ray = next_free(23_000), next_free(23_100)
    return {
        "kafka": {"bootstrap": named.get("kafka", f"127.0.0.1:{kafka}")},
        "stores": {"milvus_uri": named.get("milvus", f"http://127.0.0.1:{milvus}")},
        "serving": {
            "recommender": f"127.0.0.1:{recommender}",
            "collector": f"127.0.0.1:{collector}",
            "admin": f"127.0.0.1:{admin}",
        },
        "console": {"address": f"127.0.0.1:{console}"},
        "stack": {"ray": f"127.0.0.1:{ray}"},
        "metrics": dict.fromkeys(PROCESSES, ""),
    }


def test_named_ports_that_are_free_are_taken():
    document = _document()
    said: list[str] = []
    ports = choose_ports(document, say=said.append)
    assert f"127.0.0.1:{ports.kafka}" == document["kafka"]["bootstrap"]
    assert f"http://127.0.0.1:{ports.milvus}" == document["stores"]["milvus_uri"]
    assert said == []


def test_a_named_port_that_is_taken_is_an_error_that_names_it():
    with _listening() as port, pytest.raises(MachineError, match=rf"port {port} \(kafka.bootstrap\) is taken"):
        choose_ports(_document(kafka=f"127.0.0.1:{port}"), say=lambda line: None)


def test_a_default_port_that_is_taken_gives_way_and_that_is_said():
    document = _document()
    del document["kafka"]
    said: list[str] = []
    default = 19092
    if is_free(default):
        with _listening(default):
            ports = choose_ports(document, say=said.append)
    else:
        ports = choose_ports(document, say=said.append)
    assert ports.kafka > default
    assert said == [f"port {default} is taken; kafka.bootstrap uses {ports.kafka}"]


def test_no_port_is_given_twice():
    said: list[str] = []
    ports = choose_ports({}, say=said.append)
    taken = [ports.kafka, ports.kafka + 1, ports.milvus, ports.recommender, ports.collector, ports.admin]
    taken += [ports.console]
    taken += range(ports.ray, ports.ray + 4)
    assert len(set(taken)) == len(taken)


def test_an_address_elsewhere_is_refused():
    with pytest.raises(ConfigurationError, match=r"kafka.bootstrap is 'broker.example:9092'"):
        choose_ports(_document(kafka="broker.example:9092"), say=lambda line: None)


def test_what_is_written_is_what_every_process_reads(tmp_path: Path):
    document = {
        "behaviors": [
            {"name": "watch", "behavior_id": 1, "weight": 1.0},
            {"name": "like", "behavior_id": 2, "weight": 3.0},
        ],
        "scoring": {"max_items": 0},
        "statistics": {"half_lives_days": [1.0, 30.0]},
        "stores": {"event_log": "events"},
    }
    ports = StackPorts(kafka=1, milvus=3, recommender=4, collector=5, admin=6, console=8, ray=7)
    write_configuration(tmp_path / "mmrec.toml", document, ports, folder=tmp_path)
    settings = load_settings(tmp_path / "mmrec.toml")
    assert settings.kafka.bootstrap == "127.0.0.1:1"
    assert settings.stores.milvus_uri == "http://127.0.0.1:3"
    assert settings.stores.event_log == str(tmp_path / "events")
    assert settings.scoring.max_items == 0
    assert settings.statistics.half_lives_days == (1.0, 30.0)
    assert [b.name for b in settings.behaviors.behaviors] == ["watch", "like"]


def test_the_users_file_is_named_with_the_line_of_what_is_wrong_in_it(tmp_path: Path):
    path = tmp_path / "mine.toml"
    for text, said in (
        ("[kafka]\n\nnum_partitions = 0\n", f"{path}, line 3: kafka.num_partitions is 0; give a whole number"),
        ("[stack]\nray = 18510\n", f"{path}, line 2: stack.ray is 18510; give host:port, or nothing"),
        ("[stack]\nrya = 'x'\n", f"{path}, line 2: stack.rya is not a known name; did you mean 'ray'?"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            asked_settings(read_document(path), file=path, folder=tmp_path)


def test_a_written_file_says_that_it_is_written_anew(tmp_path: Path):
    ports = StackPorts(kafka=1, milvus=3, recommender=4, collector=5, admin=6, console=8, ray=7)
    write_configuration(tmp_path / "mmrec.toml", {}, ports, folder=tmp_path)
    assert (
        (tmp_path / "mmrec.toml").read_text().startswith("# Written by the stack at each start; change the file named")
    )


def test_a_missing_configuration_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"nothing\.toml"):
        read_document(tmp_path / "nothing.toml")


def test_a_port_is_free_until_somebody_listens():
    port = any_free(1)[0]
    assert is_free(port)
    with _listening(port):
        assert is_open(port)
        assert not is_free(port)
        assert next_free(port) > port


def test_default_ports_of_all_programs_are_apart():
    """A port that two programs take by default is free when the stack looks, and taken when the second one starts."""
    serving = ServingSettings()
    named = [int(getattr(serving, name).rpartition(":")[2]) for name in ("recommender", "collector", "admin")]
    metrics = range(configuration._METRICS_PORT, configuration._METRICS_PORT + len(PROCESSES))
    ray = range(configuration._RAY_PORT, configuration._RAY_PORT + configuration._RAY_PORTS)
    behind = range(named[0] + environment._FIRST_OFFSET, named[0] + environment._FIRST_OFFSET + environment._BLOCK)
    console = int(ConsoleSettings().address.rpartition(":")[2])
    ports = [*named, console, *metrics, *ray, *behind]
    assert sorted(ports) == sorted(set(ports))
