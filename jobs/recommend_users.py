"""Make the lists of many users, as for a campaign, and write them to a folder of Parquet files.

    python -m jobs.recommend_users --config mmrec.toml --out lists                      every user with a profile
    python -m jobs.recommend_users --config mmrec.toml --out lists --users users.txt    these, one a line
    python -m jobs.recommend_users --out lists --num-items 10 --filter '{"domain": "beauty", "price_max": 50}'

Lists are those that RecommendItems would give, of one state of the catalogue. Each worker loads the release and makes
parts of 2,000 users; a run that was ended goes on where it stopped when it is started again with the same arguments.
The files are described in mmrec/serving/user_lists.py.
"""

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from mmrec.clock import SystemClock
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.programs.one_thread import ONE_THREAD
from mmrec.programs.shell import exit_status, shell_parser
from mmrec.serving.filters import item_filter
from mmrec.serving.fresh_profile import read_fresh_profiles
from mmrec.serving.still_state import still_state
from mmrec.serving.user_lists import ListsFolder, ListsPlan, make_lists
from mmrec.telemetry.logs import StatusFile, configure_logging, get_logger
from mmrec.v1 import recommender_pb2
from mmrec.wire.declared import AtLeastOne, argument
from mmrec.wiring import open_feature_store, open_overlay, open_release_store, open_vector_store, settings_from

log = get_logger("jobs.recommend_users")
PROCESS = "recommend_users"


class Parts:
    """Makes parts; each worker has one."""

    def __init__(self, config: str, folder: str) -> None:
        settings = settings_from(config)
        self._folder, features = ListsFolder(Path(folder)), open_feature_store(settings)
        plan = self._folder.plan()
        assert plan is not None, "the job writes the plan before it starts workers"
        self._plan = plan
        self._state = still_state(
            settings,
            features=features,
            releases=open_release_store(settings),
            open_vectors=lambda: open_vector_store(settings),
            release_id=plan.release_id,
        )
        self._filter = item_filter(_filter(plan.filter))
        self._read_many = partial(
            read_fresh_profiles,
            overlay=open_overlay(settings),
            read_profiles=features.read_profiles,
            config=self._state.scoring,
        )

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Make the parts of a batch; how many lists and seconds each took."""
        num_lists, seconds = [], []
        for part in rows["part"]:
            began_s, users = time.monotonic(), self._folder.users(int(part))
            lists = make_lists(
                users, self._plan, state=self._state, read_many=self._read_many, item_filter=self._filter
            )
            self._folder.write(int(part), lists)
            num_lists.append(lists.num_rows)
            seconds.append(time.monotonic() - began_s)
        return {"part": rows["part"], "num_lists": num_lists, "seconds": seconds}


def run(asked: Namespace, settings: Settings) -> dict[str, Any]:
    """Make what is missing; the figures of this run."""
    clock, folder = SystemClock(), ListsFolder(asked.out)
    status = StatusFile(settings.stores.status, PROCESS)
    plan = folder.begin(
        ListsPlan(
            release_id=open_release_store(settings).current(),
            as_of_s=clock.now_s(),
            num_items=asked.num_items,
            filter=_canonical(asked.filter),
        ),
        _users(asked, settings, is_begun=folder.plan() is not None),
    )
    missing, began_s = folder.missing(), time.monotonic()
    num_before = plan.num_users - sum(plan.num_users_of(part) for part in missing)
    figures: dict[str, Any] = {"num_users": plan.num_users, "num_lists": num_before, "num_new": 0, "per_s": 0.0}
    work_s = 0.0
    with _ray(asked.num_workers):
        for made in _made(missing, asked, settings):
            num_new = figures["num_new"] + int(made["num_lists"])
            per_s = round(num_new / (time.monotonic() - began_s), 1)
            work_s += float(made["seconds"])
            figures |= {"num_lists": num_before + num_new, "num_new": num_new, "per_s": per_s}
            figures["per_worker_s"] = round(num_new / work_s, 1)
            log.info("lists_written", part=int(made["part"]), **figures)
            status.write({"ready": False, **figures}, now_s=clock.now_s())
    return {**figures, "release_id": plan.release_id, "seconds": round(time.monotonic() - began_s, 3)}


def _made(missing: list[int], asked: Namespace, settings: Settings) -> Iterator[dict[str, Any]]:
    """Figures of each part as it is made."""
    import ray

    if not missing:
        return
    parts = ray.data.from_items([{"part": part} for part in missing], override_num_blocks=len(missing))
    made = parts.map_batches(
        Parts,
        fn_constructor_args=(str(settings.config_file or asked.config or ""), str(asked.out.resolve())),
        batch_size=1,
        concurrency=min(asked.num_workers, len(missing)),
        num_cpus=1,
    )
    yield from made.iter_rows()


@contextmanager
def _ray(num_workers: int) -> Iterator[None]:
    """A cluster named by RAY_ADDRESS is used as it is; otherwise one of our own, for as long as the job."""
    import ray

    own = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False, "num_cpus": num_workers}
    ray.init(log_to_driver=False, runtime_env={"env_vars": dict(ONE_THREAD)}, **own)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def _users(asked: Namespace, settings: Settings, *, is_begun: bool) -> Iterator[str] | None:
    """The users that are named, else all with a profile but guests; None where a folder that was begun has them."""
    if asked.users is not None:
        return (name for line in asked.users.read_text(encoding="utf-8").splitlines() if (name := line.strip()))
    if is_begun:
        return None
    return (key for key in open_feature_store(settings).user_keys() if not key.startswith(ANONYMOUS_PREFIX))


def _filter(text: str) -> recommender_pb2.AttributeFilter:
    message = recommender_pb2.AttributeFilter()
    try:
        json_format.Parse(text or "{}", message)
    except json_format.ParseError as error:
        raise InvalidRequestError(f"--filter is no AttributeFilter in JSON: {error}") from None
    return message


def _canonical(text: str) -> str:
    """The filter as the plan keeps it, once it is known to be one."""
    message = _filter(text)
    item_filter(message)
    return json.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True), sort_keys=True)


def main() -> int:
    """Run the job; see the module's first lines."""
    parser = shell_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the lists")
    parser.add_argument("--users", type=Path, help="file of user ids, one a line; anonymous ids with ~ in front")
    parser.add_argument("--num-items", type=argument(AtLeastOne), default=20, help="length of each list, 200 at most")
    parser.add_argument("--filter", default="", help="mmrec.v1.AttributeFilter as JSON")
    parser.add_argument("--num-workers", type=argument(AtLeastOne), default=os.cpu_count() or 1, help="processes")
    asked = parser.parse_args()
    configure_logging()

    def make() -> None:
        sys.stdout.write(json.dumps(run(asked, settings_from(asked.config))) + "\n")

    return exit_status(log, PROCESS, make)


if __name__ == "__main__":
    sys.exit(main())
