"""The recipes for a recall source and for a behavior, followed in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mmrec

ROOT = Path(mmrec.__file__).resolve().parents[1]

SOURCE_FILE = '''"""Items published last, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec.recall.context import RecallContext
from mmrec.recall.source import PlainReason, Proposals, best


@dataclass(frozen=True)
class NewestItems:
    """See RecallSource."""

    name: str = "newest"
    weight: float = 5.0
    needs_model: bool = False
    finds_similar: bool = False

    def propose(self, context: RecallContext, *, num_candidates: int) -> Proposals:
        """Allowed items by publish time."""
        rows = np.flatnonzero(context.allowed_I)
        return best(rows, context.catalogue.published_from_I[rows], num_candidates)

    def reasons(self, row: int, context: RecallContext) -> Sequence[PlainReason]:
        """That it came last."""
        return [PlainReason(sentence="It has just come in.", precedence=5)]
'''
IMPORT_LINE = "from mmrec.recall.sources.newest_items import NewestItems\n"
REGISTRY_LINE = "    NewestItems(),\n"

BEHAVIOR_TABLE = """
[[behaviors]]
name = "rent"
behavior_id = 9
weight = 8.0
phrase = "rented {}"
hides = true
"""

ASKED_OF_THE_SOURCE = """
from mmrec.config import Settings
from mmrec.recall.sources.registry import FINDING_SIMILAR, SOURCES
from mmrec.serving.explain import explain
from mmrec.serving.recommend import ListRequest, recommend
from tests.serving_world import no_deadline, serving_world
from tests.unit.test_examples_match_serving import built_world

world = serving_world(num_users=20, num_items=40, days=3.0)
state = world.state(with_model=False)
request = ListRequest(user_key="never seen", as_of_s=world.end_s, num_items=40)
found = recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())
first = int(found.rows_K[0])
sources = found.candidates.sources_of(first)
assert "newest" in sources, sources
published = state.catalogue.published_from_I
assert published[first] == published[state.catalogue.showable(world.end_s)].max()
texts = {explain(row, found, found.candidates.sources_of(row)).text for row in found.rows_K.tolist()}
assert "It has just come in." in texts, texts
assert SOURCES[-1].name == "newest" and not SOURCES[-1].needs_model
assert "newest" not in [source.name for source in FINDING_SIMILAR]
examples = built_world().built
assert len(examples.ranking)
"""

ASKED_OF_THE_BEHAVIOR = """
import sys
from pathlib import Path

from mmrec.config import load_settings
from mmrec.serving.explain import explain
from mmrec.serving.recommend import ListRequest, SessionEvent, recommend
from tests.serving_world import PlainModel, no_deadline, serving_world

settings = load_settings(Path(sys.argv[1]))
world = serving_world(num_users=20, num_items=40, days=3.0)
state = world.state(scoring=settings.scoring, model=None)
titled = [entry for entry in world.entries if entry.title][:2]


def asked(behavior):
    events = tuple(SessionEvent(item_id=entry.item_id, behavior=behavior) for entry in titled)
    request = ListRequest(user_key="", as_of_s=world.end_s, num_items=40, session_events=events)
    return recommend(request, state=state, read_profile=world.read_profile, deadline=no_deadline())


def listed(found):
    return {found.context.catalogue.item_ids[row] for row in found.rows_K.tolist()}


rented, browsed = asked("rent"), asked("browse")
assert {entry.item_id for entry in titled} <= listed(browsed)
assert not {entry.item_id for entry in titled} & listed(rented)
assert rented.context.affinity_J.tolist() == [8.0, 8.0]
texts = [explain(row, rented, rented.candidates.sources_of(row)).text for row in rented.candidates.rows_N.tolist()]
assert any(text.startswith(f'You rented "{entry.title}" just now') for text in texts for entry in titled), texts
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of what a contributor has checked out."""
    for room in ("mmrec", "tests"):
        left_out = shutil.ignore_patterns("__pycache__", "results", "integration", "e2e", "benchmarks")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=left_out)
    return tmp_path


def ask(package: Path, questions: str, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, "-W", "ignore", "-c", questions, *arguments]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_recall_source_is_one_file_and_one_line_in_the_registry(package: Path) -> None:
    sources = package / "mmrec" / "recall" / "sources"
    (sources / "newest_items.py").write_text(SOURCE_FILE)
    registry = sources / "registry.py"
    text = registry.read_text()
    begin = text.index("from mmrec.recall.sources.own_items")
    text = text[:begin] + IMPORT_LINE + text[begin:]
    last = "    SimilarItems(),\n"
    assert text.count(last) == 1
    registry.write_text(text.replace(last, last + REGISTRY_LINE))
    ask(package, ASKED_OF_THE_SOURCE)


def test_a_behavior_is_one_table_in_the_configuration(package: Path) -> None:
    configuration = package / "mmrec.toml"
    browse = '[[behaviors]]\nname = "browse"\nbehavior_id = 1\nweight = 1.0\n'
    configuration.write_text(browse + BEHAVIOR_TABLE)
    ask(package, ASKED_OF_THE_BEHAVIOR, str(configuration))
