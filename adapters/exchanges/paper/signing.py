"""Who is asking: Bybit's HMAC signatures and its rule about time stamps. It never re-serialises what was signed.

Only HMAC keys exist here; an RSA signature is refused as a bad signature with a message that says so.
"""

import hashlib
import hmac

from .codes import Code, Refused

TOO_FAR_AHEAD_MS = 1000
DEFAULT_RECV_WINDOW_MS = 5000


class Signer:
    """Check signatures of one key. The keyed hash is prepared once: copying it costs a fifth of making it."""

    def __init__(self, secret: str) -> None:
        self._prepared = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def verify(self, payload: bytes, signature: str) -> None:
        """Refuse unless the signature is the HMAC of the payload, in hexadecimal."""
        keyed = self._prepared.copy()
        keyed.update(payload)
        if hmac.compare_digest(keyed.hexdigest().encode(), signature.encode()):
            return
        if len(signature) > 64:
            raise Refused(Code.BAD_SIGNATURE, "RSA signatures are not offered here; use an HMAC key")
        raise Refused(Code.BAD_SIGNATURE, "error sign! Please check your signature generation algorithm.")


def check_time(timestamp: str, recv_window: str, now_ms: int) -> None:
    """Refuse unless server - recv_window <= timestamp < server + 1000."""
    try:
        at_ms = int(timestamp)
        window_ms = int(recv_window or DEFAULT_RECV_WINDOW_MS)
    except ValueError:
        raise Refused(Code.PARAMETER, "timestamp and recv_window must be whole milliseconds") from None
    if now_ms - window_ms <= at_ms < now_ms + TOO_FAR_AHEAD_MS:
        return
    raise Refused(
        Code.TIMESTAMP,
        f"invalid request, please check your server timestamp or recv_window param. "
        f"req_timestamp[{at_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
    )
