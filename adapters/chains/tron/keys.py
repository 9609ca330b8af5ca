"""A hot wallet's key: one copy, in memory that can be overwritten, handed to libsecp256k1 where it lies.

coincurve's own `PrivateKey` keeps the secret in an immutable `bytes` that nobody can wipe, so the library is
called through its bindings with a pointer into our buffer. Where the secret comes from is the caller's business.
"""

from coincurve import PublicKey
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from adapters.chains.tron import addresses

_SECRET_BYTES, _DIGEST_BYTES = 32, 32
_V = 27
"""What Ethereum and tronweb add to the recovery number; java-tron takes both forms."""


class HotWalletKey:
    """Signs for one address. Fulfils `engine.payments.ports.KeyHolder`."""

    def __init__(self, secret: bytearray) -> None:
        """Take the secret over: the caller's buffer is emptied, so that this object has the only copy."""
        if len(secret) != _SECRET_BYTES:
            raise ValueError("a key has 32 bytes")
        self._secret = bytearray(secret)
        secret[:] = bytes(len(secret))
        self._wiped = False
        public = ffi.new("secp256k1_pubkey *")
        if not lib.secp256k1_ec_pubkey_create(GLOBAL_CONTEXT.ctx, public, ffi.from_buffer(self._secret)):
            self.wipe()
            raise ValueError("these 32 bytes are no key of the curve")
        self._address = addresses.of_key(PublicKey(public))

    @property
    def address(self) -> str:
        """Give the wallet's address."""
        return self._address

    def sign(self, digest: bytes) -> bytes:
        """Sign 32 bytes, the same way each time (RFC 6979); 65 bytes r, s, v. RuntimeError once wiped."""
        if self._wiped:
            raise RuntimeError("the key was wiped")
        if len(digest) != _DIGEST_BYTES:
            raise ValueError("a digest has 32 bytes")
        signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        secret = ffi.from_buffer(self._secret)
        context = GLOBAL_CONTEXT.ctx
        if not lib.secp256k1_ecdsa_sign_recoverable(context, signature, digest, secret, ffi.NULL, ffi.NULL):
            raise RuntimeError("libsecp256k1 did not sign")
        compact, recovery = ffi.new("unsigned char[64]"), ffi.new("int *")
        lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(context, compact, recovery, signature)
        return bytes(ffi.buffer(compact, 64)) + bytes((recovery[0] + _V,))

    def wipe(self) -> None:
        """Overwrite the key. Signing afterwards raises RuntimeError."""
        self._wiped = True
        self._secret[:] = bytes(len(self._secret))

    def __repr__(self) -> str:
        return f"HotWalletKey(address={getattr(self, '_address', '?')}, secret=***)"

    def __reduce__(self) -> str:
        raise TypeError("a key does not travel")


def signer(digest: bytes, signature: bytes) -> str:
    """Give the address whose key made a signature of 65 bytes; raise ValueError if nobody's did."""
    if len(signature) != 65 or signature[64] not in (_V, _V + 1):
        raise ValueError("a signature has 65 bytes and ends with 27 or 28")
    plain = signature[:64] + bytes((signature[64] - _V,))
    try:
        return addresses.of_key(PublicKey.from_signature_and_message(plain, digest, hasher=None))
    except Exception as error:
        # coincurve raises bare Exception or ValueError, by the step that failed.
        raise ValueError("no key has made this signature") from error
