"""`mmrec why` and `mmrec rank`: what people see of an answer."""

import io

import pyarrow as pa
from rich.console import Console

from mmrec.cli.list_report import list_document, print_list
from mmrec.cli.why_report import print_served, print_why
from mmrec.events.columns import RAW_SCHEMA
from mmrec.events.served import decode_served, find_served
from mmrec.serving.messages import served_list_record
from mmrec.v1 import recommender_pb2


def printed(show, answer, **options) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(answer, console, **options)
    return console.file.getvalue()


def answer() -> recommender_pb2.ExplainItemResponse:
    return recommender_pb2.ExplainItemResponse(
        release_id="r1",
        item=recommender_pb2.RecommendedItem(item_id="i1", title="[bold]Scarf", ranking_score=-1.5),
        outcome=recommender_pb2.ITEM_OUTCOME_DONE,
        text='You bought "Scarf"; that takes it off the lists.',
        place=3,
        sources=[
            recommender_pb2.SourceStanding(source="own", rank=1, score=9.0, gain=0.05),
            recommender_pb2.SourceStanding(source="popular"),
        ],
        features={"own_touched": 1.0, "item_trend": 0.2, "price_known": 1.0},
        contributions={"own_touched": 1.25, "item_trend": -0.5, "price_known": 0.125},
        candidates_score=-2.375,
        last_score=-2.0,
    )


def test_the_first_line_says_what_became_of_the_item_and_markup_in_titles_is_text():
    first = printed(print_why, answer(), num_features=8).splitlines()[0]
    assert first == 'i1 [bold]Scarf: done, place 3. You bought "Scarf"; that takes it off the lists.'


def test_the_features_that_moved_it_most_come_first_and_the_rest_is_summed():
    lines = printed(print_why, answer(), num_features=1).splitlines()
    cells = [line for line in lines if "own_touched" in line or "others" in line or "item_trend" in line]
    assert "+1.2500" in cells[0]
    assert ("2 others" in cells[1]) and ("-0.3750" in cells[1])
    assert len(cells) == 2


def test_a_source_that_does_not_propose_it_has_no_place():
    lines = printed(print_why, answer(), num_features=1).splitlines()
    assert next(line for line in lines if "popular" in line).split("│")[2].strip() == "-"


def test_the_document_is_the_whole_answer():
    assert list_document(answer())["outcome"] == "ITEM_OUTCOME_DONE"


def test_a_ranking_names_what_it_left_out():
    ranked = recommender_pb2.RankItemsResponse(
        items=[recommender_pb2.RecommendedItem(item_id="i1", rank=1)],
        unknown_item_ids=["x"],
        unavailable_item_ids=["y", "z"],
    )
    assert printed(print_list, ranked).rstrip().endswith("unknown: x; not available now: y, z")


def served(request_id: str, *item_ids: str) -> pa.Table:
    """A list as it comes to the log by way of its topic."""
    items = [
        recommender_pb2.RecommendedItem(
            item_id=item_id, rank=rank, ranking_score=1.0 / rank, sources=["own", "popular"]
        )
        for rank, item_id in enumerate(item_ids, 1)
    ]
    response = recommender_pb2.RecommendItemsResponse(request_id=request_id, release_id="r1", items=items)
    response.state.degraded_reasons.append("sources_skipped")
    request = recommender_pb2.RecommendItemsRequest(user_id="ann", placement="[home]")
    key, value = served_list_record(request, response, serve_s=1_769_860_800.0)
    row = {"key": key, "value": value, "partition": 0, "offset": 0, "ingest_time_s": 1_769_860_801.0}
    raw = pa.table({name: [row.get(name)] for name in RAW_SCHEMA.names}, schema=RAW_SCHEMA)
    return decode_served(raw, cluster_id="c", topic_id="t")[0]


def test_a_list_as_it_was_served_is_found_by_its_request_and_shown():
    tables = [served("first", "i1", "i2"), served("second", "i3")]
    found = find_served(tables, "first")
    assert find_served(tables, "third") is None
    lines = printed(print_served, found)
    assert [line.split("│")[2].strip() for line in lines.splitlines() if "own, popular" in line] == ["i1", "i2"]
    assert "for ann; at 2026-01-31T12:00:00Z; release r1; placement [home]; degraded: sources_skipped" in lines
