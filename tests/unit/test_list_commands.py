"""Commands that ask for lists, against a recommender that answers from a simulated world over gRPC."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from mmrec.cli.list_commands import batch, recommend, similar, why
from mmrec.client import RecommenderClient
from mmrec.config import EventSettings
from mmrec.connections.statuses import code_of, details_of
from mmrec.errors import InvalidRequestError
from mmrec.serving.batch_answer import batch_answers
from mmrec.serving.messages import list_request, list_response
from mmrec.serving.recommend import recommend as recommend_list
from mmrec.serving.similar_answer import similar_answer
from mmrec.v1 import recommender_pb2_grpc
from tests.serving_world import ServingWorld, no_deadline, serving_world


class Answers(recommender_pb2_grpc.RecommenderServiceServicer):
    """The service over one state, without an engine behind it."""

    def __init__(self, world: ServingWorld) -> None:
        self.world, self.state = world, world.state()
        self._asked = {"state": self.state, "read_profile": world.read_profile, "deadline": no_deadline()}

    def RecommendItems(self, message, context):
        request = list_request(message, now_s=self.world.end_s, bounds=EventSettings())
        found = recommend_list(request, **self._asked)
        named = {"request_id": "r", "release_id": "planted", "stream_ingest_time_s": self.world.end_s}
        return list_response(message, request, found, **named)

    def RecommendBatch(self, message, context):
        try:
            yield from batch_answers(message, now_s=self.world.end_s, **self._asked)
        except InvalidRequestError as error:
            context.abort(code_of(error), details_of(error))

    def SimilarItems(self, message, context):
        return similar_answer(
            message,
            now_s=self.world.end_s,
            bounds=EventSettings(),
            read_neighbors=self.world.store.read_neighbors,
            substitutes_share="category",
            **self._asked,
        )


@pytest.fixture(scope="module")
def answers() -> Answers:
    return Answers(serving_world(num_users=40, num_items=100, days=8.0))


@pytest.fixture(scope="module")
def target(answers: Answers) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(answers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_batch_writes_one_list_a_line_in_the_order_of_the_file(answers, target, tmp_path, capsys):
    users = [*answers.world.user_ids[:20], "never seen"]
    file = tmp_path / "users.txt"
    file.write_text("\n".join(users) + "\n\n", encoding="utf-8")
    batch(file, num_items=3, where=["price<=80"], placement="letter", target=target)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["user"]["user_id"] for line in lines] == users
    assert all(len(line["list"]["items"]) == 3 for line in lines)
    assert all(item["price"] <= 80 for line in lines for item in line["list"]["items"])


def test_the_client_streams_lists_and_ends_the_work_where_nobody_reads_on(answers, target):
    with RecommenderClient(target) as client:
        coming = client.recommend_many(list(answers.world.user_ids), num_items=2)
        assert next(coming).user.user_id == answers.world.user_ids[0]
        coming.close()
        assert len(list(client.recommend_many(["ann", "bob"]))) == 2
        with pytest.raises(InvalidRequestError, match="0 users"):
            list(client.recommend_many([]))


def test_filters_and_contexts_of_a_command_line_reach_the_list(answers, target, capsys):
    color = answers.world.entries[0].attributes["color"]
    recommend("ann", where=[f"color!={color}"], context=["country=SE"], num_items=20, target=target, as_json=True)
    listed = json.loads(capsys.readouterr().out)["items"]
    assert len(listed) == 20
    assert color not in {item["attributes"]["color"] for item in listed}


def test_similar_lists_what_is_like_an_item_and_what_goes_with_it(answers, target, capsys):
    item = next(entry for entry in answers.world.entries if entry.availability.can_be_shown)
    similar(item.item_id, user=answers.world.user_ids[0], num_items=5, target=target, as_json=True)
    assert len(json.loads(capsys.readouterr().out)["items"]) == 5
    similar(item.item_id, goes_with=True, num_items=5, target=target, as_json=True)
    listed = json.loads(capsys.readouterr().out).get("items", [])
    assert item.attributes["category"] not in {each["attributes"]["category"] for each in listed}


def test_what_cannot_be_asked_says_what_would_be_right(target, tmp_path):
    with pytest.raises(InvalidRequestError, match="give a file of user ids"):
        batch(tmp_path / "absent.txt", target=target)
    with pytest.raises(InvalidRequestError, match="give a user id and an item id, or --request-id"):
        why("ann")
