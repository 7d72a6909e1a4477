"""Commands about the state as a whole: rebuild, scores export, audit, backup, restore."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmrec.cli.terminal import (
    AddressOption,
    ConfigOption,
    JsonOption,
    counting,
    deployment_settings,
    err,
    out,
    print_json,
    remote_desk,
)
from mmrec.config import Settings
from mmrec.errors import InvalidRequestError

if TYPE_CHECKING:
    from mmrec.disk.objects import Objects

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do it without asking")]


def rebuild(
    *,
    config: ConfigOption = "",
    back: Annotated[
        bool, typer.Option("--back", help="go to the other generation as it is, caught up, instead of filling it")
    ] = False,
    with_flip: Annotated[bool, typer.Option("--flip/--no-flip", help="let readers see it once it is whole")] = True,
    wait: Annotated[float, typer.Option(min=1.0, help="seconds a running stream may take to answer")] = 120.0,
    address: AddressOption = "",
    yes: YesOption = False,
) -> None:
    """Make all profiles again from the event log, with the configured half-lives, while the stream continues.

    Example: `mmrec rebuild`, and `mmrec rebuild --back` to return to the old profiles
    """
    from mmrec.operating.acts import ActKind
    from mmrec.operating.state_work import Wall
    from mmrec.operating.workplace import recorded_here
    from mmrec.state.rebuild_run import back as go_back
    from mmrec.state.rebuild_run import rebuild as run
    from mmrec.stream.rebuild import RebuildParts
    from mmrec.v1.admin_pb2 import RebuildRequest
    from mmrec.wiring import (
        open_event_log,
        open_forgotten_users,
        open_generations,
        take_rebuild_lock,
        take_writer_right,
    )

    what = "bring the other generation up to date" if back else "fill the other generation from the log"
    confirm(f"{what}{' and show it to readers' if with_flip or back else ''}?", yes=yes)
    if address:
        request = RebuildRequest(back=back, without_flip=not (with_flip or back), wait_s=wait)
        answer = asked_for(config, address, "Rebuild", request, "rows of the log")
        _tell_rebuilt(answer.generation, answer.num_rows, answer.work_s, answer.flipped_by)
        return
    settings = deployment_settings(config)
    details = {"back": str(back).lower(), "flip": str(with_flip or back).lower()}
    with recorded_here(settings, ActKind.REBUILD, details=details, told=err.print), counting("rows of the log") as told:
        parts = RebuildParts(
            store=open_generations(settings),
            log=open_event_log(settings),
            forgotten=open_forgotten_users(settings),
            config=settings.scoring,
            told=told,
        )
        with take_rebuild_lock(settings):
            if back:
                done = go_back(parts, take_lock=lambda: take_writer_right(settings), waiting=Wall(), wait_s=wait)
            else:
                done = run(
                    parts,
                    take_lock=lambda: take_writer_right(settings),
                    waiting=Wall(),
                    with_flip=with_flip,
                    wait_s=wait,
                )
    _tell_rebuilt(done.generation, done.num_rows, done.seconds, done.flipped_by)


def _tell_rebuilt(generation: str, num_rows: int, work_s: float, flipped_by: str) -> None:
    rate = num_rows / work_s if work_s else 0.0
    live = f"live, flipped by {flipped_by}" if flipped_by else "filled; `mmrec rebuild --back` makes it live"
    out.print(
        f"generation {generation}: {num_rows:,} rows of the log in {work_s:.1f} s ({rate:,.0f}/s); {live}",
        highlight=False,
        markup=False,
    )


def scores_export(
    file: Annotated[Path, typer.Option("--out", "-o", help="scores.npz (CSR) or scores.parquet (a row per pair)")],
    as_of: Annotated[str, typer.Option("--as-of", help="RFC 3339; now where absent")] = "",
    config: ConfigOption = "",
) -> None:
    """Write the scoring matrix, users x items, as it was known at an instant, from the event log.

    Example: `mmrec scores export --as-of 2026-01-31T12:00:00Z --out scores.npz`
    """
    from mmrec.state.score_matrix import score_matrix
    from mmrec.state.score_matrix_files import write_scores
    from mmrec.wire.instants import parse_time
    from mmrec.wiring import open_event_log, open_forgotten_users

    settings = deployment_settings(config)
    as_of_s = parse_time(as_of) if as_of else time.time()
    if as_of_s is None:
        raise InvalidRequestError(f"--as-of is {as_of!r}; give RFC 3339, such as 2026-01-31T12:00:00Z")
    began_s = time.monotonic()
    with counting("rows of the log") as told:
        parts = score_matrix(
            open_event_log(settings),
            as_of_s=as_of_s,
            forgotten=open_forgotten_users(settings),
            config=settings.scoring,
            told=told,
        )
        written = write_scores(parts, file, as_of_s=as_of_s)
    _say(
        f"{written.num_scores:,} scores of {written.num_users:,} users and {written.num_items:,} items to {file}",
        began_s,
    )


def audit(
    config: ConfigOption = "",
    num_sample: Annotated[int, typer.Option("--sample", min=1, help="profiles, and items, to compare")] = 200,
    seed: Annotated[int, typer.Option(help="the same seed takes the same sample of the same keys")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Compare live profiles and item statistics with the plain sum over the event log; status 1 where they differ.

    Example: `mmrec audit --sample 1000`
    """
    from mmrec.cli.audit_report import audit_document, print_audit
    from mmrec.state.audit import audit_profiles, audit_statistics
    from mmrec.wiring import open_event_log, open_feature_store, open_forgotten_users

    settings = deployment_settings(config)
    store, events = open_feature_store(settings), open_event_log(settings)
    with counting("rows of the log") as told:
        profiles = audit_profiles(
            store,
            events,
            forgotten=open_forgotten_users(settings),
            config=settings.scoring,
            num_sample=num_sample,
            seed=seed,
            told=told,
        )
        items = audit_statistics(
            store,
            events,
            half_lives_days=settings.statistics.half_lives_days,
            config=settings.scoring,
            num_sample=num_sample,
            seed=seed,
            told=told,
        )
    found = {"profiles": profiles, "item statistics": items}
    if as_json:
        print_json({name: audit_document(one) for name, one in found.items()})
    else:
        print_audit(found, out)
    if any(one.differences for one in found.values()):
        raise typer.Exit(1)


