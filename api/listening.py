"""The socket of the API, bound before anything slow begins: a port that is taken should be known at once."""

import os
import socket


class CannotListen(Exception):
    """The API's address is taken, or not this machine's; the message says which setting to change."""


def listen_on(host: str, port: int) -> tuple[socket.socket, str]:
    """Bind the API's port and give its address; raise `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        # Python lengthens the system's words with what it attempted; a name that is unknown has no number there.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise CannotListen(
            f"the API cannot listen on {host}, port {port}: {reason}. "
            "TRELLIS_API_PORT chooses another port, TRELLIS_API_HOST another address"
        ) from error
    name = f"[{host}]" if family is socket.AF_INET6 else host
    return listening, f"http://{name}:{listening.getsockname()[1]}"
