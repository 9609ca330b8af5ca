"""The contracts' machine: revm inside this process, counted in TRON's energy.

An EVM before Berlin has, like TRON's, one price for every access, so that what a transfer costs does not depend on
what happened before it. Its journal is never flushed: that is what makes any earlier moment a mark away.
"""

import msgspec
import pyrevm

from .addresses import evm, from_evm

SPECIFICATION = "Petersburg"

# What Ethereum charges before the first instruction, and TRON pays in bandwidth instead.
INTRINSIC = 21_000
INTRINSIC_ZERO_BYTE = 4
INTRINSIC_BYTE = 68

FACTOR_ONE = 10_000
"""Energy factors are in ten-thousandths, as java-tron has them."""


class Log(msgspec.Struct, frozen=True):
    """One event."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Execution(msgspec.Struct, frozen=True):
    """What a call did."""

    result: str
    """`SUCCESS`, `REVERT` or `OUT_OF_ENERGY`."""
    energy: int
    penalty: int
    """The part of `energy` that a busy contract costs on top (java-tron's dynamic energy)."""
    output: bytes = b""
    logs: tuple[Log, ...] = ()


Mark = pyrevm.JournalCheckpoint


class Machine:
    """One state of all contracts, with marks to go back to."""

    def __init__(self) -> None:
        self._evm = pyrevm.EVM(spec_id=SPECIFICATION)

    def mark(self) -> Mark:
        """Remember this moment. A mark is good for one return; those made after it end with it."""
        mark = self._evm.snapshot()
        # The checkpoint stays known; only the depth of calls, which ends at 1,024, is given back.
        self._evm.commit()
        return mark

    def go_back(self, mark: Mark) -> None:
        """Return to a mark."""
        self._evm.snapshot()
        self._evm.revert(mark)

    def deploy(self, creator: bytes, code: bytes) -> bytes:
        """Create a contract; its address follows from the creator and how many it created before."""
        return from_evm(self._evm.deploy(evm(creator), code))

    def code(self, address: bytes) -> bytes:
        """Give a contract's code, nothing for an account."""
        return self._evm.get_code(evm(address)) or b""

    def call(self, caller: bytes, contract: bytes, data: bytes, energy_limit: int, factor: int) -> Execution:
        """Execute and keep what was changed. `factor` is what the contract costs on top, in ten-thousandths."""
        zeros = data.count(0)
        intrinsic = INTRINSIC + zeros * INTRINSIC_ZERO_BYTE + (len(data) - zeros) * INTRINSIC_BYTE
        scale = FACTOR_ONE + factor
        gas = intrinsic + energy_limit * FACTOR_ONE // scale
        output, result = b"", "SUCCESS"
        try:
            output = self._evm.message_call(evm(caller), evm(contract), calldata=data, gas=gas)
        except RuntimeError as error:
            halted = self._evm.result is None or bool(self._evm.result.is_halt)
            result = "OUT_OF_ENERGY" if halted else "REVERT"
            output = b"" if halted else _revert_output(str(error))
        if result == "OUT_OF_ENERGY":
            return Execution(result, energy_limit, energy_limit - energy_limit * FACTOR_ONE // scale)
        done = self._evm.result
        assert done is not None
        base = done.gas_used + done.gas_refunded - intrinsic  # TRON gives nothing back for cleared storage.
        energy = base * scale // FACTOR_ONE
        logs = tuple(_log(each) for each in done.logs) if result == "SUCCESS" else ()
        return Execution(result, energy, energy - base, output, logs)

    def look(self, caller: bytes, contract: bytes, data: bytes, energy_limit: int, factor: int) -> Execution:
        """Execute and undo it."""
        mark = self.mark()
        try:
            return self.call(caller, contract, data, energy_limit, factor)
        finally:
            self.go_back(mark)


def _revert_output(text: str) -> bytes:
    """Find the bytes in revm's message, its only place for them."""
    _before, _key, after = text.partition("output: 0x")
    return bytes.fromhex(after.partition(" ")[0].rstrip("},"))


def _log(log: pyrevm.Log) -> Log:
    topics, data = log.data
    return Log(from_evm(log.address), tuple(topics), bytes(data))
