"""Asks a running Trellis over HTTP on loopback. The standard library's client: a command should begin at once."""

import http.client
import json
import uuid
from typing import Any, NoReturn
from urllib.parse import urlsplit

from actors.cli import fail

TIMEOUT_S = 60.0
NOT_RUNNING = 3


class Client:
    """Speaks to one address under one token. Every failure ends the program with a message and an exit code."""

    def __init__(self, address: str, token: str) -> None:
        self._address = urlsplit(address)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def get(self, path: str) -> Any:
        """Read."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: dict[str, Any] | None = None, command_id: str | None = None) -> Any:
        """Command; a repetition under the same id is carried out once."""
        return self._ask("POST", path, body or {}, {"Idempotency-Key": command_id or uuid.uuid4().hex})

    def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port, timeout=TIMEOUT_S
        )
        text = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, text, {**self._headers, **headers})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            fail(
                f"Trellis does not answer at {self._address.netloc}: {error or type(error).__name__}", NOT_RUNNING
            )
        finally:
            connection.close()
        if response.status >= 400:
            _fail_with(answer)
        return answer


def _fail_with(problem: dict[str, Any]) -> NoReturn:
    """Say what the problem document says, each value with what would be accepted."""
    lines = [f"{problem['title']} ({problem['status']})"]
    errors = problem.get("errors", [])
    for error in errors:
        place = error.get("pointer", "").rsplit("/", 1)[-1] or error.get("parameter", "")
        allowed = f" (allowed: {error['allowed']})" if error.get("allowed") else ""
        lines.append(f"  {place + ': ' if place else ''}{error['detail']}{allowed}")
    if not errors and problem.get("detail"):
        lines.append(f"  {problem['detail']}")
    fail("\n".join(lines))
