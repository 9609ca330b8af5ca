"""Blocks, receipts and accounts in java-tron's JSON: its names, its hex, nothing where a value is the default."""

from typing import Any

from coincurve import PrivateKey

from .accounts import Account
from .blocks import Block
from .transaction_json import address_text, shown, shown_permission
from .transactions import Call
from .world import Included, World

KEPT = 4_096

Page = Any

TOTAL_NET_LIMIT = 43_200_000_000
TOTAL_NET_WEIGHT = 26_000_000_000
TOTAL_ENERGY_LIMIT = 180_000_000_000
TOTAL_ENERGY_WEIGHT = 19_000_000_000


class Pages:
    """Makes JSON, and keeps what never changes. What it gives is shared: it must not be changed."""

    def __init__(self, producers: dict[bytes, PrivateKey]) -> None:
        self._producers = producers
        self._kept: dict[tuple[str, str, bool], Page] = {}

    def block(self, block: Block, included: list[Included], *, visible: bool) -> Page:
        """Give a block with some of its transactions."""
        whole = len(included) == len(block.included)
        key = ("block", block.id, visible)
        if whole and key in self._kept:
            return self._kept[key]
        page = dict(self.header(block, visible=visible))
        if included:
            page["transactions"] = [
                {"ret": [{"contractRet": each.result}], **shown(each.transaction, visible=visible)}
                for each in included
            ]
        return self._keep(key, page) if whole else page

    def header(self, block: Block, *, visible: bool) -> Page:
        """Give a block without transactions."""
        key = ("header", block.id, visible)
        if key in self._kept:
            return self._kept[key]
        raw: dict[str, Any] = {
            "number": block.number,
            "txTrieRoot": block.root.hex(),
            "witness_address": address_text(block.witness, visible=visible),
            "parentHash": block.parent_id,
            "version": 31,
            "timestamp": block.time_ms,
        }
        if not block.number:
            del raw["number"]
        signature = self._producers[block.witness].sign_recoverable(block.header)
        header = {"raw_data": raw, "witness_signature": signature.hex()}
        return self._keep(key, {"blockID": block.id, "block_header": header})

    def receipts(self, block: Block, included: list[Included]) -> Page:
        """Give the receipts of some of a block's transactions."""
        whole = len(included) == len(block.included)
        key = ("receipts", block.id, False)
        if whole and key in self._kept:
            return self._kept[key]
        page = [receipt(block, each) for each in included]
        return self._keep(key, page) if whole else page

    def _keep(self, key: tuple[str, str, bool], page: Page) -> Page:
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = page
        return page


def receipt(block: Block, included: Included) -> dict[str, Any]:
    """Give what became of a transaction (`TransactionInfo`)."""
    contract = included.transaction.raw.contract
    is_call = isinstance(contract, Call)
    bill: dict[str, Any] = {
        "energy_usage": included.energy_usage,
        "energy_fee": included.energy_fee,
        "energy_usage_total": included.energy_total,
        "net_usage": included.net_usage,
        "net_fee": included.net_fee,
        "result": included.result if is_call else "",
        "energy_penalty_total": included.energy_penalty,
    }
    page: dict[str, Any] = {
        "id": included.transaction.id,
        "fee": included.fee,
        "blockNumber": block.number,
        "blockTimeStamp": block.time_ms,
        "contractResult": [included.output.hex()],
        "contract_address": contract.contract.hex() if isinstance(contract, Call) else "",
        "receipt": {name: value for name, value in bill.items() if value},
        "log": [
            {
                "address": each.address[1:].hex(),
                "topics": [topic.hex() for topic in each.topics],
                "data": each.data.hex(),
            }
            for each in included.logs
        ],
    }
    if included.result != "SUCCESS":
        page["result"] = "FAILED"
        page["resMessage"] = _reason(included).encode().hex()
    always = ("id", "receipt")
    return {name: value for name, value in page.items() if value or name in always}


