"""The state of a deployment as a message, and back: what the API sends is what `mmrec status` prints."""

from mmrec.operating.instants import seconds_of, stamp
from mmrec.operating.observed import Lag
from mmrec.operating.running import ProgramState
from mmrec.operating.standing import Standing
from mmrec.v1 import admin_pb2


def standing_message(standing: Standing) -> admin_pb2.GetStandingResponse:
    """All of it."""
    return admin_pb2.GetStandingResponse(
        as_of_time=stamp(standing.as_of_s),
        home=standing.home,
        pid=standing.pid,
        start_time=stamp(standing.started_s),
        programs=[
            admin_pb2.ProgramState(
                name=program.name,
                state=program.state,
                pid=program.pid,
                restarts=program.restarts,
                since_time=stamp(program.since_s),
                port=program.port,
            )
            for program in standing.programs
        ],
        events=standing.events,
        rejected=standing.rejected,
        catalogue_rejected=standing.catalogue_rejected,
        collector=standing.collector,
        figures=[_figure(name, value) for name, value in standing.figures.items()],
        rates=standing.rates,
        stale=standing.stale,
        lags=[
            admin_pb2.PartitionLag(
                topic=lag.topic, partition=lag.partition, num_records=lag.num_records, lag_s=lag.lag_s
            )
            for lag in standing.lags
        ],
    )


def standing_of(message: admin_pb2.GetStandingResponse) -> Standing:
    """What standing_message() was given."""
    figures = {each.name: getattr(each, kind) for each in message.figures if (kind := each.WhichOneof("value"))}
    return Standing(
        as_of_s=seconds_of(message.as_of_time),
        home=message.home,
        pid=message.pid,
        started_s=seconds_of(message.start_time),
        programs=tuple(
            ProgramState(
                name=each.name,
                state=each.state,
                pid=each.pid,
                restarts=each.restarts,
                since_s=seconds_of(each.since_time),
                port=each.port,
            )
            for each in message.programs
        ),
        events=dict(message.events),
        rejected=dict(message.rejected),
        catalogue_rejected=dict(message.catalogue_rejected),
        collector=dict(message.collector),
        figures=figures,
        rates=dict(message.rates),
        stale=tuple(message.stale),
        lags=tuple(
            Lag(topic=each.topic, partition=each.partition, num_records=each.num_records, lag_s=each.lag_s)
            for each in message.lags
        ),
    )


def _figure(name: str, value: str | int | float | bool | None) -> admin_pb2.Figure:
    match value:
        case bool():
            return admin_pb2.Figure(name=name, flag=value)
        case int():
            return admin_pb2.Figure(name=name, whole=value)
        case float():
            return admin_pb2.Figure(name=name, number=value)
        case _:
            return admin_pb2.Figure(name=name, text=str(value))
