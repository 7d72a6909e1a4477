"""Pictures by URI: what may be fetched, and within which limits."""

import gzip
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from mmrec.config import ContentSettings
from mmrec.content.addresses import is_public
from mmrec.content.fetch import ImageFetcher
from mmrec.content.fetch_errors import FetchError, FetchReason, shown
from mmrec.content.image_cache import ImageCache, ImageMarks, KeptImage
from mmrec.errors import ConfigurationError
from tests.picture_shop import LOCAL, Shop, png


def refusal(uri: str, settings: ContentSettings = LOCAL) -> FetchError:
    with pytest.raises(FetchError) as caught:
        ImageFetcher(settings).fetch(uri)
    return caught.value


# Where a URI may lead.


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.0.8", "192.88.99.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::808:808"),
        *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:808:808::80ff:fffe", "2001:db8::1", "3fff::1"),
    ],
)
def test_an_address_that_is_not_public_is_none_in_any_form(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0", "[::ffff:7f00:1]"])
def test_a_loopback_address_is_refused_in_any_spelling_and_never_asked(shop: Shop, host: str) -> None:
    shop.gives("/a.png", png())
    port = shop.server.server_address[1]
    error = refusal(f"http://{host}:{port}/a.png", ContentSettings())
    assert error.reason is FetchReason.FORBIDDEN_ADDRESS
    assert not error.transient
    assert not shop.asked


@pytest.mark.parametrize("uri", ["http://169.254.169.254/latest/meta-data", "http://10.1.2.3/", "https://192.168.0.1/"])
def test_link_local_and_private_addresses_are_refused(uri: str) -> None:
    assert refusal(uri, ContentSettings()).reason is FetchReason.FORBIDDEN_ADDRESS


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", FetchReason.BAD_URI),
        ("red.jpg", FetchReason.BAD_URI),
        ("//shop.example/red.jpg", FetchReason.BAD_URI),
        ("http:///red.jpg", FetchReason.BAD_URI),
        ("http://[::1/red.jpg", FetchReason.BAD_URI),
        ("http://shop.example:99999/", FetchReason.BAD_URI),
        ("http://user:word@127.0.0.1/", FetchReason.BAD_URI),
        ("http://" + "a" * 70 + ".example/", FetchReason.BAD_URI),
        ("/etc/passwd", FetchReason.BAD_URI),
        ("file:///etc/passwd", FetchReason.FORBIDDEN_SCHEME),
        ("local:///etc/passwd", FetchReason.FORBIDDEN_SCHEME),
        ("s3://bucket/key", FetchReason.FORBIDDEN_SCHEME),
        ("simplecache::file:///etc/passwd", FetchReason.FORBIDDEN_SCHEME),
        ("gopher://shop.example/", FetchReason.FORBIDDEN_SCHEME),
    ],
)
def test_what_may_not_be_fetched_has_a_reason(uri: str, reason: FetchReason) -> None:
    assert refusal(uri).reason is reason


def test_a_scheme_that_is_listed_does_not_open_another_behind_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    filed = replace(LOCAL, image_schemes=("file",))
    assert ImageFetcher(filed).fetch(f"file://{tmp_path}/a.png").body == png()
    assert refusal(f"file://{tmp_path}/none.png", filed).reason is FetchReason.REFUSED
    assert refusal("file://x::http://127.0.0.1/", filed).reason is FetchReason.BAD_URI
    assert refusal(f"file://{tmp_path}/a.png", replace(filed, max_image_bytes=10)).reason is FetchReason.TOO_LARGE
    with pytest.raises(ConfigurationError, match="crystal"):
        ImageFetcher(replace(LOCAL, image_schemes=("crystal",)))


def test_a_picture_may_stand_in_its_uri() -> None:
    import base64

    uri = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert ImageFetcher(LOCAL).fetch(uri).body == png()


def test_hosts_can_be_named(shop: Shop) -> None:
    uri = shop.gives("/a.png", png())
    assert ImageFetcher(replace(LOCAL, image_hosts=("127.0.0.1",))).fetch(uri).body == png()
    for hosts in (("img.shop.example",), ("*.0.0.2",)):
        assert refusal(uri, replace(LOCAL, image_hosts=hosts)).reason is FetchReason.FORBIDDEN_HOST


