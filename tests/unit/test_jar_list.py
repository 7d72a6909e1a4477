"""The list of Java archives pins everything, and nothing but what it pins is taken for sound."""

import hashlib
import re
import struct
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

from services.stack.jars import ivy_module, missing_jars, read_lock
from services.stack.truststore import jks


def test_every_archive_is_pinned_by_version_and_content():
    jars = read_lock()
    assert {jar.folder for jar in jars} == {"kafka", "spark"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert all(re.match(r"\d", jar.version) for jar in jars)
    assert max(Counter((jar.folder, jar.artifact) for jar in jars).values()) == 1


def test_broker_and_connector_versions_are_those_that_work_together():
    versions = {(jar.folder, jar.artifact): jar.version for jar in read_lock()}
    assert versions["kafka", "kafka_2.13"] == "4.3.1"
    assert versions["spark", "spark-sql-kafka-0-10_2.13"] == "4.0.0"
    assert versions["spark", "kafka-clients"] == "3.9.0"


def test_an_absent_and_a_broken_archive_are_missing_and_a_sound_one_is_not(tmp_path: Path):
    content = b"an archive"
    sound, broken, absent = (replace(jar, sha256=hashlib.sha256(content).hexdigest()) for jar in read_lock()[:3])
    for jar, written in ((sound, content), (broken, content[:5])):
        jar.path(tmp_path).parent.mkdir(exist_ok=True)
        jar.path(tmp_path).write_bytes(written)
    assert missing_jars([sound, broken, absent], tmp_path) == [broken, absent]


def test_ivy_is_asked_for_exactly_the_missing_archives_and_resolves_nothing():
    jars = read_lock()[:2]
    root = ET.fromstring(ivy_module(jars))
    asked = root.findall("./dependencies/dependency")
    assert [(d.get("org"), d.get("name"), d.get("rev")) for d in asked] == [
        (jar.group, jar.artifact, jar.version) for jar in jars
    ]
    assert {d.get("transitive") for d in asked} == {"false"}


def test_a_trust_store_counts_its_certificates_and_ends_with_its_digest():
    store = jks([b"first", b"second"])
    assert struct.unpack(">III", store[:12]) == (0xFEEDFEED, 2, 2)
    key = "changeit".encode("utf-16-be") + b"Mighty Aphrodite"
    assert store[-20:] == hashlib.sha1(key + store[:-20]).digest()
