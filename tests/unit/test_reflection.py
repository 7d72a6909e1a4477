"""What stock gRPC tools ask of a server: each name resolves, in both versions of the protocol, over the wire."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from mmrec.v1 import collector_pb2, recommender_pb2
from services.reflection.servicer import add_reflection
from services.reflection.symbols import SERVICES, V1_FILE, SymbolIndex, declared_names

COLLECTOR = collector_pb2.DESCRIPTOR.services_by_name["CollectorService"].full_name
RECOMMENDER = recommender_pb2.DESCRIPTOR.services_by_name["RecommenderService"].full_name
SERVED = (COLLECTOR, RECOMMENDER, health.SERVICE_NAME)
Request = reflection_pb2.ServerReflectionRequest


async def serve(address: "Future[str]", stop: asyncio.Event) -> None:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    add_reflection(server, services=SERVED)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address.set_result(f"127.0.0.1:{port}")
    await stop.wait()
    await server.stop(None)


@contextmanager
def served() -> Iterator[grpc.Channel]:
    loop, stop, address = asyncio.new_event_loop(), asyncio.Event(), Future[str]()
    thread = Thread(target=lambda: loop.run_until_complete(serve(address, stop)))
    thread.start()
    try:
        with grpc.insecure_channel(address.result(20)) as channel:
            yield channel
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with served() as channel:
        yield channel


def ask(channel: grpc.Channel, service: str, *requests: Request) -> list[reflection_pb2.ServerReflectionResponse]:
    """The answers of one stream."""
    method = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=Request.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(method(iter(requests), timeout=20))


def files_of(answer: reflection_pb2.ServerReflectionResponse) -> list[descriptor_pb2.FileDescriptorProto]:
    assert answer.HasField("file_descriptor_response"), answer.error_response
    return [
        descriptor_pb2.FileDescriptorProto.FromString(text)
        for text in answer.file_descriptor_response.file_descriptor_proto
    ]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "symbol",
    [
        "mmrec.v1.RecommenderService",
        "mmrec.v1.RecommenderService.RecommendItems",
        "mmrec.v1.CollectorService.RecordBehaviors",
        "mmrec.v1.RecommendItemsRequest",
        "mmrec.v1.RecommendItemsRequest.user_id",
        "mmrec.v1.BehaviorEvent.event_time",
        "mmrec.v1.BehaviorEvent.ContextEntry",
        "mmrec.v1.BehaviorEvent.ContextEntry.value",
        "mmrec.v1.EventOutcome",
        "mmrec.v1.EVENT_OUTCOME_RETRY",
        "google.protobuf.Timestamp",
        "google.protobuf.Timestamp.seconds",
        "grpc.health.v1.Health.Check",
        "grpc.health.v1.HealthCheckResponse.ServingStatus",
        "grpc.health.v1.HealthCheckResponse.NOT_SERVING",
        "grpc.reflection.v1.ServerReflection.ServerReflectionInfo",
        "grpc.reflection.v1.ServerReflectionRequest.message_request",
        "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
    ],
)
def test_every_kind_of_name_leads_to_its_file_with_all_it_imports(
    channel: grpc.Channel, service: str, symbol: str
) -> None:
    (answer,) = ask(channel, service, Request(file_containing_symbol=symbol))
    files = files_of(answer)
    assert symbol in set(declared_names(files[0]))
    pool, remaining = descriptor_pool.DescriptorPool(), {file.name: file for file in files}
    while remaining:  # a pool takes a file once it has those that it imports
        ready = [file for file in remaining.values() if not remaining.keys() & set(file.dependency)]
        assert ready, "imports go round in circles"
        for file in ready:
            pool.Add(file)
            del remaining[file.name]
    assert pool.FindFileByName(files[0].name).name == files[0].name


@pytest.mark.parametrize("service", SERVICES)
def test_all_services_are_listed_those_of_reflection_too(channel: grpc.Channel, service: str) -> None:
    (answer,) = ask(channel, service, Request(host="here", list_services="*"))
    assert [one.name for one in answer.list_services_response.service] == sorted({*SERVED, *SERVICES})
    assert (answer.valid_host, answer.original_request.list_services) == ("here", "*")


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_not_there_is_an_answer_and_the_stream_goes_on(channel: grpc.Channel, service: str) -> None:
    wrong = [
        Request(file_containing_symbol="mmrec.v1.RecommenderService.Nothing"),
        Request(file_containing_symbol="mmrec.v1"),
        Request(file_containing_symbol=""),
        Request(file_by_filename="mmrec/v1/nothing.proto"),
        Request(all_extension_numbers_of_type="mmrec.v1.Nothing"),
        Request(file_containing_extension={"containing_type": "mmrec.v1.BehaviorEvent", "extension_number": 7}),
        Request(),
    ]
    *refusals, last = ask(channel, service, *wrong, Request(file_containing_symbol=COLLECTOR))
    codes = [answer.error_response.error_code for answer in refusals]
    assert codes == [grpc.StatusCode.NOT_FOUND.value[0]] * 6 + [grpc.StatusCode.INVALID_ARGUMENT.value[0]]
    assert [answer.original_request for answer in refusals] == wrong
    assert "mmrec.v1.RecommenderService.Nothing" in refusals[0].error_response.error_message
    assert files_of(last)[0].name == "mmrec/v1/collector.proto"


@pytest.mark.parametrize("service", SERVICES)
def test_files_are_found_by_name_and_messages_without_extensions_have_none(channel: grpc.Channel, service: str) -> None:
    names = ("google/protobuf/timestamp.proto", "mmrec/v1/behavior.proto", V1_FILE.name)
    *found, numbers = ask(
        channel,
        service,
        *(Request(file_by_filename=name) for name in names),
        Request(all_extension_numbers_of_type="mmrec.v1.BehaviorEvent"),
    )
    assert tuple(files_of(answer)[0].name for answer in found) == names
    assert numbers.all_extension_numbers_response.base_type_name == "mmrec.v1.BehaviorEvent"
    assert list(numbers.all_extension_numbers_response.extension_number) == []


def test_grpcios_own_client_builds_a_call_from_a_method_name_alone(channel: grpc.Channel) -> None:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindMethodByName("grpc.health.v1.Health.Check")
    asked, answered = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
    invoke = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answered.FromString,
    )
    assert invoke(asked(service=""), timeout=20).status == health_pb2.HealthCheckResponse.SERVING


def test_the_description_of_v1_has_the_messages_of_v1alpha_on_the_wire() -> None:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(V1_FILE)
    v1 = message_factory.GetMessageClass(pool.FindMessageTypeByName("grpc.reflection.v1.ServerReflectionRequest"))
    text = Request(host="h", file_containing_extension={"containing_type": "a.B", "extension_number": 7})
    assert v1.FromString(text.SerializeToString()).file_containing_extension.extension_number == 7
    assert "v1alpha" not in str(V1_FILE)


def test_a_service_that_is_not_linked_in_is_no_service_to_describe() -> None:
    with pytest.raises(KeyError, match=r"nobody\.Service"):
        SymbolIndex(["nobody.Service"])


def test_callers_that_are_not_admitted_learn_nothing() -> None:
    async def refuse(context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")

    async def codes() -> list[grpc.StatusCode]:
        server, found = grpc.aio.server(), []
        add_reflection(server, services=SERVED, admit=refuse)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as asking:
            for service in SERVICES:
                # It says nothing: what is written to a call that has ended fails as INTERNAL now and then.
                call = asking.stream_stream(f"/{service}/ServerReflectionInfo")()
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                found.append(caught.value.code())
        await server.stop(None)
        return found

    assert asyncio.run(codes()) == [grpc.StatusCode.PERMISSION_DENIED] * 2