def backup(
    folder: Annotated[str, typer.Argument(help="where to: a folder of its own, or s3://bucket/prefix")],
    config: ConfigOption = "",
    with_content: Annotated[
        bool, typer.Option("--content/--no-content", help="content embeddings, too; they can be computed anew")
    ] = False,
    address: AddressOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="replace the backup that is there")] = False,
) -> None:
    """Copy the whole state consistently, while the stream runs: profiles, event log, forgotten users, releases.

    With --address, FOLDER is a name below that service's folder of backups. Example: `mmrec backup backups/monday`
    """
    from mmrec.home import StackHome
    from mmrec.operating.acts import ActKind
    from mmrec.operating.running import configuration_file
    from mmrec.operating.workplace import recorded_here
    from mmrec.state.backup import backup as make
    from mmrec.state.backup_buckets import check_free, keep_backup
    from mmrec.v1.admin_pb2 import BackUpRequest
    from mmrec.wiring import open_engine, open_feature_store, open_objects

    began_s = time.monotonic()
    if address:
        request = BackUpRequest(name=str(folder), with_content=with_content, overwrite=yes)
        answer = asked_for(config, address, "BackUp", request, "bytes")
        _say(f"{answer.num_files:,} files, {answer.num_bytes / 1e6:,.1f} MB to {answer.folder}", began_s)
        out.print(answer.note, markup=False)
        return
    settings = deployment_settings(config)
    engine = open_engine(settings)
    with (
        recorded_here(settings, ActKind.BACK_UP, subject=folder, told=err.print),
        _on_this_machine(folder, settings) as (place, bucket),
        counting("bytes") as told,
    ):
        if bucket is not None:
            check_free(bucket, overwrite=yes)
        done = make(
            settings,
            place,
            store=open_feature_store(settings),
            log=open_objects(settings.stores, "event_log"),
            releases=open_objects(settings.stores, "releases"),
            database=engine.database,
            config=configuration_file(config, StackHome.from_environment()),
            made_time_s=time.time(),
            with_content=with_content,
            overwrite=yes,
            told=told,
        )
        if bucket is not None:
            keep_backup(place, bucket, overwrite=yes)
    _say(f"{done.num_files:,} files, {done.num_bytes / 1e6:,.1f} MB to {folder}", began_s)
    if engine.backup_note:
        out.print(engine.backup_note, markup=False)


