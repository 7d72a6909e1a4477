"""Lists of any number of users in a folder of Parquet files, made in parts and gone on with after an end of any kind.

    lists/plan.json             what is asked for, of which release and as of when: the same for all parts
    lists/users.parquet         the users, by part
    lists/part-00000.parquet    LISTS_SCHEMA, one row per user in their order

A part is written in one step, so a run that was ended leaves whole parts, and the next one makes those that are
missing. Users' profiles are read as they are then. Axis: K items of a list.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mmrec.disk.files import replace_file, replacing
from mmrec.errors import InvalidRequestError, PreconditionError
from mmrec.events.columns import ANONYMOUS_PREFIX
from mmrec.recall.item_filter import ItemFilter
from mmrec.serving.fresh_profile import FreshProfile
from mmrec.serving.many import TOGETHER, recommend_many
from mmrec.serving.recommend import MAX_ITEMS, ListRequest, ReplicaState
from mmrec.wire.ids import first_id_problem
from mmrec.wire.portions import portions

PART_USERS: Final = 2_000
"""Users of one part: some seconds' work."""
LISTS_SCHEMA: Final = pa.schema(
    [
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("item_ids", pa.list_(pa.string()), nullable=False),
        pa.field("ranking_scores", pa.list_(pa.float64()), nullable=False),
        pa.field("sources", pa.list_(pa.list_(pa.string())), nullable=False),
        pa.field("degraded", pa.list_(pa.string()), nullable=False),
        pa.field("release_id", pa.string(), nullable=False),
        pa.field("as_of_s", pa.float64(), nullable=False),
    ]
)
"""One row per list: items best first, each with its score and the recall sources that proposed it, strongest first."""
ReadMany = Callable[[list[str]], Mapping[str, FreshProfile]]


@dataclass(frozen=True, kw_only=True)
class ListsPlan:
    """What all lists of a folder have in common."""

    release_id: str
    as_of_s: float
    num_items: int
    filter: str = ""
    """Proto3 JSON of mmrec.v1.AttributeFilter; empty for none."""
    part_users: int = PART_USERS
    num_users: int = 0
    users_digest: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.num_items <= MAX_ITEMS:
            raise InvalidRequestError(f"num_items is {self.num_items}; give 1 to {MAX_ITEMS}")

    @property
    def num_parts(self) -> int:
        """Parts of all users."""
        return -(-self.num_users // self.part_users)

    def num_users_of(self, part: int) -> int:
        """Users of a part; the last one may have fewer."""
        return min(self.part_users, self.num_users - part * self.part_users)


class ListsFolder:
    """One folder of lists; any number of processes may write parts of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, plan: ListsPlan, user_keys: Iterable[str] | None) -> ListsPlan:
        """Write the plan with its users, or find that the folder holds lists of the same one.

        Args:
            plan: What is asked for now; a folder that was begun keeps its instant.
            user_keys: Keys of profiles, each once; None for those that the folder has.

        Returns:
            The plan that holds.

        Raises:
            PreconditionError: the folder holds lists of something else, or there are no users.
            InvalidRequestError: a user key is not valid.
        """
        begun = self.plan()
        users = self._users(user_keys) if user_keys is not None or begun is None else None
        if users is not None:
            plan = replace(plan, num_users=users.num_rows, users_digest=_digest(users))
        if begun is not None:
            self._refuse_other(begun, plan, is_same_users=users is None)
            return begun
        assert users is not None, "a folder without a plan has no users"
        self._path.mkdir(parents=True, exist_ok=True)
        self._write(users, "users.parquet")
        replace_file(self._path / "plan.json", json.dumps(asdict(plan), indent=1))
        return plan

    def plan(self) -> ListsPlan | None:
        """The plan of a folder that was begun."""
        file = self._path / "plan.json"
        return ListsPlan(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None

    def users(self, part: int) -> list[str]:
        """The users of a part."""
        plan = self.plan()
        assert plan is not None, "begin() comes first"
        table = pq.read_table(self._path / "users.parquet", memory_map=True)
        keys: list[str] = table["user_key"].slice(part * plan.part_users, plan.part_users).to_pylist()
        return keys

    def missing(self) -> list[int]:
        """Parts that are still to be made, in order."""
        plan = self.plan()
        return [n for n in range(plan.num_parts if plan else 0) if not self._part(n).exists()]

    def write(self, part: int, lists: pa.Table) -> None:
        """Keep a part, all of it or nothing."""
        self._write(lists, self._part(part).name)

    def _part(self, part: int) -> Path:
        return self._path / f"part-{part:05d}.parquet"

    def _write(self, table: pa.Table, name: str) -> None:
        with replacing(self._path / name) as file:
            pq.write_table(table, file, compression="zstd")

    def _users(self, user_keys: Iterable[str] | None) -> pa.Table:
        keys = list(dict.fromkeys(user_keys or ()))
        if not keys:
            raise PreconditionError("there are no users to make lists for; events make profiles, or name users")
        if problem := first_id_problem("user keys", [key.removeprefix(ANONYMOUS_PREFIX) for key in keys]):
            raise InvalidRequestError(problem)
        return pa.table({"user_key": pa.array(keys, pa.string())})

    def _refuse_other(self, begun: ListsPlan, asked: ListsPlan, *, is_same_users: bool) -> None:
        same = replace(asked, as_of_s=begun.as_of_s)
        if is_same_users:
            same = replace(same, num_users=begun.num_users, users_digest=begun.users_digest)
        for name, value in asdict(same).items():
            if (kept := getattr(begun, name)) != value:
                raise PreconditionError(
                    f"{self._path} holds lists with {name} {kept!r}, not {value!r}; name another folder, or ask for "
                    "the same to go on with it"
                )


def make_lists(
    user_keys: list[str], plan: ListsPlan, *, state: ReplicaState, read_many: ReadMany, item_filter: ItemFilter
) -> pa.Table:
    """The lists of some users, LISTS_SCHEMA; those that recommend() makes of the same state."""
    request = ListRequest(
        user_key="",
        as_of_s=plan.as_of_s,
        now_s=plan.as_of_s,
        num_items=plan.num_items,
        item_filter=item_filter,
    )
    rows: list[dict[str, Any]] = []
    item_ids = state.catalogue.item_ids
    for some in portions(user_keys, TOGETHER):
        profiles = read_many(some)
        lists = recommend_many(request, some, state=state, read_profile=profiles.get)
        for user_key, ranked in zip(some, lists, strict=True):
            found = ranked.cut(plan.num_items)
            rows.append(
                {
                    "user_key": user_key,
                    "item_ids": [item_ids[row] for row in found.rows_K.tolist()],
                    "ranking_scores": found.ranking_scores_K.tolist(),
                    "sources": [list(each) for each in found.candidates.sources_of_each(found.rows_K)],
                    "degraded": [each.value for each in found.degraded],
                    "release_id": state.release_id,
                    "as_of_s": plan.as_of_s,
                }
            )
    return pa.Table.from_pylist(rows, schema=LISTS_SCHEMA)


def _digest(users: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for key in users["user_key"].to_pylist():
        digest.update(f"{key}\n".encode())
    return digest.hexdigest()
