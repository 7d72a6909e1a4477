"""Objects in a bucket that speaks S3: the port by conditional writes instead of locks, links and renames.

    s3://bucket/prefix       with stores.s3_endpoint, stores.s3_region, stores.s3_ca_file, stores.s3_key_file

create() is a PUT with If-None-Match: *, swap() one with If-Match, so the store decides who was first. A store that
ignores these headers would let two writers have one number; `mmrec doctor --config FILE --reach` tries it.
Credentials come from stores.s3_key_file, read anew every few minutes, else from where the client looks: the
environment, a role of the pod (web identity), or of the machine.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mmrec.connections.engines import StoreSettings
from mmrec.connections.secrets import read_secret
from mmrec.disk.objects import Entry, Stored, checked_name
from mmrec.errors import ConfigurationError, StoreError, UnreachableError

_CONNECT_S: Final = 5
_STALLED_S: Final = 20
"""Most time between two portions of an answer."""
_CALL_S: Final = 30
"""Most time for one call, and for the time in which it is repeated; what is large goes in parts, each a call."""
_PART_BYTES: Final = 8 << 20
_KEYS_KEPT_S: Final = 300


@dataclass(frozen=True, kw_only=True)
class S3Place:
    """A bucket and a prefix, and how they are reached."""

    bucket: str
    prefix: str
    stores: StoreSettings

    @classmethod
    def of(cls, url: str, stores: StoreSettings) -> "S3Place":
        """Of s3://bucket/prefix; ConfigurationError where it is none."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigurationError(f"{url!r} is no bucket; give s3://bucket/prefix, and keys by stores.s3_key_file")
        return cls(bucket=parts.netloc, prefix=parts.path.strip("/"), stores=stores)


