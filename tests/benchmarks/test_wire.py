"""The wire knows an order when it sees one, and nothing else for one."""

import pytest

from benchmarks.looping.wire import _holds_order

MASK = b"\x0f\xa0\x31\x7c"


def frame(text: bytes) -> bytes:
    """Mask a text message as a client does."""
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(text))


@pytest.mark.parametrize("padding", [0, 60, 300])
def test_a_placement_is_seen_behind_its_mask_alone_and_behind_other_messages(padding: int) -> None:
    order = b'{"op":"order.create","args":["' + b"x" * padding + b'"]}'
    cancel = b'{"op":"order.cancel","args":["' + b"x" * padding + b'"]}'
    assert _holds_order(frame(order))
    assert _holds_order(frame(cancel) + frame(order))
    assert not _holds_order(frame(cancel))
    assert not _holds_order(frame(b'{"op":"ping"}'))


def test_a_placement_over_http_is_seen_and_a_question_is_not() -> None:
    assert _holds_order(b"POST /v5/order/create HTTP/1.1\r\n\r\n")
    assert not _holds_order(b"GET /v5/order/realtime HTTP/1.1\r\n\r\n")
    assert not _holds_order(b"")
