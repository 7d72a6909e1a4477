"""Publish a trained model as a release, or move the pointer between releases.

    python -m jobs.publish --config mmrec.toml --model FOLDER      vectors to Milvus, gates, promote
    python -m jobs.publish --config mmrec.toml --promote ID        use a kept release
    python -m jobs.publish --config mmrec.toml --rollback          use the previous release again
    python -m jobs.publish --config mmrec.toml --list

Prints one JSON line. Exit status 3 where a gate was missed: the previous release stays in use, and --list goes on
saying why.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.errors import ReleaseGateError
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.publishing.publish import EmbeddingsMark, let_serve, publish, roll_back
from mmrec.publishing.release import Release, ReleaseStore
from mmrec.telemetry.logs import configure_logging, get_logger
from mmrec.wiring import (
    open_content_store,
    open_feature_store,
    open_release_store,
    open_topics,
    open_vector_store,
    settings_from,
)

log = get_logger("jobs.publish")
GATE_MISSED = 3
_PORTION = 500


def main() -> int:
    """Run one command; see the module's first lines."""
    parser = shell_parser(__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--model", type=Path, help="folder of a trained model")
    action.add_argument("--promote", metavar="ID", help="release to promote")
    action.add_argument("--rollback", action="store_true", help="go back to the release before")
    action.add_argument("--list", action="store_true", help="name all releases and the current one")
    arguments = parser.parse_args()
    configure_logging()
    return exit_status(log, "publish", lambda: _do(arguments))


def _do(asked: argparse.Namespace) -> int:
    settings = settings_from(asked.config)
    releases = open_release_store(settings)
    if asked.list:
        return _print(
            {
                "current": releases.current(),
                "releases": releases.list(),
                "warm_from": releases.warm(),
                "refused": releases.refusals(),
            }
        )
    try:
        if asked.model is not None:
            return _print(_figures(publish_model(settings, releases, asked.model)))
        vectors = open_vector_store(settings)
        if asked.rollback:
            return _print(_figures(roll_back(releases=releases, vectors=vectors)))
        return _print(_figures(let_serve(asked.promote, releases=releases, vectors=vectors)))
    except ReleaseGateError as error:
        log.error("release_gate_missed", error=str(error))
        return GATE_MISSED


def publish_model(settings: Settings, releases: ReleaseStore, model_folder: Path) -> Release:
    """Let a model serve; errors as mmrec.publishing.publish.publish()."""
    topics, features = open_topics(settings), open_feature_store(settings)
    topic = topics.describe(settings.kafka.item_embeddings)
    # Read before the content is read: replicas replay what arrives in between, twice at worst.
    mark = EmbeddingsMark(
        topic=f"{topic.cluster_id}/{topic.topic_id}", offsets=topics.ends(settings.kafka.item_embeddings)
    )
    content = open_content_store(settings).load_matrix()
    entries = {}
    for start in range(0, len(content.item_ids), _PORTION):
        entries.update(features.read_item_content(content.item_ids[start : start + _PORTION]))
    release = publish(
        model_folder,
        content=content,
        entries=entries,
        mark=mark,
        settings=settings,
        feature_fingerprint=features.fingerprint,
        vectors=open_vector_store(settings),
        releases=releases,
        now_s=SystemClock().now_s(),
    )
    log.info("release_promoted", release_id=release.release_id, num_items=release.num_items, metrics=release.metrics)
    return release


def _figures(release: Release) -> dict[str, Any]:
    return {
        "release_id": release.release_id,
        "collection": release.collection,
        "num_items": release.num_items,
        "metrics": dict(release.metrics),
    }


def _print(figures: dict[str, Any]) -> int:
    print(json.dumps(figures), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