# Redirects, sizes, times.


def test_redirects_are_followed_and_each_is_checked(shop: Shop) -> None:
    shop.gives("/a.png", png())
    for status in (301, 302, 303, 307, 308):
        assert ImageFetcher(LOCAL).fetch(shop.sends_to("/moved", "/a.png", status)).body == png()
    asked = shop.asked["/a.png"]
    here = replace(LOCAL, image_hosts=("127.0.0.1",))
    port = shop.server.server_address[1]
    assert refusal(shop.sends_to("/out", f"http://localhost:{port}/a.png"), here).reason is FetchReason.FORBIDDEN_HOST
    assert refusal(shop.sends_to("/file", "file:///etc/passwd")).reason is FetchReason.FORBIDDEN_SCHEME
    assert refusal(shop.sends_to("/user", f"http://u:p@127.0.0.1:{port}/a.png")).reason is FetchReason.BAD_URI
    assert refusal(shop.sends_to("/round", "/round")).reason is FetchReason.TOO_MANY_REDIRECTS
    assert shop.asked["/round"] == LOCAL.max_image_redirects + 1
    assert refusal(shop.gives("/nowhere", b"", status=302)).reason is FetchReason.REFUSED
    assert shop.asked["/a.png"] == asked


def test_a_redirect_to_loopback_is_refused(shop: Shop) -> None:
    shop.gives("/secret", b"secret")
    port = shop.server.server_address[1]
    first_alone = replace(LOCAL, image_private_hosts=("127.0.0.1",))
    assert ImageFetcher(first_alone).fetch(shop.sends_to("/stays", "/secret")).body == b"secret"
    for host in ("localhost", "127.0.0.2", "[::1]", "0x7f.0.0.1"):
        error = refusal(shop.sends_to("/moved", f"http://{host}:{port}/secret"), first_alone)
        assert error.reason is FetchReason.FORBIDDEN_ADDRESS
    assert shop.asked["/secret"] == 1


def test_a_body_without_end_is_cut(shop: Shop) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(65_536))

    shop.pages["/endless"] = endless
    assert refusal(shop.url + "/endless").reason is FetchReason.TOO_LARGE
    small = replace(LOCAL, max_image_bytes=100)
    assert refusal(shop.gives("/long", bytes(101)), small).reason is FetchReason.TOO_LARGE
    assert ImageFetcher(small).fetch(shop.gives("/fits", bytes(100))).body == bytes(100)
    packed = gzip.compress(bytes(10_000_000))
    tight = replace(LOCAL, max_image_bytes=1_000_000)
    assert refusal(shop.gives("/bomb", packed, Content_Encoding="gzip"), tight).reason is FetchReason.TOO_LARGE


def test_a_packed_body_is_unpacked_and_an_unknown_packing_refused(shop: Shop) -> None:
    assert ImageFetcher(LOCAL).fetch(shop.gives("/z", gzip.compress(png()), Content_Encoding="gzip")).body == png()
    assert refusal(shop.gives("/br", png(), Content_Encoding="br")).reason is FetchReason.BROKEN
    assert refusal(shop.gives("/lie", png(), Content_Encoding="gzip")).reason is FetchReason.BROKEN


