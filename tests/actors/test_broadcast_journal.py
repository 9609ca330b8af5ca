"""The file outside the database: what is synced is kept, a torn tail is cut off, anything else is refused."""

import stat
from pathlib import Path

import msgspec
import pytest

from actors.broadcast_journal import BroadcastJournal, JournalDamaged
from engine.errors import Retryable
from engine.ids import HotWalletId, Instant, PayoutTaskId, TxId
from engine.money import AssetId, Network
from engine.payments.chain import BlockRef, PayoutIntent, SignedPayout

WALLET = HotWalletId("hw_x")
HUGE = 2**200


def attempt(number: int) -> tuple[PayoutIntent, SignedPayout]:
    intent = PayoutIntent(
        task=PayoutTaskId(f"po_{number}.1"),
        attempt=1,
        network=Network.TRON,
        asset=AssetId("tron:USDT"),
        contract="TToken",
        hot_wallet=WALLET,
        sender="THot",
        recipient="TThere",
        units=HUGE + number,
        fee_limit=1,
        expires_at_ms=Instant(2_000),
        timestamp_ms=Instant(1_000 + number),
        reference=BlockRef(1, "01", "00", Instant(900)),
    )
    return intent, SignedPayout(TxId(f"{number:064x}"), bytes([number]) * 50, Instant(2_000), 1)


def opened(path: Path) -> BroadcastJournal:
    journal = BroadcastJournal(path, WALLET)
    journal.open()
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def written(path: Path) -> bytes:
    journal = opened(path)
    journal.note_database("7", 1)
    journal.append([attempt(1), attempt(2)])
    journal.append([attempt(3), attempt(4)])
    journal.close()
    return path.read_bytes()


def numbers(journal: BroadcastJournal) -> list[int]:
    return [line.intent.units - HUGE for line in journal.attempts()]


def test_what_was_written_is_read_again_to_the_last_unit(path: Path) -> None:
    written(path)
    journal = opened(path)
    assert [(line.intent, line.signed) for line in journal.attempts()] == [attempt(n) for n in (1, 2, 3, 4)]
    assert (journal.knows(attempt(3)[1].tx_id), journal.knows(attempt(5)[1].tx_id)) == (True, False)
    assert journal.newest == attempt(4)[1].tx_id
    assert journal.database is not None
    assert (journal.database.system, journal.database.timeline) == ("7", 1)


def test_the_file_is_its_owners_alone(path: Path) -> None:
    written(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_tail_that_is_torn_anywhere_is_cut_off_and_writing_goes_on(path: Path) -> None:
    content = written(path)
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
    for length in range(ends[2], len(content), 7):
        path.write_bytes(content[:length])
        journal = opened(path)
        whole = sum(end <= length for end in ends) - 1
        assert numbers(journal) == [1, 2, 3, 4][:whole]
        journal.append([attempt(9)])
        journal.close()
        again = opened(path)
        assert numbers(again) == [*[1, 2, 3, 4][:whole], 9]
        again.close()


def test_a_batch_that_lost_its_first_line_was_never_synced_and_goes_as_a_whole(path: Path) -> None:
    lines = written(path).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"\x00" * (len(lines[3]) - 1) + b"\n", lines[4]]))
    assert numbers(opened(path)) == [1, 2]


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_damage_before_what_was_synced_later_is_refused(path: Path, damaged: int) -> None:
    lines = written(path).splitlines(keepends=True)
    lines[damaged] = lines[damaged].replace(b"5", b"6", 1) if b"5" in lines[damaged] else b"x" + lines[damaged][1:]
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalDamaged):
        opened(path)


def test_a_line_that_was_taken_out_is_missed(path: Path) -> None:
    lines = written(path).splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(JournalDamaged):
        opened(path)


def test_the_journal_of_another_wallet_is_refused(path: Path) -> None:
    written(path)
    with pytest.raises(JournalDamaged, match="another wallet"):
        BroadcastJournal(path, HotWalletId("hw_y")).open()


def test_a_second_process_does_not_get_in_until_the_first_has_closed(path: Path) -> None:
    first = opened(path)
    with pytest.raises(Retryable):
        opened(path)
    first.close()
    opened(path).close()


def test_nothing_is_written_to_a_closed_journal(path: Path) -> None:
    journal = opened(path)
    journal.close()
    with pytest.raises(RuntimeError, match="not open"):
        journal.append([attempt(1)])


def test_lines_say_nothing_of_keys(path: Path) -> None:
    line = msgspec.json.decode(written(path).splitlines()[1].rpartition(b" ")[0])
    assert set(line) == {"type", "sequence", "previous", "batch", "intent", "signed"}
