"""Our bytes are tronweb's, to the last bit: ids, raw data, signatures and whole transactions."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from adapters.chains.tron import codec
from adapters.chains.tron.keys import HotWalletKey
from engine.payments.ports import BytesDiffer

NODE_FOLDER = Path(__file__).parents[1] / "node"
STAMP = NODE_FOLDER / "node_modules" / ".installed"
GOLDEN = json.loads((Path(__file__).parent / "golden_vectors.json").read_text())
VECTORS = pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda vector: vector["name"])


def transfer(vector: dict[str, Any]) -> codec.Transfer:
    said, reference = vector["transfer"], bytes.fromhex(vector["reference"]["id"])
    return codec.Transfer(
        **{name: said[name] for name in said.keys() - {"units", "memo"}},
        units=int(said["units"]),
        memo=bytes.fromhex(said["memo"]),
        reference_bytes=reference[6:8],
        reference_hash=reference[8:16],
    )


@VECTORS
def test_raw_data_and_id_are_tronwebs(vector: dict[str, Any]) -> None:
    raw = codec.encode(transfer(vector))
    assert raw.hex() == vector["raw"]
    assert codec.tx_id(raw) == vector["tx_id"]


@VECTORS
def test_tronwebs_raw_data_is_read_back(vector: dict[str, Any]) -> None:
    assert codec.decode(bytes.fromhex(vector["raw"])) == transfer(vector)


@VECTORS
def test_signature_and_whole_transaction_are_tronwebs(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw"])
    key = HotWalletKey(bytearray.fromhex(vector["key"]))
    assert key.address == vector["transfer"]["sender"]
    signature = key.sign(codec.digest(raw))
    assert signature.hex() == vector["signature"]
    whole = codec.join(raw, signature)
    assert whole.hex() == vector["content"]
    assert codec.split(whole) == (raw, signature)


def test_the_vectors_cover_both_kinds_and_every_field() -> None:
    made = [transfer(vector) for vector in GOLDEN["vectors"]]
    assert GOLDEN["tronweb"] == "6.5.1"
    for field in codec.Transfer.__struct_fields__:
        assert len({getattr(it, field) for it in made}) > 1, f"{field} is always the same"


@pytest.mark.parametrize("other", GOLDEN["others"], ids=lambda other: other["name"])
def test_whatever_else_tronweb_makes_is_no_payout(other: dict[str, str]) -> None:
    with pytest.raises(BytesDiffer, match=f"^{other['field']}:"):
        codec.decode(bytes.fromhex(other["raw"]))


@pytest.mark.skipif(
    not STAMP.exists(), reason=f"tronweb is not installed: python {NODE_FOLDER / 'install.py'} (make test does it)"
)
def test_tronweb_makes_the_vectors_again() -> None:
    script = NODE_FOLDER / "golden_vectors.js"
    made = subprocess.run([STAMP.read_text().strip(), script], capture_output=True, check=True, timeout=60)
    assert json.loads(made.stdout) == GOLDEN
