"""Names, addresses, ports, topics and sizes in deploy/ are those of the code and of mmrec.toml."""

import importlib.util
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mmrec.config import KafkaSettings, Settings, load_settings
from mmrec.programs.one_thread import ONE_THREAD
from mmrec.stores.kafka.admin import topic_configs
from mmrec.telemetry.metric_names import PROCESSES
from services.recommender.__main__ import SERVICES
from services.recommender.environment import LOOPBACK_VARIABLE, ray_environment
from tests.manifests import (
    DEPLOY,
    OVERLAYS,
    environment_of,
    folder_of,
    of_kind,
    pods,
    settings_of,
)

METRICS_PORT = 9464
everywhere = pytest.mark.parametrize("name", OVERLAYS)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


@everywhere
def test_the_configuration_loads_and_what_is_not_an_address_or_a_size_is_the_same_everywhere(name: str) -> None:
    settings = settings_of(name)
    assert load_settings(folder_of(name) / "mmrec.toml").serving == settings.serving
    production = settings_of("production")
    assert settings.scoring == production.scoring
    assert settings.metrics == production.metrics
    assert settings.serving == production.serving


@everywhere
def test_topics_are_those_that_the_code_would_create_with_the_same_settings(name: str) -> None:
    kafka = settings_of(name).kafka
    topics = of_kind(name, "KafkaTopic")
    expected = topic_configs(kafka)
    assert set(topics) == set(expected)
    for topic, configs in expected.items():
        assert topics[topic]["spec"]["config"] == configs, topic
        assert topics[topic]["spec"]["partitions"] == kafka.num_partitions, topic


@everywhere
def test_no_acknowledged_event_depends_on_one_broker_but_on_one_node(name: str) -> None:
    brokers = of_kind(name, "KafkaNodePool")["broker"]["spec"]["replicas"]
    config = of_kind(name, "Kafka")["mmrec"]["spec"]["kafka"]["config"]
    copies = {m["spec"]["replicas"] for m in of_kind(name, "KafkaTopic").values()}
    assert copies == {min(3, brokers)} == {config["default.replication.factor"]}
    assert config["min.insync.replicas"] == (1 if name == "dev" else 2)
    assert config["auto.create.topics.enable"] is False


def _listener(name: str) -> dict[str, Any]:
    (listener,) = of_kind(name, "Kafka")["mmrec"]["spec"]["kafka"]["listeners"]
    return dict(listener)


def _overridden(variables: dict[str, str]) -> dict[tuple[str, str], str]:
    """(table, key) -> value of the settings that an environment overrides."""
    names = {key: key.removeprefix("MMREC__").lower().split("__") for key in variables if key.startswith("MMREC__")}
    return {(table, key): variables[variable] for variable, (table, key) in names.items()}


@everywhere
def test_kafka_is_where_its_callers_look_for_it(name: str) -> None:
    listener = _listener(name)
    addresses = {
        _overridden(environment_of(name, c)).get(("kafka", "bootstrap"), settings_of(name).kafka.bootstrap)
        for pod in pods(name)
        for c in pod.containers
        if pod.labels.get("mmrec/uses-kafka") and c["name"] != "features"
    }
    assert addresses == {f"mmrec-kafka-bootstrap:{listener['port']}"}
    policies = of_kind(name, "NetworkPolicy")
    assert policies["uses-kafka"]["spec"]["egress"][0]["ports"] == [{"port": listener["port"]}]
    assert policies["kafka"]["spec"]["ingress"][1]["ports"] == [{"port": listener["port"]}]


