"""The administrative API without its wire: every method of mmrec.v1.AdminService, by name, on one deployment.

    desk = Desk(workplace(settings))
    desk.ask("ListReleases", ListReleasesRequest(), caller)                 one message
    for message in desk.run("Rebuild", RebuildRequest(), caller): ...       long work: progress, then the result

The service and the command line both ask here, so what the one can do, the other can.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from mmrec.errors import InvalidRequestError
from mmrec.home import StackHome
from mmrec.operating.acts import MAX_READ, ActFilter, ActKind, Caller, read_acts
from mmrec.operating.configuration import configured_values
from mmrec.operating.engine_health import engine_health
from mmrec.operating.instants import seconds_of, stamp
from mmrec.operating.item_answers import change_item, get_item, get_picture, list_items
from mmrec.operating.long_work import Told
from mmrec.operating.observed import observe
from mmrec.operating.rejected_answers import count_rejected, list_rejected, send_again
from mmrec.operating.releases import go_back, list_releases, promote
from mmrec.operating.running import running_stack
from mmrec.operating.standing import read_standing
from mmrec.operating.standing_message import standing_message
from mmrec.operating.state_work import audit_scores, back_up, rebuild_profiles
from mmrec.operating.user_answers import export_user, forget, get_profile
from mmrec.operating.workplace import Workplace
from mmrec.v1 import admin_pb2
from mmrec.wiring import open_release_store, open_topics

MAX_INTERVAL_S: Final = 10.0
_USUAL_ACTS: Final = 50
Answer = Callable[[Workplace, Any, Caller], Any]
LongAnswer = Callable[[Workplace, Any, Caller, Told], Iterable[Any]]


def get_standing(at: Workplace, request: admin_pb2.GetStandingRequest, caller: Caller) -> admin_pb2.GetStandingResponse:
    """See admin.proto."""
    if not 0 <= request.interval_s <= MAX_INTERVAL_S:
        raise InvalidRequestError(f"interval_s is {request.interval_s}; give 0 to {MAX_INTERVAL_S:g}")
    home, settings = StackHome.from_environment(), at.settings
    is_here = settings.config_file == str(home.config)
    record = running_stack(home) if is_here else None
    standing = read_standing(
        settings,
        now_s=at.clock.now_s(),
        record=record,
        home=str(home.folder) if record else "",
        release_id=open_release_store(settings).current(),
        observed=observe(settings.metrics, interval_s=request.interval_s, sleep=time.sleep),
    )
    return standing_message(standing)


def check_engines(
    at: Workplace, request: admin_pb2.CheckEnginesRequest, caller: Caller
) -> admin_pb2.CheckEnginesResponse:
    """See admin.proto."""
    return admin_pb2.CheckEnginesResponse(as_of_time=stamp(at.clock.now_s()), engines=engine_health(at))


def get_configuration(
    at: Workplace, request: admin_pb2.GetConfigurationRequest, caller: Caller
) -> admin_pb2.GetConfigurationResponse:
    """See admin.proto."""
    return admin_pb2.GetConfigurationResponse(
        file=at.settings.config_file, values=configured_values(at.settings, os.environ), version=own_version()
    )


def list_acts(at: Workplace, request: admin_pb2.ListActsRequest, caller: Caller) -> admin_pb2.ListActsResponse:
    """See admin.proto."""
    known = [kind.value for kind in ActKind]
    if request.kind and request.kind not in known:
        raise InvalidRequestError(f"kind is {request.kind[:100]!r}; there are {', '.join(known)}")
    if not 0 <= request.num_acts <= MAX_READ:
        raise InvalidRequestError(f"num_acts is {request.num_acts}; give 1 to {MAX_READ}")
    wanted = ActFilter(
        kind=request.kind,
        who=request.who,
        since_s=seconds_of(request.since_time),
        num_acts=request.num_acts or _USUAL_ACTS,
    )
    found = read_acts(open_topics(at.settings).read(at.settings.kafka.administrative_acts), wanted)
    return admin_pb2.ListActsResponse(acts=found.acts, num_unreadable=found.num_unreadable)


def own_version() -> str:
    """Version of this installation; "from a clone" where it was not installed."""
    try:
        return version("mmrec")
    except PackageNotFoundError:
        return "from a clone"


SERVICE_VIEW: Final = "admin_catalogue.sqlite"
"""Name of the file that the service keeps the catalogue in, beside the status files."""
ANSWERS: Final[Mapping[str, Answer]] = {
    "GetStanding": get_standing,
    "CheckEngines": check_engines,
    "GetConfiguration": get_configuration,
    "ListReleases": list_releases,
    "PromoteRelease": promote,
    "RollBackRelease": go_back,
    "CountRejected": count_rejected,
    "ListRejected": list_rejected,
    "GetProfile": get_profile,
    "ListItems": list_items,
    "GetItem": get_item,
    "GetPicture": get_picture,
    "ChangeItem": change_item,
    "ListActs": list_acts,
}
LONG_ANSWERS: Final[Mapping[str, tuple[LongAnswer, Callable[..., Any] | None]]] = {
    "ResubmitRejected": (send_again, admin_pb2.ResubmitRejectedResponse),
    "ExportUser": (export_user, None),
    "ForgetUser": (forget, admin_pb2.AdminServiceForgetUserResponse),
    "Rebuild": (rebuild_profiles, admin_pb2.RebuildResponse),
    "AuditScores": (audit_scores, admin_pb2.AuditScoresResponse),
    "BackUp": (back_up, admin_pb2.BackUpResponse),
}
"""Long work, and the message that its progress is told in; None where it has none."""
_SIDE_BY_SIDE: Final = frozenset({"ExportUser", "ForgetUser"})
"""Work on one user: another user's may go on meanwhile."""


class Desk:
    """Answers every method of AdminService."""

    def __init__(self, at: Workplace) -> None:
        """Nothing is opened."""
        self.at = at

    def ask(self, method: str, request: Any, caller: Caller) -> Any:
        """The one answer of a method; errors as its function says."""
        return ANSWERS[method](self.at, request, caller)

    def run(self, method: str, request: Any, caller: Caller) -> Iterator[Any]:
        """Messages of a method that does long work, and None at pauses that have nothing to tell."""
        answer, response = LONG_ANSWERS[method]
        kind = f"{method} {request.user_key}" if method in _SIDE_BY_SIDE else method
        return self.at.work.run(
            kind,
            lambda told: answer(self.at, request, caller, told),
            progress=None if response is None else lambda done: response(progress=done),
        )