def test_a_body_or_a_head_that_trickles_ends_at_the_deadline(shop: Shop) -> None:
    over = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.02):
            handler.wfile.write(b"x")

    def trickle_head(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        while not over.wait(0.02):
            handler.wfile.write(b"x")

    shop.pages |= {"/body": trickle, "/head": trickle_head, "/silent": lambda _: over.wait(60) and None}
    hasty = replace(LOCAL, image_fetch_timeout_s=0.3, image_fetch_retries=0)
    try:
        for path in ("/body", "/head", "/silent"):
            error = refusal(shop.url + path, hasty)
            assert (error.reason, error.transient) == (FetchReason.UNREACHABLE, True)
    finally:
        over.set()


def test_a_failure_that_may_pass_is_tried_again_and_one_that_stays_is_not(shop: Shop) -> None:
    for status in (500, 503, 429, 408):
        uri = shop.gives(f"/{status}", b"", status=status)
        good = {"left": 1}
        bad_page = shop.pages[f"/{status}"]

        def page(handler: BaseHTTPRequestHandler, bad: Any = bad_page, left: dict[str, int] = good) -> None:
            left["left"] -= 1
            if left["left"] >= 0:
                bad(handler)
            else:
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.write(png())

        shop.pages[f"/{status}"] = page
        assert ImageFetcher(LOCAL).fetch(uri).body == png()
        assert shop.asked[f"/{status}"] == 2
    for status in (400, 401, 403, 404, 410):
        error = refusal(shop.gives(f"/{status}", b"", status=status))
        assert (error.reason, error.transient) == (FetchReason.REFUSED, False)
        assert shop.asked[f"/{status}"] == 1


def test_a_cut_body_and_a_host_that_is_away_may_pass(shop: Shop) -> None:
    cut = refusal(shop.gives("/cut", png(), Content_Length=str(len(png()) + 5)))
    assert (cut.reason, cut.transient) == (FetchReason.UNREACHABLE, True)
    for uri in ("http://127.0.0.1:1/", "http://no-such-host.invalid/", shop.url.replace("http:", "https:") + "/a"):
        error = refusal(uri)
        assert (error.reason, error.transient) == (FetchReason.UNREACHABLE, True)


def test_spaces_and_letters_beyond_ascii_in_a_path_are_escaped(shop: Shop) -> None:
    shop.gives("/rot%20gr%C3%BCn.png?size=8%20px", png())
    assert ImageFetcher(LOCAL).fetch(shop.url + "/rot grün.png?size=8 px").body == png()
    assert ImageFetcher(LOCAL).fetch(shop.url + "/rot%20gr%C3%BCn.png?size=8%20px").body == png()


def test_what_is_shown_of_a_uri_holds_no_secret() -> None:
    assert shown("https://u:word@shop.example/a.png?signature=s#f") == "https://shop.example/a.png"
    assert shown("data:image/png;base64,AAAA") == "data:"


# The cache.


def test_the_cache_keeps_the_newest_within_its_bound(tmp_path: Path) -> None:
    import os

    cache = ImageCache(tmp_path, max_bytes=3_000)
    for number in range(6):
        image = KeptImage(body=bytes(800) + b"\n", marks=ImageMarks(update_time_s=number, fetched_s=0.0, etag='"x"'))
        cache.write(f"http://a/{number}", image)
        found = cache.read(f"http://a/{number}")
        assert found == image
        for path in tmp_path.glob("??/*"):
            os.utime(path, ns=(1, path.stat().st_mtime_ns - 10**9))
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 3_000
    assert cache.read("http://a/0") is None
    assert cache.read("http://a/5") is not None


def test_a_damaged_file_of_the_cache_is_passed_over(tmp_path: Path) -> None:
    cache = ImageCache(tmp_path, max_bytes=10_000)
    cache.write("u", KeptImage(body=b"x", marks=ImageMarks(update_time_s=0.0, fetched_s=0.0)))
    for damaged in (b"", b"{}\nx", b"[1]\nx", b'{"strange": 1}\nx', b"\xff"):
        next(tmp_path.glob("??/*")).write_bytes(damaged)
        assert cache.read("u") is None


def test_what_is_opened_is_what_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "DATA:").mkdir()
    (tmp_path / "s").write_bytes(b"secret")
    monkeypatch.chdir(tmp_path)
    for uri in ("DATA:/../s", " data:/../s", "da\tta:/../s"):
        with pytest.raises(FetchError):
            ImageFetcher(LOCAL).fetch(uri)
    assert ImageFetcher(LOCAL).fetch("DATA:,hello").body == b"hello"


@pytest.mark.parametrize("target", ["data:,hello", "memory://a.png", "file:///etc/passwd"])
def test_a_redirect_from_http_leads_to_http(shop: Shop, target: str) -> None:
    settings = replace(LOCAL, image_schemes=("http", "data", "memory", "file"))
    error = refusal(shop.sends_to("/else", target), settings)
    assert (error.reason, error.transient) == (FetchReason.FORBIDDEN_SCHEME, False)
