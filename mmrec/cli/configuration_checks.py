"""What `mmrec doctor --config FILE` checks: whether programs would start with a configuration, and what to do if not.

Nothing is started or written. Addresses are connected to only where that is asked for, since a configuration is also
checked where its engines cannot be reached, such as in a build.
"""

import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from mmrec.cli.checks import Check, Health
from mmrec.config import Settings, load_settings
from mmrec.connections.certificates import CertificateFiles, Role, authorities_end_s
from mmrec.connections.engines import Folder, StoreSettings
from mmrec.connections.secrets import secret_problem
from mmrec.disk.objects import conditional_problem
from mmrec.errors import ConfigurationError, MmrecError
from mmrec.programs.plaintext import open_connections
from mmrec.wiring import open_objects

SOON_S = 14 * 86_400.0
"""A certificate that ends within this time is worth a warning."""
REACH_S = 3.0
"""How long each address may take to accept a connection."""


def check_configuration(file: Path, *, now_s: float, reach: bool = False) -> list[Check]:
    """All checks of one configuration.

    Args:
        now_s: The present, in epoch seconds: certificates are judged by it for how soon they end.
        reach: Whether to connect to every engine.
    """
    try:
        settings = load_settings(file)
    except ConfigurationError as error:
        return [Check(name="settings", health=Health.FAIL, found=str(error), advice="correct the value that is named")]
    return [
        Check(name="settings", health=Health.OK, found=f"{file} is complete; every value is known and possible"),
        *_check_encryption(settings),
        *_check_passwords(settings, file),
        *_check_secrets(settings),
        *_check_certificates(settings, now_s=now_s),
        *_check_folders(settings.stores),
        *(_check_reach(settings) if reach else []),
    ]


def _check_encryption(settings: Settings) -> Iterator[Check]:
    """Connections that leave the machine unencrypted."""
    name, found = "encryption", list(open_connections(settings))
    for each in found:
        if each.edge in settings.security.plaintext_allowed:
            yield Check(
                name=name, health=Health.WARN, found=str(each), advice="allowed: something else must encrypt it"
            )
        else:
            advice = f'programs refuse to start; encrypt it, or add "{each.edge}" to security.plaintext_allowed'
            yield Check(name=name, health=Health.FAIL, found=str(each), advice=advice)
    if not found:
        yield Check(name=name, health=Health.OK, found="nothing leaves this machine unencrypted")


def _check_passwords(settings: Settings, file: Path) -> Iterator[Check]:
    """Passwords in the configuration itself: whoever reads it has them."""
    is_open = bool(stat.S_IMODE(file.stat().st_mode) & stat.S_IRWXO)
    stores = settings.stores
    for setting, is_there in (
        ("stores.redis_connection", "password=" in stores.redis_connection),
        ("stores.overlay_connection", "password=" in stores.overlay_connection),
        ("stores.milvus_uri", "@" in urlsplit(stores.milvus_uri).netloc),
    ):
        if is_there:
            yield Check(
                name="passwords",
                health=Health.FAIL if is_open else Health.WARN,
                found=f"{setting} holds a password" + (f", and everybody may read {file}" if is_open else ""),
                advice="write it into a file of mode 0600, and name that in the setting that ends in _file",
            )


def _check_secrets(settings: Settings) -> Iterator[Check]:
    kafka, stores = settings.kafka, settings.stores
    for setting, path in (
        ("kafka.password_file", kafka.password_file),
        ("stores.redis_password_file", stores.redis_password_file),
        ("stores.overlay_password_file", stores.overlay_password_file),
        ("stores.milvus_token_file", stores.milvus_token_file),
        ("stores.s3_key_file", stores.s3_key_file),
    ):
        if not path:
            continue
        if problem := secret_problem(path):
            yield Check(name="secrets", health=Health.FAIL, found=f"{setting} is {path}: {problem}")
        else:
            yield Check(name="secrets", health=Health.OK, found=f"{setting} can be read, and not by everybody")


