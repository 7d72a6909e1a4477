"""`mmrec why` and `mmrec rank`: what people see of an answer."""

import io

from rich.console import Console

from mmrec.cli.list_report import print_list
from mmrec.cli.why_report import print_why, why_document
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
    assert why_document(answer())["outcome"] == "ITEM_OUTCOME_DONE"


def test_a_ranking_names_what_it_left_out():
    ranked = recommender_pb2.RankItemsResponse(
        items=[recommender_pb2.RecommendedItem(item_id="i1", rank=1)],
        unknown_item_ids=["x"],
        unavailable_item_ids=["y", "z"],
    )
    assert printed(print_list, ranked).rstrip().endswith("unknown: x; not available now: y, z")