@everywhere
def test_redis_and_milvus_are_where_their_callers_look_for_them(name: str) -> None:
    stores = settings_of(name).stores
    clusters, singles = of_kind(name, "RedisCluster"), of_kind(name, "Redis")
    host = stores.redis_connection.partition(":")[0]
    assert host.removesuffix("-leader") in (clusters if stores.redis_cluster else singles)
    assert (stores.overlay_connection or stores.redis_connection).partition(":")[0] in singles
    gcs = of_kind(name, "RayService")["recommender"]["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert re.fullmatch(r"rediss?://([a-z-]+):6379", gcs["redisAddress"]).group(1) in singles  # type: ignore[union-attr]
    feast = of_kind(name, "Secret")["feast-online-store"]["stringData"]["redis"]
    assert f"connection_string: {stores.redis_connection}" in feast
    assert ("redis_cluster" in feast) == stores.redis_cluster
    assert {f"{m}-milvus" for m in of_kind(name, "Milvus")} == {re.split("[:/]+", stores.milvus_uri)[1]}


@everywhere
def test_folders_of_the_stores_lie_on_volumes_that_are_shared(name: str) -> None:
    stores = settings_of(name).stores
    kept = {stores.event_log, stores.content, stores.releases, stores.feature_repo}
    passing = {stores.status, stores.checkpoint}
    for pod in pods(name):
        mounts = {m["mountPath"] for c in pod.containers for m in c.get("volumeMounts", ())}
        if pod.labels.get("app.kubernetes.io/component") in {"load-test", None}:
            continue
        assert all(any(Path(m) in (Path(f), *Path(f).parents) for m in mounts) for f in kept | passing), pod.owner
    (store,) = of_kind(name, "FeatureStore").values()
    volume = store["spec"]["services"]["registry"]["local"]["persistence"]["file"]["pvc"]
    assert volume["mountPath"] == stores.feature_repo


@everywhere
def test_ports_of_pods_services_and_policies_are_those_of_the_configuration(name: str) -> None:
    settings = settings_of(name)
    grpc = {name: _port(getattr(settings.serving, name)) for name in ("collector", "recommender", "admin")}
    for process in PROCESSES:
        assert _port(settings.metrics.address(process)) == METRICS_PORT
    policies = of_kind(name, "NetworkPolicy")
    for component, port in grpc.items():
        ours = [pod for pod in pods(name) if pod.labels.get("app.kubernetes.io/component") == component]
        opened = {p["containerPort"] for pod in ours for c in pod.containers for p in c.get("ports", ())}
        assert {port, METRICS_PORT} <= opened
        allowed = [p["port"] for rule in policies[component]["spec"]["ingress"] for p in rule.get("ports", ())]
        assert port in allowed
    for service in ("collector", "admin"):
        found = {p["port"] for p in of_kind(name, "Service")[service]["spec"]["ports"]}
        assert found == {grpc[service], METRICS_PORT}
    for route, manifest in of_kind(name, "GRPCRoute").items():
        ports = {b["port"] for rule in manifest["spec"]["rules"] for b in rule["backendRefs"]}
        assert ports == {
            grpc[{"lists": "recommender", "campaigns": "recommender", "admin": "admin"}.get(route, "collector")]
        }


@everywhere
def test_the_recommenders_service_has_the_ports_that_its_callers_use(name: str) -> None:
    service = of_kind(name, "RayService")["recommender"]["spec"]["serveService"]
    ports = {p["name"]: p["port"] for p in service["spec"]["ports"]}
    assert ports["serve-grpc"] == _port(settings_of(name).serving.recommender)
    callers = [b["name"] for m in of_kind(name, "GRPCRoute").values() for b in m["spec"]["rules"][0]["backendRefs"]]
    callers += [
        c["args"][-1].partition(":")[0] for pod in pods(name) for c in pod.containers if pod.owner == "Job/load-lists"
    ]
    there = {service["metadata"]["name"], "recommender-canary-serve-svc", *of_kind(name, "Service")}
    assert set(callers) <= there


@everywhere
def test_every_edge_that_a_pod_says_it_uses_is_drawn(name: str) -> None:
    policies = [m["spec"]["podSelector"].get("matchLabels", {}) for m in of_kind(name, "NetworkPolicy").values()]
    drawn = {key for labels in policies for key in labels if key.startswith(("mmrec/uses-", "mmrec/calls-"))}
    said = {key for pod in pods(name) for key in pod.labels if key.startswith(("mmrec/uses-", "mmrec/calls-"))}
    assert said <= drawn
    assert {"mmrec/uses-kafka", "mmrec/uses-redis", "mmrec/uses-milvus"} <= said


def _module(container: dict[str, Any]) -> str:
    args = container.get("args", [])
    return str(args[2]) if args[:2] == ["python", "-m"] else ""


@everywhere
def test_programs_exist_and_their_status_files_are_those_that_probes_read(name: str) -> None:
    modules = set()
    for pod in pods(name):
        for container in pod.containers:
            module = _module(container)
            modules.add(module)
            assert not module or importlib.util.find_spec(module), f"{pod.owner} runs {module}"
            probed = set(re.findall(r"/run/mmrec/status/(\w+)\.json", json.dumps(container)))
            assert probed in (set(), {module.rpartition(".")[2]}), pod.owner
    for job in of_kind(name, "RayJob").values():
        assert importlib.util.find_spec(job["spec"]["entrypoint"].split()[2])
    services = {"jobs.score_stream", "jobs.follow_events", "jobs.build_neighbors", "jobs.tend_log", "jobs.encode_items"}
    assert (
        services
        | {"services.collector", "services.admin", "feature_repo.apply", "jobs.publish", "jobs.train", "jobs.refit"}
        | {"jobs.recommend_users", "services.console"}
        <= modules
    )


@everywhere
def test_the_stream_has_one_pod_as_it_has_one_writer(name: str) -> None:
    for deployment in ("score-stream", "follow-events", "build-neighbors", "tend-log", "encode-items", "admin"):
        spec = of_kind(name, "Deployment")[deployment]["spec"]
        assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate"), deployment


@everywhere
def test_the_stream_has_the_cores_that_it_is_told_to_use(name: str) -> None:
    container = of_kind(name, "Deployment")["score-stream"]["spec"]["template"]["spec"]["containers"][0]
    threads = int(re.fullmatch(r"local\[(\d+),4\]", container["args"][-1]).group(1))  # type: ignore[union-attr]
    cores = container["resources"]["requests"]["cpu"]
    assert threads == (2 if name == "dev" else int(cores))


@everywhere
def test_ray_is_told_what_the_recommender_would_tell_it(name: str) -> None:
    told = of_kind(name, "ConfigMap")["ray-environment"]["data"]
    usual = ray_environment(settings_of(name))
    for key in ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED", LOOPBACK_VARIABLE):
        assert told[key] == usual[key]
    assert {key: told[key] for key in ONE_THREAD} == ONE_THREAD
    cluster = of_kind(name, "RayService")["recommender"]["spec"]["rayClusterConfig"]
    lock = (DEPLOY.parent / "requirements.lock").read_text(encoding="utf-8")
    assert f"\nray=={cluster['rayVersion']} " in lock.replace("ray[data,serve,train,tune]", "ray")


def test_the_recommenders_services_are_those_of_the_program() -> None:
    text = of_kind("production", "RayService")["recommender"]["spec"]["serveConfigV2"]
    assert re.findall(r"- (services\.recommender\.ingress\.\w+)", text) == SERVICES


def _acls(name: str) -> dict[str, set[tuple[str, str]]]:
    """User -> (topic, operation); groups left out."""
    return {
        user: {
            (acl["resource"]["name"], operation)
            for acl in m["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
            if acl["resource"]["type"] == "topic"
        }
        for user, m in of_kind(name, "KafkaUser").items()
    }


def test_each_program_has_a_login_at_kafka_and_may_do_only_what_its_work_needs() -> None:
    acls = _acls("production")
    callers = {
        pod.labels["app.kubernetes.io/component"] for pod in pods("production") if pod.labels.get("mmrec/uses-kafka")
    }
    assert set(acls) == callers
    assert {topic for found in acls.values() for topic, _ in found} == set(topic_configs(KafkaSettings()))
    operations = {operation for found in acls.values() for _, operation in found}
    assert operations == {"Read", "Write", "Describe", "DescribeConfigs"}  # nobody adds, alters or removes a topic
    kafka = KafkaSettings()
    assert {operation for _, operation in acls["collector"]} == {"Write", "Describe"}
    written = {user: {t for t, o in found if o == "Write"} for user, found in acls.items()}
    assert written["score-stream"] == {kafka.rejected}
    assert written["recommender"] == {kafka.served_lists}
    assert written["follow-events"] == set()
    assert written["training"] == {kafka.administrative_acts}  # it publishes, which is an act
    assert {user for user, topics in written.items() if kafka.administrative_acts in topics} == {
        *("admin", "toolbox", "training"),
    }


@everywhere
def test_programs_start_with_the_settings_of_their_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("mmrec.programs.plaintext") is None:
        pytest.skip("this version reads no settings from the environment")
    from mmrec.programs.plaintext import open_connections

    known = {(f.name, key.name) for f in fields(Settings) for key in _keys(getattr(Settings(), f.name))}
    cases = {
        (pod.owner, container["name"]): environment_of(name, container)
        for pod in pods(name)
        for container in pod.containers
        if "MMREC_CONFIG" in environment_of(name, container)
    }
    assert len(cases) > 10
    for case, variables in cases.items():
        assert set(_overridden(variables)) <= known, case
        with monkeypatch.context() as context:
            for key in variables:
                context.setenv(key, variables[key])
            settings = load_settings(folder_of(name) / "mmrec.toml")
        open_edges = {connection.edge for connection in open_connections(settings)}
        assert open_edges <= set(settings.security.plaintext_allowed), case
        assert name == "dev" or open_edges == {"recommender"}, case


def _keys(table: Any) -> list[Any]:
    return list(fields(table)) if hasattr(table, "__dataclass_fields__") else []
