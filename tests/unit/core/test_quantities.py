"""Quantities: what Kubernetes and people write, as numbers and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlsysops_core import quantities as q
from mlsysops_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "cores"), [("250m", 0.25), ("1", 1), (2, 2), ("0.1", 0.1), ("1e2", 100), ("100u", 0.0001), ("2k", 2000)]
)
def test_cpu_is_read_in_cores(text: str | float, cores: float) -> None:
    assert q.parse_cpu(text) == cores


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("64Mi", 64 << 20),
        ("1G", 10**9),
        ("1GB", 10**9),
        ("1gb", 10**9),
        ("1GiB", 1 << 30),
        ("1.5 Gi", 3 << 29),
        ("512", 512),
        (4096, 4096),
        ("1E", 10**18),
        ("1e3", 1000),
        ("1500m", 2),
        ("128kB", 128_000),
    ],
)
def test_bytes_are_read_with_any_usual_suffix(text: str | float, amount: int) -> None:
    assert q.parse_bytes(text) == amount


def test_plain_number_takes_the_default_unit() -> None:
    assert q.parse_bytes("120", default_unit="G") == 120 * 10**9
    assert q.parse_bytes("120Mi", default_unit="G") == 120 << 20
    assert q.parse_frequency(1.4, default_unit="GHz") == 1.4e9


@pytest.mark.parametrize(("text", "hertz"), [("1.4GHz", 1.4e9), ("64 mhz", 64e6), (2_400_000_000, 2.4e9), ("50", 50)])
def test_frequency_is_read_in_hertz(text: str | float, hertz: float) -> None:
    assert q.parse_frequency(text) == hertz


@pytest.mark.parametrize("parse", [q.parse_cpu, q.parse_bytes, q.parse_frequency, q.parse_percent])
@pytest.mark.parametrize(
    "value", ["", "abc", "-1", "1.2.3", "1 2", "1QQ", True, None, float("nan"), float("inf"), -1, "9" * 100, []]
)
def test_what_is_no_quantity_is_refused(parse, value) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(q.InvalidQuantity) as caught:
        parse(value)
    assert isinstance(caught.value, InvalidInput)
    assert isinstance(caught.value, ValueError)


def test_quantities_beyond_int64_are_refused() -> None:
    with pytest.raises(q.InvalidQuantity, match="2\\^63"):
        q.parse_bytes("9e30")


@pytest.mark.parametrize(("value", "percent"), [("50%", 50), ("12.5", 12.5), (100, 100)])
def test_percentages(value: str | float, percent: float) -> None:
    assert q.parse_percent(value) == percent


def test_percentage_ends_at_a_hundred() -> None:
    with pytest.raises(q.InvalidQuantity):
        q.parse_percent("101%")


@given(st.integers(0, 2**62))
def test_bytes_survive_writing_and_reading(amount: int) -> None:
    assert q.parse_bytes(q.format_bytes(amount)) == amount


@given(st.integers(0, 10**9))
def test_millicores_survive_writing_and_reading(milli: int) -> None:
    assert q.parse_cpu(q.format_cpu(milli / 1000)) == milli / 1000


def test_numbers_for_people() -> None:
    assert q.format_bytes(1_572_864_000, exact=False) == "1.46Gi"
    assert q.format_bytes(12, exact=False) == "12"
    assert [q.format_frequency(f) for f in (2.4e9, 64e6, 14000, 1.4)] == ["2.4GHz", "64MHz", "14kHz", "1.4Hz"]