def restore(
    folder: Annotated[str, typer.Argument(help="a backup: its folder, or s3://bucket/prefix")],
    config: ConfigOption = "",
    store_only: Annotated[
        bool, typer.Option("--store-only", help="profiles and item views alone; the stream applies the rest of the log")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="replace the state that is there")] = False,
) -> None:
    """Restore a backup, with the stack stopped; checksums are verified first, and forgotten users stay forgotten.

    Example: `mmrec restore backups/monday --yes`
    """
    from mmrec.state.backup import restore as put_back
    from mmrec.state.backup_buckets import fetch_backup
    from mmrec.wire.instants import rfc3339
    from mmrec.wiring import open_engine, open_generations, open_objects, take_writer_lock

    settings, began_s = deployment_settings(config), time.monotonic()
    Path(settings.stores.feature_repo).mkdir(parents=True, exist_ok=True)
    with (
        take_writer_lock(settings),
        _on_this_machine(folder, settings) as (place, bucket),
        counting("bytes") as told,
    ):
        if bucket is not None:
            fetch_backup(bucket, place)
        done = put_back(
            settings,
            place,
            open_store=lambda: open_generations(settings),
            log=open_objects(settings.stores, "event_log"),
            releases=open_objects(settings.stores, "releases"),
            database=open_engine(settings).database,
            store_only=store_only,
            overwrite=yes,
            told=told,
        )
    made = rfc3339(int(done.made_time_s))
    _say(f"backup of {made}: {done.num_files:,} files, {done.num_bytes / 1e6:,.1f} MB restored", began_s)
    out.print("the stream applies at its start what the log has beyond the profiles: `mmrec up`", markup=False)


@contextmanager
def _on_this_machine(place: str, settings: Settings) -> "Iterator[tuple[Path, Objects | None]]":
    """The folder of a backup, and no bucket; of one in a bucket, a folder for the time being, and the bucket."""
    from mmrec.wiring import open_objects_at

    objects = open_objects_at(place, settings.stores, setting="the backup's place")
    if objects.keeps_out:
        yield Path(objects.place()), None
        return
    with tempfile.TemporaryDirectory(prefix="mmrec_backup_") as folder:
        yield Path(folder), objects


def _say(what: str, began_s: float) -> None:
    out.print(f"{what} in {time.monotonic() - began_s:.1f} s", highlight=False, markup=False)


def asked_for(config: str, address: str, method: str, request: Any, unit: str) -> Any:
    """The result of long work that the service at `address` does."""
    from mmrec.operating.remote import result_of

    desk = remote_desk(config, address)
    assert desk is not None, "an address was given"
    with desk, counting(unit) as told:
        return result_of(desk.run(method, request), told)


def confirm(question: str, *, yes: bool) -> None:
    """Ask whether to continue, and end with status 1 if not.

    Raises:
        InvalidRequestError: there is no terminal to ask on, and --yes was not given.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidRequestError(f"{question} Nobody is there to ask; give --yes")
    typer.confirm(question, abort=True, err=True)
