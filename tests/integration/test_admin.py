"""The administrative service as a process of its own, on a real broker: looks, acts, and the record of both."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from mmrec.catalog.item import Availability, CatalogItem, from_json_value, to_json_value
from mmrec.cli.main import main
from mmrec.config import Settings
from mmrec.events.encoding import encode_event
from mmrec.events.rejected import encode_rejected
from mmrec.operating.remote import RemoteDesk
from mmrec.telemetry.logs import read_status
from mmrec.v1 import admin_pb2
from mmrec.v1.admin_pb2_grpc import AdminServiceStub
from mmrec.v1.behavior_pb2 import BehaviorEvent
from mmrec.wiring import open_producer, open_topics
from tests.pki import Authority, needs_openssl

pytestmark = pytest.mark.integration
PNG = b"\x89PNG" + bytes(2_000)


@dataclass(frozen=True)
class Served:
    """A running service and its deployment."""

    settings: Settings
    config: Path
    channel: grpc.Channel
    stub: Any


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    kafka = request.getfixturevalue("kafka")
    from tests.servers import deployment_on

    deployment = deployment_on(kafka, tmp_path_factory.mktemp("admin"))
    settings = deployment.settings
    with closing(open_producer(settings)) as producer:
        items = [
            CatalogItem(item_id="dress", title="Red dress", price=20.0, image=PNG, media_type="image/png"),
            CatalogItem(item_id="shoe", title="Red shoe", availability=Availability.OUT_OF_STOCK),
            CatalogItem(item_id="markup", title="<script>alert(1)</script>"),
        ]
        producer.send_many(settings.kafka.catalog_items, [(i.item_id.encode(), to_json_value(i)) for i in items])
        producer.send_many(settings.kafka.rejected, [_refused(n) for n in range(3)])
    process = _running(deployment.config)
    try:
        with grpc.insecure_channel(settings.serving.admin) as channel:
            grpc.channel_ready_future(channel).result(timeout=300)
            yield Served(settings, deployment.config, channel, AdminServiceStub(channel))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert read_status(settings.stores.status)["admin"]["ready"] is False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _running(config: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "services.admin", "--config", str(config)], env=dict(os.environ))


def _refused(number: int) -> tuple[bytes, bytes]:
    key, value = encode_event(BehaviorEvent(event_id=f"e{number}", user_id="ann", item_id="dress", behavior="cart"))
    place = {"cluster_id": "c", "topic_id": "t", "partition": 0, "offset": number, "ingest_time_s": 1_700_000_000.0}
    return encode_rejected(
        {**place, "reason": "unknown_behavior", "detail": "no", "original_key": key, "original_value": value}
    )


def _acts(served: Served, kind: str) -> list[admin_pb2.AdministrativeAct]:
    return list(served.stub.ListActs(admin_pb2.ListActsRequest(kind=kind), timeout=60).acts)


def _error(call: Callable[[], Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code()  # type: ignore[no-any-return]


def test_it_says_that_it_is_well_and_what_it_offers(served: Served) -> None:
    health = health_pb2_grpc.HealthStub(served.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service="mmrec.v1.AdminService"), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    services = ProtoReflectionDescriptorDatabase(served.channel).get_services()
    assert {"mmrec.v1.AdminService", "grpc.health.v1.Health"} <= set(services)


def test_engines_that_are_away_are_named_and_the_others_are_well(served: Served) -> None:
    for _ in range(20):  # the first look loads the engines' libraries, and may be too slow for them
        answer = served.stub.CheckEngines(admin_pb2.CheckEnginesRequest(), timeout=60)
        found = {engine.name: engine for engine in answer.engines}
        if found["kafka"].is_well:
            break
    assert found["kafka"].is_well, found["kafka"].detail
    assert found["releases"].detail == "no release serves"
    assert not found["recommender"].is_well
    assert found["recommender"].detail
    assert not found["milvus"].is_well


def test_the_first_start_records_the_configuration_and_each_value_says_where_it_is_from(served: Served) -> None:
    (act,) = _acts(served, "change_configuration")
    assert act.identified_by == admin_pb2.IdentifiedBy.IDENTIFIED_BY_PROGRAM
    assert json.loads(act.details["configuration"])["kafka.bootstrap"] == json.dumps(served.settings.kafka.bootstrap)
    answer = served.stub.GetConfiguration(admin_pb2.GetConfigurationRequest(), timeout=60)
    origins = {value.name: value.origin for value in answer.values}
    assert origins["kafka.bootstrap"] == admin_pb2.ValueOrigin.VALUE_ORIGIN_FILE
    assert origins["content.text_cleaning"] == admin_pb2.ValueOrigin.VALUE_ORIGIN_DEFAULT


def test_an_act_that_fails_is_told_and_recorded(served: Served) -> None:
    request = admin_pb2.PromoteReleaseRequest(release_id="nothing")
    assert _error(lambda: served.stub.PromoteRelease(request, timeout=60)) == grpc.StatusCode.NOT_FOUND
    (act,) = _acts(served, "promote_release")
    assert (act.who, act.subject) == ("local", "nothing")
    assert act.outcome == admin_pb2.ActOutcome.ACT_OUTCOME_FAILED
    assert act.problem.startswith("NotFoundError: no release 'nothing'")
    back = admin_pb2.RollBackReleaseRequest(expected_release_id="r1")
    assert _error(lambda: served.stub.RollBackRelease(back, timeout=60)) == grpc.StatusCode.FAILED_PRECONDITION
    assert list(served.stub.ListReleases(admin_pb2.ListReleasesRequest(), timeout=60).releases) == []


def test_items_are_listed_searched_shown_and_changed(served: Served) -> None:
    stub = served.stub
    while stub.ListItems(admin_pb2.ListItemsRequest(), timeout=60).num_records_behind:
        pass
    first = stub.ListItems(admin_pb2.ListItemsRequest(page_size=2), timeout=60)
    rest = stub.ListItems(admin_pb2.ListItemsRequest(page_size=2, page_token=first.next_page_token), timeout=60)
    assert sorted(i.item_id for i in [*first.items, *rest.items]) == ["dress", "markup", "shoe"]
    assert (rest.next_page_token, first.num_catalogue_items) == ("", 3)
    found = stub.ListItems(admin_pb2.ListItemsRequest(query="red dr"), timeout=60)
    assert [(i.item_id, i.has_picture) for i in found.items] == [("dress", True)]
    picture = stub.GetPicture(admin_pb2.GetPictureRequest(item_id="dress"), timeout=60)
    assert (picture.content, picture.media_type) == (PNG, "image/png")
    request = admin_pb2.GetPictureRequest(item_id="shoe")
    assert _error(lambda: stub.GetPicture(request, timeout=60)) == grpc.StatusCode.NOT_FOUND

    change = admin_pb2.ChangeItemRequest(item_id="dress", availability="AVAILABILITY_HIDDEN", price=15.5)
    answer = stub.ChangeItem(change, timeout=60)
    assert (answer.before.price, answer.after.price) == (20.0, 15.5)
    records = open_topics(served.settings).read(served.settings.kafka.catalog_items)
    newest = [from_json_value(r.value) for r in records if r.key == b"dress" and r.value][-1]
    assert (newest.price, newest.availability) == (15.5, Availability.HIDDEN)
    assert (newest.image, newest.title) == (PNG, "Red dress")
    (act,) = _acts(served, "change_item")
    assert act.details["price"] == "20.0 -> 15.5"
    assert act.details["availability"] == "AVAILABILITY_UNSPECIFIED -> AVAILABILITY_HIDDEN"


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("ChangeItem", admin_pb2.ChangeItemRequest(item_id="dress")),
        ("ChangeItem", admin_pb2.ChangeItemRequest(item_id="dress", price=float("nan"))),
        ("ChangeItem", admin_pb2.ChangeItemRequest(item_id="dress", price=-1.0)),
        ("ListItems", admin_pb2.ListItemsRequest(page_size=100_000)),
        ("ListItems", admin_pb2.ListItemsRequest(page_token="' or 1=1")),
        ("PromoteRelease", admin_pb2.PromoteReleaseRequest()),
        ("GetProfile", admin_pb2.GetProfileRequest()),
        ("GetStanding", admin_pb2.GetStandingRequest(interval_s=1e9)),
        ("ListActs", admin_pb2.ListActsRequest(kind="nothing")),
        ("ListRejected", admin_pb2.ListRejectedRequest(num_records=-1)),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(served: Served, method: str, asked: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        getattr(served.stub, method)(asked, timeout=60)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    wrong, _, right = refused.value.details().partition(";")
    assert wrong and right


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "a/b", "a\x00b", ".hidden", "x" * 101])
def test_a_backup_stays_below_its_folder(served: Served, name: str) -> None:
    def ask() -> list[Any]:
        return list(served.stub.BackUp(admin_pb2.BackUpRequest(name=name), timeout=60))

    assert _error(ask) == grpc.StatusCode.INVALID_ARGUMENT


def test_an_unreadable_request_ends_its_own_call(served: Served) -> None:
    call = served.channel.unary_unary("/mmrec.v1.AdminService/ListActs")
    assert _error(lambda: call(b"\xff\xff\xff", timeout=30)) == grpc.StatusCode.INVALID_ARGUMENT
    assert _acts(served, "change_configuration")


def test_refused_records_are_counted_and_sent_again_once(served: Served) -> None:
    stub, events = served.stub, served.settings.kafka.behavior_events
    counted = stub.CountRejected(admin_pb2.CountRejectedRequest(), timeout=60)
    (group,) = counted.groups
    assert (group.reason, group.num_records, group.num_sendable) == ("unknown_behavior", 3, 3)
    listed = stub.ListRejected(admin_pb2.ListRejectedRequest(num_records=2), timeout=60)
    assert (len(listed.records), listed.num_records) == (2, 3)
    first = list(stub.ResubmitRejected(admin_pb2.ResubmitRejectedRequest(max_records=2), timeout=60))
    again = list(stub.ResubmitRejected(admin_pb2.ResubmitRejectedRequest(), timeout=60))
    assert [each[-1].result.num_sent for each in (first, again)] == [2, 1]
    assert len(list(open_topics(served.settings).read(events))) == 3
    assert [act.details["num_sent"] for act in _acts(served, "resubmit_rejected")] == ["1", "2"]


def test_the_command_line_asks_the_service(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    address = served.settings.serving.admin
    for arguments, said in (
        (["status", "--interval", "0", "--json", "--address", address], '"figures"'),
        (["acts", "--config", str(served.config), "--json"], "change_configuration"),
        (["publish", "--list", "--config", str(served.config)], "current"),
        (["settings", "--address", address], "kafka.bootstrap"),
        (["events", "rejected", "--address", address, "--json"], "unknown_behavior"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert (ended.value.code or 0) == 0, arguments
        assert said in capsys.readouterr().out


def test_every_answer_is_counted(served: Served) -> None:
    with RemoteDesk(served.settings.serving.admin) as desk:
        assert desk.is_there()
        figures = desk.ask("GetStanding", admin_pb2.GetStandingRequest())
    assert not figures.programs


@needs_openssl
def test_beyond_loopback_it_starts_with_tls_alone_and_admits_those_it_is_told(kafka: str, tmp_path: Path) -> None:
    from tests.servers import deployment_on

    deployment = deployment_on(kafka, tmp_path)
    text = deployment.config.read_text(encoding="utf-8")
    port = deployment.settings.serving.admin.rpartition(":")[2]
    open_text = text.replace(f'admin = "127.0.0.1:{port}"', f'admin = "0.0.0.0:{port}"')
    deployment.config.write_text(open_text, encoding="utf-8")
    process = _running(deployment.config)
    assert process.wait(120) == 1  # unencrypted beyond this machine: refused

    pki = Authority(tmp_path / "pki")
    server, edge, other = pki.issue("server"), pki.issue("edge"), pki.issue("other")
    files = (
        f'certificate_file = "{server.certificate}"\nkey_file = "{server.key}"\nclient_ca_file = "{pki.certificate}"\n'
    )
    secured = open_text.replace("[serving]\n", f"[serving]\n{files}", 1)
    deployment.config.write_text(f'{secured}\n[admin]\ncallers = ["edge"]\nedges = ["edge"]\n', encoding="utf-8")
    process = _running(deployment.config)
    try:
        roots = Path(pki.certificate).read_bytes()

        def ask(certificate: Any, *metadata: tuple[str, str]) -> admin_pb2.ListActsResponse:
            chain, key = (Path(certificate.certificate).read_bytes(), Path(certificate.key).read_bytes())
            credentials = grpc.ssl_channel_credentials(roots, key, chain)
            with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
                grpc.channel_ready_future(channel).result(timeout=120)
                stub = AdminServiceStub(channel)
                with pytest.raises(grpc.RpcError) as refused:
                    stub.PromoteRelease(
                        admin_pb2.PromoteReleaseRequest(release_id="none"), timeout=60, metadata=metadata
                    )
                if refused.value.code() != grpc.StatusCode.NOT_FOUND:
                    raise refused.value
                return stub.ListActs(admin_pb2.ListActsRequest(kind="promote_release"), timeout=60, metadata=metadata)

        (act,) = ask(edge, ("x-client", "ann")).acts
        assert (act.who, act.identified_by) == ("ann", admin_pb2.IdentifiedBy.IDENTIFIED_BY_EDGE)
        assert _error(lambda: ask(edge)) == grpc.StatusCode.PERMISSION_DENIED
        assert _error(lambda: ask(other, ("x-client", "ann"))) == grpc.StatusCode.PERMISSION_DENIED
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