def _reason(included: Included) -> str:
    if included.result == "REVERT":
        return "REVERT opcode executed"
    limit = included.energy_total
    return (
        f"Not enough energy for 'SSTORE' operation executing: curInvokeEnergyLimit[{limit}], "
        f"curOpEnergy[20000], usedEnergy[{limit}]"
    )


def account(found: Account, *, visible: bool) -> dict[str, Any]:
    """Give an account."""
    page: dict[str, Any] = {"address": address_text(found.address, visible=visible)}
    if found.balance:
        page["balance"] = found.balance
    page["create_time"] = found.created_ms
    if found.free_net.at_ms:
        page |= {"latest_opration_time": found.free_net.at_ms, "latest_consume_free_time": found.free_net.at_ms}
    if found.free_net.used:
        page["free_net_usage"] = found.free_net.used
    page |= {"net_window_size": 28_800_000, "net_window_optimized": True}
    resource: dict[str, Any] = {"energy_window_size": 28_800_000, "energy_window_optimized": True}
    if found.energy.at_ms:
        resource |= {"energy_usage": found.energy.used, "latest_consume_time_for_energy": found.energy.at_ms}
    page["account_resource"] = resource
    owner = found.permission(0)
    if owner is not None:
        page["owner_permission"] = shown_permission(owner, active=False, visible=visible)
    actives = found.actives or tuple(each for each in (found.permission(2),) if each is not None)
    page["active_permission"] = [shown_permission(each, active=True, visible=visible) for each in actives]
    return page


def net(found: Account, world: World, now_ms: int) -> dict[str, Any]:
    """Give an account's bandwidth."""
    used = found.free_net.now(now_ms)
    return {
        **({"freeNetUsed": used} if used else {}),
        "freeNetLimit": world.parameters.free_net,
        "TotalNetLimit": TOTAL_NET_LIMIT,
        "TotalNetWeight": TOTAL_NET_WEIGHT,
    }


def resources(found: Account, world: World, now_ms: int) -> dict[str, Any]:
    """Give an account's bandwidth and energy."""
    energy = {"EnergyUsed": found.energy.now(now_ms), "EnergyLimit": found.energy_limit}
    return {
        **net(found, world, now_ms),
        **{name: value for name, value in energy.items() if value},
        "TotalEnergyLimit": TOTAL_ENERGY_LIMIT,
        "TotalEnergyWeight": TOTAL_ENERGY_WEIGHT,
    }


def chain_parameters(world: World) -> dict[str, Any]:
    """Give what the producers have voted."""
    parameters = world.parameters
    values = {
        "getMaintenanceTimeInterval": 21_600_000,
        "getCreateAccountFee": parameters.create_account_fee,
        "getTransactionFee": parameters.transaction_fee,
        "getCreateNewAccountFeeInSystemContract": parameters.new_account_fee,
        "getCreateNewAccountBandwidthRate": 1,
        "getAllowTvmTransferTrc10": 1,
        "getTotalEnergyLimit": TOTAL_ENERGY_LIMIT,
        "getEnergyFee": parameters.energy_fee,
        "getMaxCpuTimeOfOneTx": 80,
        "getAllowMultiSign": 1,
        "getUpdateAccountPermissionFee": parameters.permission_update_fee,
        "getMultiSignFee": parameters.multi_sign_fee,
        "getFreeNetLimit": parameters.free_net,
        "getTotalNetLimit": TOTAL_NET_LIMIT,
        "getAllowTvmLondon": 1,
        "getMemoFee": parameters.memo_fee,
        "getMaxFeeLimit": parameters.fee_limit_max,
        "getAllowDynamicEnergy": 1,
        "getDynamicEnergyThreshold": 5_000_000_000,
        "getDynamicEnergyIncreaseFactor": 2_000,
        "getDynamicEnergyMaxFactor": 34_000,
    }
    return {
        "chainParameter": [{"key": key, **({"value": value} if value else {})} for key, value in values.items()]
    }