class S3Objects:
    """Objects below one prefix of a bucket."""

    keeps_out = False

    def __init__(self, place: S3Place, *, client: Any = None) -> None:
        """Nothing is asked of the store before the first call.

        Raises:
            ConfigurationError: the client's package is not installed, or a setting is refused.
        """
        self._place = place
        self._client = client if client is not None else _client(place)
        self._obstore: Any = _library()

    def place(self, name: str = "") -> str:
        """See Objects."""
        return f"s3://{'/'.join(filter(None, (self._place.bucket, self._place.prefix, name)))}"

    def within(self, folder: str, *, private: bool = False) -> "S3Objects":
        """See Objects; the connections are shared."""
        del private
        prefix = "/".join(filter(None, (self._place.prefix, checked_name(folder))))
        place = S3Place(bucket=self._place.bucket, prefix=prefix, stores=self._place.stores)
        return S3Objects(place, client=self._client)

    def read(self, name: str) -> Stored | None:
        """See Objects."""
        with self._errors(f"{self.place(name)} was not read"):
            try:
                found = self._obstore.get(self._client, self._key(name))
            except FileNotFoundError:
                return None
            version = str(found.meta["e_tag"])
            return Stored(data=bytes(found.bytes()), version=version)

    def version(self, name: str) -> str:
        """See Objects: its ETag."""
        with self._errors(f"{self.place(name)} was not read"):
            try:
                return str(self._obstore.head(self._client, self._key(name))["e_tag"])
            except FileNotFoundError:
                return ""

    def entries(self, folder: str = "") -> list[Entry]:
        """See Objects."""
        prefix = self._key(folder) if folder else self._place.prefix
        skipped = len(self._place.prefix) + 1 if self._place.prefix else 0
        with self._errors(f"{self.place(folder)} was not listed"):
            found = [
                Entry(
                    name=str(each["path"])[skipped:],
                    num_bytes=int(each["size"]),
                    written_s=each["last_modified"].timestamp(),
                )
                for page in self._obstore.list(self._client, prefix=prefix or None)
                for each in page
            ]
        return sorted(found, key=lambda entry: entry.name)

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """See Objects: a copy under the last part of its name, which is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="mmrec_object_") as folder:
            path = Path(folder) / checked_name(name).rpartition("/")[2]
            with self._errors(f"{self.place(name)} was not read"), path.open("wb") as file:
                try:
                    for portion in self._portions(self._key(name)):
                        file.write(portion)
                except FileNotFoundError:
                    raise FileNotFoundError(2, "no such object", self.place(name)) from None
            yield path

    def _portions(self, key: str) -> Iterator[Any]:
        """The bytes of one version in parts, so that a call ends in time however large the object is."""
        found = self._obstore.head(self._client, key)
        for start in range(0, int(found["size"]), _PART_BYTES):
            wanted = (start, min(start + _PART_BYTES, int(found["size"])))
            options = {"range": wanted, "if_match": found["e_tag"]}
            yield self._obstore.get(self._client, key, options=options).bytes()

    def write(self, name: str, data: bytes) -> None:
        """See Objects."""
        with self._errors(f"{self.place(name)} was not written"):
            self._obstore.put(self._client, self._key(name), data, chunk_size=_PART_BYTES)

    def create(self, name: str, data: bytes) -> bool:
        """See Objects."""
        return self._put_if(name, data, "create")

    def swap(self, name: str, data: bytes, *, seen: str) -> bool:
        """See Objects."""
        return self._put_if(name, data, {"e_tag": seen} if seen else "create")

    def _put_if(self, name: str, data: bytes, mode: Any) -> bool:
        """A conditional PUT. Repeated after an answer that got lost, it meets what it wrote itself."""
        exceptions = self._obstore.exceptions
        with self._errors(f"{self.place(name)} was not written"):
            try:
                self._obstore.put(self._client, self._key(name), data, mode=mode, use_multipart=False)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError, FileNotFoundError):
                found = self.read(name)
                return found is not None and found.data == data
        return True

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """See Objects: sent in parts, of which the store makes the object when all are there."""
        with tempfile.TemporaryDirectory(prefix="mmrec_object_") as folder:
            path = Path(folder) / "object"
            yield path
            if path.exists():
                with self._errors(f"{self.place(name)} was not written"):
                    self._obstore.put(self._client, self._key(name), path, chunk_size=_PART_BYTES, max_concurrency=4)

    def remove(self, name: str) -> None:
        """See Objects."""
        with self._errors(f"{self.place(name)} was not removed"):
            try:
                self._obstore.delete(self._client, self._key(name))
            except FileNotFoundError:
                return

    @contextmanager
    def alone(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """See Objects: nobody is kept out."""
        del name, shared
        yield

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self._place.prefix, checked_name(name))))

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """What the client raises, as StoreError; the keys are never among what it says."""
        exceptions = self._obstore.exceptions
        try:
            yield
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreError(f"{what}: the store refuses these credentials; see stores.s3_key_file") from error
        except exceptions.GenericError as error:
            raise UnreachableError(f"{what}: {_said(error)}") from error
        except exceptions.BaseError as error:
            raise StoreError(f"{what}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """The first of what the client says; the rest repeats it for its own developers."""
    return str(error).partition("\n\nDebug source")[0][:400]


def _library() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError:
        raise ConfigurationError("s3:// needs the package obstore, which is not installed here") from None
    return obstore


def _client(place: S3Place) -> Any:
    stores, library = place.stores, _library()
    options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=_CONNECT_S),
        "read_timeout": timedelta(seconds=_STALLED_S),
        "timeout": timedelta(seconds=_CALL_S),
        "allow_http": stores.s3_endpoint.startswith("http://"),
    }
    if stores.s3_ca_file:
        try:
            options["root_certificate"] = Path(stores.s3_ca_file).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"stores.s3_ca_file is {stores.s3_ca_file!r}: {error.strerror}") from None
    where = {"endpoint": stores.s3_endpoint} if stores.s3_endpoint else {}
    keys = {"credential_provider": _Keys(stores.s3_key_file)} if stores.s3_key_file else {}
    try:
        return library.store.S3Store(
            place.bucket,
            region=stores.s3_region,
            client_options=options,
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=_CALL_S)},
            **where,
            **keys,
        )
    except library.exceptions.BaseError as error:
        raise ConfigurationError(f"the bucket {place.bucket!r} cannot be used: {_said(error)}") from error


class _Keys:
    """The credentials in stores.s3_key_file, read again before they are too old; a renewed file is taken."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read()

    def __call__(self) -> dict[str, Any]:
        key_id, secret = self._read()
        expires = datetime.now(UTC) + timedelta(seconds=_KEYS_KEPT_S)
        return {"access_key_id": key_id, "secret_access_key": secret, "token": None, "expires_at": expires}

    def _read(self) -> tuple[str, str]:
        key_id, colon, secret = read_secret(self._path, setting="stores.s3_key_file").partition(":")
        if not (key_id and colon and secret):
            raise ConfigurationError(f"stores.s3_key_file is {self._path!r}: it holds no access key id:secret key")
        return key_id, secret
