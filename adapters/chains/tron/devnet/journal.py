"""The chain in a file: what it was made with, then one line for each step, written before anyone hears of it.

A line reaches the operating system in one write, so it survives the death of the process; a torn last line
belonged to a step that nobody saw and is dropped. Blocks are executed again at the next start and must come out
with the same ids. What waited for a block is not kept: a node that is killed forgets it too. Power loss is not
covered.
"""

import fcntl
import os
from pathlib import Path

import msgspec

from .blocks import Block
from .chain import Chain, Change, Clock, Rules, Sealed
from .devnet import Devnet, Funding
from .transactions import unpack, with_signers
from .world import Decree

FILE_NAME = "tron.journal"


class JournalRefused(Exception):
    """The folder is another chain's or another process's, or its journal does not give the same blocks again."""


class _Made(msgspec.Struct, frozen=True, tag="made"):
    rules: Rules
    funding: dict[str, Funding]


class _Sealed(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    time_ms: int
    witness: bytes
    transactions: tuple[bytes, ...] = ()
    decrees: tuple[Decree, ...] = ()


class _Step(msgspec.Struct, frozen=True, tag="step", omit_defaults=True):
    blocks: tuple[_Sealed, ...]
    back_to: int | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Made | _Step)


class Journal:
    """The file of one chain, open in one process only."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise JournalRefused(f"no chain can be kept in {folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalRefused(f"another devnet is running in {folder}") from None

    def open(self, clock: Clock, rules: Rules, funding: dict[str, Funding]) -> Devnet:
        """Give the chain of this folder, or begin one; from then on every step is written.

        Rules and funding are for a new chain. An old one keeps its own; JournalRefused if `rules` say something
        else of the seed, the block time or the solid lag.
        """
        lines = self._whole_lines()
        if not lines:
            self._write(_Made(rules, funding))
            devnet = Devnet(clock, rules, funding)
        else:
            devnet = self._replay(lines, clock, rules)
        devnet.chain.listener = self._append
        return devnet

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._file)

    def _whole_lines(self) -> list[bytes]:
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file, whole)
        return content[:whole].splitlines()

    def _replay(self, lines: list[bytes], clock: Clock, rules: Rules) -> Devnet:
        made, *steps = (_decoder.decode(line) for line in lines)
        if not isinstance(made, _Made):
            raise JournalRefused(f"{self._path} does not begin with a chain")
        for name in ("seed", "block_ms", "solid_lag"):
            if (now := getattr(rules, name)) != (then := getattr(made.rules, name)):
                raise JournalRefused(
                    f"the chain in {self._path.parent} has {name} {then}, not {now}; "
                    "ask for that, or use another folder"
                )
        devnet = Devnet(clock, made.rules, made.funding)
        for step in steps:
            if isinstance(step, _Step):
                self._replay_step(devnet.chain, step)
        return devnet

    def _replay_step(self, chain: Chain, step: _Step) -> None:
        blocks = [
            Sealed(
                each.id,
                each.time_ms,
                each.witness,
                tuple(with_signers(unpack(content)) for content in each.transactions),
                each.decrees,
            )
            for each in step.blocks
        ]
        try:
            chain.replay(step.back_to, blocks)
        except ValueError as error:
            raise JournalRefused(f"{self._path} was written by another version of the devnet: {error}") from error

    def _append(self, change: Change) -> None:
        self._write(_Step(tuple(_sealed(block) for block in change.blocks), change.back_to))

    def _write(self, line: _Made | _Step) -> None:
        content = _encoder.encode(line) + b"\n"
        if os.write(self._file, content) != len(content):
            raise OSError(f"{self._path} could not be written whole")


def _sealed(block: Block) -> _Sealed:
    return _Sealed(
        block.id,
        block.time_ms,
        block.witness,
        tuple(each.transaction.content for each in block.included),
        block.decrees,
    )
