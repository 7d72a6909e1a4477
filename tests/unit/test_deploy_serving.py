"""What deploy/ tells Ray Serve is what Serve reads, and what it builds of that is the recommender."""

import pytest
import yaml

from mmrec.config import ServingSettings, Settings
from mmrec.errors import ConfigurationError
from services.recommender.environment import HTTP_PORT_VARIABLE, ray_environment
from tests.manifests import OVERLAYS, of_kind, settings_of

pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`:DeprecationWarning")
"""Ray's own, when it is imported."""


@pytest.mark.parametrize("name", OVERLAYS)
def test_serve_reads_the_file_and_finds_the_application(name: str) -> None:
    from ray.serve.schema import ServeDeploySchema

    service = of_kind(name, "RayService")["recommender"]["spec"]
    asked = ServeDeploySchema.model_validate(yaml.safe_load(service["serveConfigV2"]))
    (application,) = asked.applications
    (deployment,) = application.deployments
    workers = service["rayClusterConfig"]["workerGroupSpecs"][0]
    # One replica a pod: its metrics have one port. Enough pods must be allowed for all of them.
    assert deployment.max_replicas_per_node == 1
    assert float(workers["rayStartParams"]["num-cpus"]) == deployment.ray_actor_options.num_cpus
    assert deployment.autoscaling_config["max_replicas"] <= workers["maxReplicas"]
    assert 2 <= deployment.autoscaling_config["min_replicas"] <= workers["minReplicas"]
    ports = {p["name"]: p["containerPort"] for p in workers["template"]["spec"]["containers"][0]["ports"]}
    assert ports["serve"] == asked.http_options.port
    assert ports["serve-grpc"] == asked.grpc_options.port
    assert settings_of(name).serving.serve_http_port == asked.http_options.port


def test_the_application_is_built_of_the_files_arguments() -> None:
    from services.recommender.serve_config import build

    application = build({"config": "/etc/mmrec/mmrec.toml"})
    assert application._bound_deployment.name == "recommender"
    for wrong in ({}, {"config": ""}, {"config": "a.toml", "more": 1}, {"config": 3}):
        with pytest.raises(ConfigurationError, match=r"give \{config: FILE\}"):
            build(wrong)


def test_replicas_and_the_http_port_are_as_many_and_where_the_configuration_says() -> None:
    from services.recommender.app import application

    assert application("a.toml", num_replicas=3)._bound_deployment.num_replicas == 3
    fixed, free = (Settings(serving=ServingSettings(serve_http_port=port)) for port in (18_555, 0))
    assert ray_environment(fixed)[HTTP_PORT_VARIABLE] == "18555"
    assert int(ray_environment(free)[HTTP_PORT_VARIABLE]) > 1_024


def test_replicas_read_the_settings_that_the_environment_of_who_starts_them_overrides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from services.recommender.app import application

    monkeypatch.setenv("MMREC__KAFKA__USERNAME", "recommender")
    options = application("a.toml")._bound_deployment.ray_actor_options
    assert options["runtime_env"]["env_vars"]["MMREC__KAFKA__USERNAME"] == "recommender"
