"""Questions to a devnet within this process: no sockets, so that everything happens in one order.

For simulations and tests. Failures are sorted as `http` sorts them.
"""

from collections.abc import Callable
from typing import Any

from adapters.chains.rpc import Answer
from adapters.chains.tron.devnet import Devnet
from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable


class DirectTransport:
    """Fulfils `adapters.chains.rpc.Transport` over a devnet's nodes. `before` sees each question first."""

    def __init__(
        self, devnet: Devnet, before: Callable[[str, str, dict[str, Any]], None] = lambda node, path, body: None
    ) -> None:
        self._devnet = devnet
        self._before = before

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        """Ask a node. An answer, or the error that its silence is."""
        self._before(node, path, body)
        answer = self._devnet.node(node).answer(path, body)
        match answer.status:
            case 200:
                return answer.json
            case 0:
                raise OutcomeUnknown(f"{node} is silent")
            case 429:
                raise Retryable(f"{node} has had too many requests", 1_000)
            case 503:
                raise Retryable(f"{node} is not there")
            case 500:
                raise OutcomeUnknown(f"{node} broke")
            case other:
                raise Rejected(RejectReason.OTHER, f"{node} says {other}", str(other))
