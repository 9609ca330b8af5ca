"""Signatures of Bybit V5: HMAC-SHA256 in hex, over exactly the bytes that are sent."""

import hashlib
import hmac

from adapters.secrets.keys import ApiKey

_AUTH_TTL_MS = 10_000


class Signer:
    """Signs for one account. The key schedule is computed once; each signature copies it."""

    def __init__(self, api_key: ApiKey, recv_window_ms: int) -> None:
        self.key = api_key.key
        self.recv_window_ms = recv_window_ms
        self._keyed = hmac.new(api_key.secret.encode(), digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return "Signer(***)"

    def sign(self, payload: bytes) -> str:
        """Sign raw bytes."""
        signature = self._keyed.copy()
        signature.update(payload)
        return signature.hexdigest()

    def headers(self, timestamp_ms: int, payload: str) -> dict[str, str]:
        """Give the headers of a REST request. `payload` is the raw query string, or the raw body."""
        signed = f"{timestamp_ms}{self.key}{self.recv_window_ms}{payload}"
        return {
            "X-BAPI-API-KEY": self.key,
            "X-BAPI-TIMESTAMP": str(timestamp_ms),
            "X-BAPI-RECV-WINDOW": str(self.recv_window_ms),
            "X-BAPI-SIGN": self.sign(signed.encode()),
        }

    def auth_command(self, now_ms: int) -> bytes:
        """Give the `auth` command of a private or trade socket, to be sent at once."""
        return f'{{"op":"auth","args":{self.socket_args(now_ms + _AUTH_TTL_MS)}}}'.encode()

    def socket_args(self, expires_ms: int) -> str:
        """Give the arguments of a socket's `auth` command, as JSON."""
        return f'["{self.key}",{expires_ms},"{self.sign(b"GET/realtime%d" % expires_ms)}"]'
