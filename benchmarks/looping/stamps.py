"""Stamps at the very edge of the venue's process: when a push is handed to the socket, when a request has arrived.

What the venue itself does between the two (matching, wording, answering) must not be in the measured interval, so
the stamps are taken inside aiohttp, around the two functions through which every byte passes. Only the benchmark's
own process is patched.
"""

from time import monotonic_ns
from typing import Any

from aiohttp._websocket.writer import WebSocketWriter
from aiohttp.web_protocol import RequestHandler


class Stamps:
    """The last push of either kind, and the last arrival: one client is active at a time, so they are its own."""

    def __init__(self) -> None:
        self.execution_ns = 0
        self.trade_ns = 0
        self.arrived_ns = 0
        self._originals = WebSocketWriter.send_frame, RequestHandler.data_received

    def install(self) -> None:
        """Stamp from now on."""
        send_frame, data_received = self._originals

        async def stamped_send(writer: Any, message: bytes, opcode: int, compress: int | None = None) -> None:
            if b'"topic":"execution"' in message:
                self.execution_ns = monotonic_ns()
            elif b'"topic":"publicTrade' in message:
                self.trade_ns = monotonic_ns()
            await send_frame(writer, message, opcode, compress)

        def stamped_receive(handler: Any, data: bytes) -> None:
            self.arrived_ns = monotonic_ns()
            data_received(handler, data)

        WebSocketWriter.send_frame = stamped_send  # type: ignore[method-assign, assignment]
        RequestHandler.data_received = stamped_receive  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """Leave aiohttp as it was."""
        WebSocketWriter.send_frame, RequestHandler.data_received = self._originals  # type: ignore[method-assign]
