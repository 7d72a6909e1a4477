"""Releases for operators: what there is, what serves, and moving the pointer, each move an act."""

from mmrec.config import PublishSettings
from mmrec.errors import InvalidRequestError, MmrecError, NotFoundError, PreconditionError, ReleaseGateError
from mmrec.operating.acts import ActKind, Caller
from mmrec.operating.instants import stamp
from mmrec.operating.workplace import Workplace
from mmrec.publishing.release import Release, ReleaseStore, check_gates
from mmrec.v1 import admin_pb2
from mmrec.wiring import open_release_store, open_vector_store


def list_releases(
    at: Workplace, request: admin_pb2.ListReleasesRequest, caller: Caller
) -> admin_pb2.ListReleasesResponse:
    """See admin.proto."""
    releases = open_release_store(at.settings)
    refusals = releases.refusals()
    return admin_pb2.ListReleasesResponse(
        releases=[_record(releases, name, refusals.get(name, ""), at.settings.publish) for name in releases.list()],
        current_release_id=releases.current(),
        previous_release_id=releases.before(),
    )


def promote(
    at: Workplace, request: admin_pb2.PromoteReleaseRequest, caller: Caller
) -> admin_pb2.PromoteReleaseResponse:
    """See admin.proto; errors as let_serve()."""
    if not request.release_id:
        raise InvalidRequestError("release_id is empty; ListReleases names those that there are")
    releases = open_release_store(at.settings)
    before = releases.current()
    with at.acts.recorded(
        ActKind.PROMOTE_RELEASE, caller, subject=request.release_id, details={"served_before": before}
    ):
        releases.read(request.release_id)  # before Milvus is asked, which may be away
        from mmrec.publishing.publish import let_serve  # loads torch, which nothing before needs

        release = let_serve(request.release_id, releases=releases, vectors=open_vector_store(at.settings))
    return admin_pb2.PromoteReleaseResponse(
        release=_message(release, "", at.settings.publish), previous_release_id=before
    )


def go_back(
    at: Workplace, request: admin_pb2.RollBackReleaseRequest, caller: Caller
) -> admin_pb2.RollBackReleaseResponse:
    """See admin.proto.

    Raises:
        PreconditionError: another release serves than the caller expected, or than served when the call began.
        NotFoundError, StoreError: see roll_back().
    """
    releases = open_release_store(at.settings)
    current, wanted = releases.current(), request.expected_release_id
    if wanted and current != wanted:
        raise PreconditionError(f"{current or 'no release'} serves, and not {wanted}; look again before going back")
    details = {"served_before": current}
    with at.acts.recorded(ActKind.ROLL_BACK_RELEASE, caller, subject=releases.before(), details=details):
        if not releases.before():
            raise NotFoundError(f"no release served before {current or 'the first one'}; promote one by its id")
        from mmrec.publishing.publish import roll_back

        release = roll_back(releases=releases, vectors=open_vector_store(at.settings), expected=current)
    return admin_pb2.RollBackReleaseResponse(
        release=_message(release, "", at.settings.publish), previous_release_id=current
    )


def _record(releases: ReleaseStore, name: str, refusal: str, gates: PublishSettings) -> admin_pb2.ReleaseRecord:
    try:
        return _message(releases.read(name), refusal, gates)
    except MmrecError as error:
        return admin_pb2.ReleaseRecord(release_id=name, refusal=refusal, problem=str(error))


def _message(release: Release, refusal: str, gates: PublishSettings) -> admin_pb2.ReleaseRecord:
    return admin_pb2.ReleaseRecord(
        release_id=release.release_id,
        create_time=stamp(release.created_s),
        collection=release.collection,
        num_items=release.num_items,
        embedding_dim=release.embedding_dim,
        metrics=release.metrics,
        encoders=release.encoders,
        feature_fingerprint=release.feature_fingerprint,
        tower_fingerprint=release.tower_fingerprint,
        refusal=refusal,
        missed_gates=_missed(release, gates),
        behavior_weights=release.behavior_weights,
    )


def _missed(release: Release, gates: PublishSettings) -> str:
    try:
        check_gates(release.metrics, gates)
    except ReleaseGateError as error:
        return str(error)
    return ""