def _check_certificates(settings: Settings, *, now_s: float) -> Iterator[Check]:
    """Certificates of ours by the handshake that they are for, and the authorities that others' are checked by."""
    kafka, stores, serving, metrics = settings.kafka, settings.stores, settings.serving, settings.metrics
    for setting, certificate, key, role, issuer in (
        ("kafka.certificate_file", kafka.certificate_file, kafka.key_file, Role.CLIENT, ""),
        ("stores.redis_certificate_file", stores.redis_certificate_file, stores.redis_key_file, Role.CLIENT, ""),
        ("stores.milvus_certificate_file", stores.milvus_certificate_file, stores.milvus_key_file, Role.CLIENT, ""),
        ("serving.certificate_file", serving.certificate_file, serving.key_file, Role.SERVER, serving.ca_file),
        (
            "serving.client_certificate_file",
            serving.client_certificate_file,
            serving.client_key_file,
            Role.CLIENT,
            serving.client_ca_file,
        ),
        ("metrics.certificate_file", metrics.certificate_file, metrics.key_file, Role.SERVER, metrics.ca_file),
    ):
        if certificate:
            files = CertificateFiles(certificate, key, setting=setting)
            yield _judged(setting, partial(files.check, role, issuer_file=issuer), now_s)
    for setting, path in (
        ("kafka.ca_file", kafka.ca_file),
        ("stores.redis_ca_file", stores.redis_ca_file),
        ("stores.milvus_ca_file", stores.milvus_ca_file),
        ("stores.s3_ca_file", stores.s3_ca_file),
        ("serving.client_ca_file", serving.client_ca_file),
        ("serving.ca_file", serving.ca_file),
        ("metrics.client_ca_file", metrics.client_ca_file),
        ("metrics.ca_file", metrics.ca_file),
    ):
        if path:
            yield _judged(setting, partial(authorities_end_s, path, setting=setting), now_s)


def _judged(setting: str, end_s: Callable[[], float], now_s: float) -> Check:
    name = "certificates"
    try:
        left_s = end_s() - now_s
    except MmrecError as error:
        return Check(name=name, health=Health.FAIL, found=str(error))
    days = f"{left_s / 86_400:.1f} days"
    if left_s <= 0:
        return Check(name=name, health=Health.FAIL, found=f"{setting} has expired {days[1:]} ago", advice="renew it")
    if left_s < SOON_S:
        return Check(name=name, health=Health.WARN, found=f"{setting} ends in {days}", advice="renew it soon")
    return Check(name=name, health=Health.OK, found=f"{setting} is good for {days}")


def _check_folders(stores: StoreSettings) -> Iterator[Check]:
    """Folders that programs write into: they, or the nearest folder above them, must be there."""
    for setting in (f.name for f in fields(StoreSettings) if f.type is Folder):
        path = getattr(stores, setting)
        if "://" in path:
            continue
        there = next(each for each in (Path(path), *Path(path).parents) if each.exists())
        if not there.is_dir():
            found = f"stores.{setting} is {path}, and {there} is no folder"
            yield Check(name="folders", health=Health.FAIL, found=found, advice="name another folder")
        elif there == Path(there.anchor):
            found = f"stores.{setting} is {path}, of which nothing exists here"
            yield Check(name="folders", health=Health.WARN, found=found, advice="mount it, or make it")


def _check_reach(settings: Settings) -> Iterator[Check]:
    stores = settings.stores
    redis = f"{stores.redis_connection},{stores.overlay_connection}" if stores.online_store == "redis" else ""
    wanted = {
        "kafka.bootstrap": settings.kafka.bootstrap,
        "stores.redis_connection": redis,
        "stores.milvus_uri": urlsplit(stores.milvus_uri).netloc.rpartition("@")[2],
    }
    for setting, addresses in wanted.items():
        for address in filter(None, (part.strip() for part in addresses.split(","))):
            if "=" not in address:
                yield _reached(setting, address)
    for name in ("event_log", "releases"):
        if getattr(stores, name).startswith("s3://"):
            yield _tried(stores, name)


def _tried(stores: StoreSettings, name: str) -> Check:
    """Whether a bucket can be used, and keeps to the conditions that stand in for locks."""
    setting = f"stores.{name}"
    try:
        problem = conditional_problem(open_objects(stores, name))
    except MmrecError as error:
        problem = str(error)
    if problem:
        found = f"{setting}: {getattr(stores, name)}: {problem}"
        return Check(name="buckets", health=Health.FAIL, found=found, advice="use a store with conditional writes")
    return Check(name="buckets", health=Health.OK, found=f"{setting}: {getattr(stores, name)} keeps to conditions")


def _reached(setting: str, address: str) -> Check:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_S):
            return Check(name="addresses", health=Health.OK, found=f"{setting}: {address} accepts connections")
    except (OSError, ValueError) as error:
        return Check(
            name="addresses",
            health=Health.FAIL,
            found=f"{setting}: {address} accepts no connection: {error}",
            advice="start it, or correct the address; a network policy may stand between",
        )
