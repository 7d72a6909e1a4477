"""Objects at the address that a setting gives: a folder of this machine, or a bucket."""

from pathlib import Path
from urllib.parse import urlsplit

from mmrec.connections.engines import StoreSettings
from mmrec.disk.objects import FolderObjects, Objects
from mmrec.errors import ConfigurationError


def objects_at(address: str, stores: StoreSettings, *, setting: str) -> Objects:
    """Objects at a path, a file:// URL, or s3://bucket/prefix; nothing is asked of the place yet.

    Args:
        setting: Name of the setting that gives the address, for errors.

    Raises:
        ConfigurationError: it is an address of another kind, or the bucket's settings are refused.
    """
    scheme = urlsplit(address).scheme
    if scheme == "s3":
        from mmrec.stores.s3_objects import S3Objects, S3Place

        return S3Objects(S3Place.of(address, stores))
    if scheme not in {"", "file"}:
        raise ConfigurationError(f"{setting} is {address!r}; give a folder, a file:// URL or s3://bucket/prefix")
    return FolderObjects(Path(urlsplit(address).path if scheme else address))
