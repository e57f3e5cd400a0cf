"""Which environments hosts get."""

from __future__ import annotations

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.runtime import Target, common_targets

DEBIAN = {"python": "3.11.2", "machine": "x86_64", "libc": "glibc 2.36"}


def test_target_of_facts() -> None:
    assert Target.of(DEBIAN) == Target("3.11", "x86_64", 36)
    assert Target.of({**DEBIAN, "machine": "arm64"}).machine == "aarch64"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python": "3.9.2"}, "too old"),
        ({"python": ""}, "unknown"),
        ({"machine": "riscv64"}, "riscv64"),
        ({"libc": ""}, "C library"),
    ],
)
def test_hosts_that_cannot_be_served_are_named(change: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match="worker1") as caught:
        common_targets({"worker1": {**DEBIAN, **change}})
    assert words in str(caught.value)
    assert caught.value.hint


def test_hosts_of_one_kind_share_the_oldest_library() -> None:
    newer = {**DEBIAN, "libc": "glibc 2.39"}
    assert common_targets({"a": newer, "b": DEBIAN}) == {Target("3.11", "x86_64", 36): ["a", "b"]}


def test_platforms_go_from_the_newest_to_the_oldest_with_their_older_names() -> None:
    tags = Target("3.11", "x86_64", 36).platforms
    assert tags[0] == "manylinux_2_36_x86_64"
    assert tags.index("manylinux_2_17_x86_64") + 1 == tags.index("manylinux2014_x86_64")
    assert tags[-1] == "linux_x86_64"
