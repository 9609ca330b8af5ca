"""Questions to nodes within this process: a transport without sockets, that sorts failures as HTTP's does."""

from typing import Any

from adapters.chains.rpc import Answer
from adapters.chains.tron.devnet import Devnet
from engine.errors import OutcomeUnknown, Retryable


class DirectTransport:
    """Fulfils `adapters.chains.rpc.Transport` over a devnet's nodes."""

    def __init__(self, devnet: Devnet) -> None:
        self._devnet = devnet

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        """Ask a node as `HttpTransport` would."""
        answer = self._devnet.node(node).answer(path, body)
        if answer.status == 429:
            raise Retryable(f"{node} has had too many questions")
        if answer.status != 200:
            raise OutcomeUnknown(f"{node} answered {answer.status or 'nothing'}")
        return answer.json
