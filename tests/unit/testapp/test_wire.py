"""Messages and sequence numbers: what is damaged, repeated or missing is seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mlsysops_testapp.wire import (
    Message,
    Received,
    Sequences,
    decode_ack,
    decode_message,
    encode_ack,
    encode_message,
)

messages = st.builds(
    Message,
    client=st.uuids().map(lambda value: value.hex),
    sequence=st.integers(1, 10**12),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=50),
)


@given(messages)
def test_round_trip(message: Message) -> None:
    assert decode_message(encode_message(message)) == message
    assert decode_ack(encode_ack(message.sequence)) == message.sequence


@given(messages, st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_byte_is_never_a_different_message(message: Message, where: int, change: int) -> None:
    line = bytearray(encode_message(message))
    line[where % (len(line) - 1)] ^= change

    assert decode_message(bytes(line)) in (None, message)  # a checksum's capital letter is the same number


@given(st.binary(max_size=60))
def test_noise(line: bytes) -> None:
    assert decode_message(b"x" + line) is None
    assert decode_ack(b"x" + line) is None


def test_sequences_tell_repetitions_and_gaps() -> None:
    sequences = Sequences()

    taken = [sequences.take(Message("a", number, "")) for number in [5, 6, 6, 5, 9]]

    assert taken == [Received.NEW, Received.NEW, Received.DUPLICATE, Received.DUPLICATE, Received.NEW]
    assert sequences.lost == 2
    assert sequences.take(Message("b", 1, "")) is Received.NEW


def test_clients_remembered_are_bounded() -> None:
    sequences = Sequences()
    for number in range(1100):
        sequences.take(Message(f"c{number}", 1, ""))

    assert sequences.take(Message("c1099", 1, "")) is Received.DUPLICATE
    assert sequences.take(Message("c0", 1, "")) is Received.NEW
