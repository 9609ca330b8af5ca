"""The state of the chain, and what a transaction does to it: permissions, fees, TRX, contracts.

A world stands at a height, executes the next block's contents and can go back. Given the same blocks two worlds
are equal; nothing in here reads a clock or draws a number. The rules and their words are java-tron's
(`Manager.processTransaction`, `BandwidthProcessor`, `ReceiptCapsule`).
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from .accounts import Account
from .addresses import base58_text
from .artifact import call_data
from .machine import Execution, Log, Machine, Mark
from .transactions import KINDS, Call, Permission, Transaction, Transfer, UpdatePermissions

ENERGY_FACTOR = 34_000
"""What a token as busy as USDT costs on top: 64 thousand energy for a transfer, 130 thousand to a new holder."""
BLOCKS_KEPT = 400
"""How far a world can go back. Reorganisations end at the solid block; lagging nodes go a little deeper."""
SIGNATURES_MAX = 5
CONSTANT_ENERGY_MAX = 100_000_000


class Parameters(msgspec.Struct, frozen=True):
    """What the producers vote on. Fees are in sun."""

    energy_fee: int = 100
    transaction_fee: int = 1_000
    """For a byte of bandwidth."""
    memo_fee: int = 1_000_000
    multi_sign_fee: int = 1_000_000
    create_account_fee: int = 100_000
    new_account_fee: int = 1_000_000
    permission_update_fee: int = 100_000_000
    fee_limit_max: int = 15_000_000_000
    free_net: int = 600


class Refused(Exception):
    """A transaction that cannot be in a block: java-tron's code and words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Deployed(msgspec.Struct, frozen=True):
    """A contract that exists."""

    address: bytes
    name: str
    creator: bytes
    energy_factor: int


class SetAccount(msgspec.Struct, frozen=True, tag="account"):
    """A decree of whoever runs the devnet: what no transaction could do at once. None leaves as it was."""

    address: bytes
    balance: int | None = None
    energy_limit: int | None = None
    owner: Permission | None = None
    actives: tuple[Permission, ...] | None = None


class SetParameters(msgspec.Struct, frozen=True, tag="parameters"):
    """A decree: other fees, as after a vote of the producers."""

    parameters: Parameters


class Deploy(msgspec.Struct, frozen=True, tag="deploy"):
    """A decree: a contract."""

    name: str
    creator: bytes
    code: bytes
    energy_factor: int = ENERGY_FACTOR


class Issue(msgspec.Struct, frozen=True, tag="issue"):
    """A decree: tokens that an address has from the beginning, without a transaction."""

    name: str
    address: bytes
    units: int


Decree = SetAccount | SetParameters | Deploy | Issue


class Included(msgspec.Struct, frozen=True):
    """A transaction in a block, with everything that it did and cost."""

    transaction: Transaction
    result: str
    """`SUCCESS`, `REVERT`, `OUT_OF_ENERGY`: an included transaction may have failed, and paid."""
    fee: int = 0
    net_usage: int = 0
    net_fee: int = 0
    energy_usage: int = 0
    """The part that staked energy paid."""
    energy_fee: int = 0
    energy_total: int = 0
    energy_penalty: int = 0
    output: bytes = b""
    logs: tuple[Log, ...] = ()


class _Undo(msgspec.Struct):
    height: int
    mark: Mark
    parameters: Parameters
    accounts: dict[bytes, Account | None]
    contracts: list[bytes]


class World:
    """Accounts, contracts and parameters at a height."""

    def __init__(self, parameters: Parameters) -> None:
        self.height = -1
        self.time_ms = 0
        self.parameters = parameters
        self.accounts: dict[bytes, Account] = {}
        self.contracts: dict[bytes, Deployed] = {}
        self.machine = Machine()
        self._undo: deque[_Undo] = deque(maxlen=BLOCKS_KEPT)

    # ------------------------------------------------------------------ moving through blocks

    def open(self, time_ms: int, decrees: Iterable[Decree] = ()) -> None:
        """Begin the next block: what `apply` does from now on belongs to it."""
        self._undo.append(_Undo(self.height, self.machine.mark(), self.parameters, {}, []))
        self.height += 1
        self.time_ms = time_ms
        for decree in decrees:
            self._obey(decree)

    def go_back(self, height: int) -> None:
        """Undo every block above a height; raise LookupError when that is further back than is kept."""
        if height < self.height and (not self._undo or self._undo[0].height > height):
            raise LookupError(f"block {height} is further back than the {BLOCKS_KEPT} blocks that are kept")
        while self.height > height:
            undo = self._undo.pop()
            self.machine.go_back(undo.mark)
            self.parameters = undo.parameters
            for address in undo.contracts:
                del self.contracts[address]
            for address, before in undo.accounts.items():
                if before is None:
                    del self.accounts[address]
                else:
                    self.accounts[address] = before
            self.height = undo.height

    def _obey(self, decree: Decree) -> None:
        match decree:
            case SetAccount():
                account = self.accounts.get(decree.address) or Account(decree.address, created_ms=self.time_ms)
                changes = {
                    name: value
                    for name in ("balance", "energy_limit", "owner", "actives")
                    if (value := getattr(decree, name)) is not None
                }
                self._put(msgspec.structs.replace(account, **changes))
            case SetParameters():
                self.parameters = decree.parameters
            case Deploy():
                address = self.machine.deploy(decree.creator, decree.code)
                self.contracts[address] = Deployed(address, decree.name, decree.creator, decree.energy_factor)
                self._undo[-1].contracts.append(address)
            case Issue():
                deployed = next(each for each in self.contracts.values() if each.name == decree.name)
                data = call_data("issue(address,uint256)", decree.address, decree.units)
                self.machine.call(deployed.creator, deployed.address, data, CONSTANT_ENERGY_MAX, 0)

    def _put(self, account: Account) -> None:
        self._undo[-1].accounts.setdefault(account.address, self.accounts.get(account.address))
        self.accounts[account.address] = account

    # ------------------------------------------------------------------ transactions

    def apply(self, transaction: Transaction) -> Included:
        """Execute a transaction in the open block; raise Refused, and change nothing, if it cannot be in one."""
        included, changed = self._execute(transaction, self.time_ms)
        for account in changed:
            self._put(account)
        return included

    def check(self, transaction: Transaction, now_ms: int) -> None:
        """Raise Refused if a transaction could not be executed in this state. Contracts are not run."""
        self.check_permission(transaction)
        owner = self._owner(transaction)
        owner, _net_usage, _net_fee, _fee = self._pay_bandwidth(owner, transaction, now_ms)
        match transaction.raw.contract:
            case Transfer():
                self._move(owner, transaction.raw.contract, now_ms)
            case Call():
                self._check_call(transaction)
            case UpdatePermissions():
                self._update(owner, transaction.raw.contract)

    def check_permission(self, transaction: Transaction) -> int:
        """Give the weight of the signatures; raise Refused unless it is enough for this contract."""
        permission = self.permission(transaction)
        if not transaction.signers:
            raise _signature_error("miss sig or contract")
        if len(transaction.signers) > SIGNATURES_MAX:
            raise _signature_error("too many signatures")
        weight = weigh(permission, transaction)
        if weight < permission.threshold:
            raise _signature_error("Signature weight is not enough")
        return weight

    def permission(self, transaction: Transaction) -> Permission:
        """Give the permission that a transaction names; raise Refused when it does not cover its contract."""
        number = transaction.raw.permission_id
        account = self.accounts.get(transaction.owner) or Account(transaction.owner)
        permission = account.permission(number)
        if permission is None:
            raise _signature_error("permission isn't exit")  # java-tron's own spelling
        if number and not permission.allows(KINDS[type(transaction.raw.contract)][0]):
            raise _signature_error("Permission denied")
        return permission

    def _execute(self, transaction: Transaction, now_ms: int) -> tuple[Included, list[Account]]:
        self.check_permission(transaction)
        before = self._owner(transaction)
        owner, net_usage, net_fee, fee = self._pay_bandwidth(before, transaction, now_ms)
        match transaction.raw.contract:
            case Call():
                return self._call(owner, transaction, now_ms, net_usage, net_fee, fee)
            case Transfer():
                owner, others, cost = self._move(owner, transaction.raw.contract, now_ms)
            case UpdatePermissions():
                owner, others, cost = self._update(owner, transaction.raw.contract)
        return Included(transaction, "SUCCESS", fee + cost, net_usage, net_fee), [owner, *others]

    def _owner(self, transaction: Transaction) -> Account:
        owner = self.accounts.get(transaction.owner)
        if owner is None:
            raise _validate_error(f"account [{transaction.owner.hex()}] does not exist")
        return owner

    def _pay_bandwidth(
        self, owner: Account, transaction: Transaction, now_ms: int
    ) -> tuple[Account, int, int, int]:
        """Give the owner after bandwidth, memo and many signatures; bandwidth used and burned; the whole fee."""
        parameters = self.parameters
        contract = transaction.raw.contract
        extra = parameters.memo_fee if transaction.raw.memo else 0
        extra += parameters.multi_sign_fee if len(transaction.signatures) > 1 else 0
        usage = burned = 0
        size = transaction.size
        if isinstance(contract, Transfer) and contract.to not in self.accounts:
            burned = parameters.create_account_fee
        elif owner.free_net.now(now_ms) + size <= parameters.free_net:
            usage = size
        else:
            burned = size * parameters.transaction_fee
        if owner.balance < burned + extra:
            raise Refused("BANDWITH_ERROR", "Account resource insufficient error.")
        free_net = owner.free_net.add(usage, now_ms) if usage else owner.free_net
        owner = msgspec.structs.replace(owner, balance=owner.balance - burned - extra, free_net=free_net)
        return owner, usage, burned, burned + extra

    def _move(self, owner: Account, transfer: Transfer, now_ms: int) -> tuple[Account, list[Account], int]:
        name = "Validate TransferContract error, "
        if transfer.amount <= 0:
            raise _validate_error("Amount must be greater than 0.")
        if transfer.to == transfer.owner:
            raise _validate_error("Cannot transfer TRX to yourself.")
        if transfer.to in self.contracts:
            raise _validate_error("Cannot transfer TRX to a smartContract.")
        recipient = self.accounts.get(transfer.to)
        fee = self.parameters.new_account_fee if recipient is None else 0
        if owner.balance < transfer.amount + fee:
            raise _validate_error(name + "balance is not sufficient.")
        recipient = recipient or Account(transfer.to, created_ms=now_ms)
        return (
            msgspec.structs.replace(owner, balance=owner.balance - transfer.amount - fee),
            [msgspec.structs.replace(recipient, balance=recipient.balance + transfer.amount)],
            fee,
        )

    def _update(self, owner: Account, update: UpdatePermissions) -> tuple[Account, list[Account], int]:
        for permission in (update.owner_permission, *update.actives):
            if not permission.keys or permission.threshold <= 0:
                raise _validate_error("permission's threshold should be greater than 0")
            if sum(key.weight for key in permission.keys) < permission.threshold:
                raise _validate_error("sum of all key's weight should not be less than threshold in permission")
        fee = self.parameters.permission_update_fee
        if owner.balance < fee:
            raise _validate_error("Validate AccountPermissionUpdateContract error, balance is not sufficient.")
        actives = tuple(
            msgspec.structs.replace(each, id=number) for number, each in enumerate(update.actives, start=2)
        )
        changes = {"owner": update.owner_permission, "actives": actives, "balance": owner.balance - fee}
        return msgspec.structs.replace(owner, **changes), [], fee

    # ------------------------------------------------------------------ contracts

    def _check_call(self, transaction: Transaction) -> Deployed:
        call = transaction.raw.contract
        assert isinstance(call, Call)
        deployed = self.contracts.get(call.contract)
        if deployed is None:
            raise _validate_error("No contract or not a valid smart contract")
        if not 0 <= transaction.raw.fee_limit <= self.parameters.fee_limit_max:
            raise _validate_error(f"feeLimit must be >= 0 and <= {self.parameters.fee_limit_max}")
        if call.call_value < 0 or call.token_value:
            raise _validate_error("callValue must be >= 0, and the devnet knows no TRC-10 tokens")
        return deployed

    def _call(
        self, owner: Account, transaction: Transaction, now_ms: int, net_usage: int, net_fee: int, fee: int
    ) -> tuple[Included, list[Account]]:
        call = transaction.raw.contract
        assert isinstance(call, Call)
        deployed = self._check_call(transaction)
        price = self.parameters.energy_fee
        staked = owner.energy_left(now_ms)
        limit = min(staked + max(0, owner.balance - call.call_value) // price, transaction.raw.fee_limit // price)
        done = self._run(deployed, call, limit)
        from_stake = min(staked, done.energy)
        burned = (done.energy - from_stake) * price
        energy = owner.energy.add(from_stake, now_ms) if from_stake else owner.energy
        owner = msgspec.structs.replace(owner, balance=owner.balance - burned, energy=energy)
        included = Included(
            transaction,
            done.result,
            fee + burned,
            net_usage,
            net_fee,
            from_stake,
            burned,
            done.energy,
            done.penalty,
            done.output,
            done.logs,
        )
        return included, [owner]

    def _run(self, deployed: Deployed, call: Call, limit: int) -> Execution:
        if call.call_value:
            return Execution("REVERT", 0, 0)  # No contract here takes TRX, and theirs says so first.
        return self.machine.call(call.owner, call.contract, call.data, limit, deployed.energy_factor)

    def look(self, caller: bytes, contract: bytes, data: bytes) -> Execution:
        """Execute a call without consequences; raise Refused when there is no such contract."""
        deployed = self.contracts.get(contract)
        if deployed is None:
            raise _validate_error("Smart contract is not exist.")
        return self.machine.look(caller, contract, data, CONSTANT_ENERGY_MAX, deployed.energy_factor)


def weigh(permission: Permission, transaction: Transaction) -> int:
    """Add the weights of a transaction's signatures; raise Refused for a stranger's or one given twice."""
    if len(transaction.signers) > len(permission.keys):
        raise _signature_error(
            f"Signature count is {len(transaction.signers)} more than key counts of permission : "
            f"{len(permission.keys)}"
        )
    weights = {key.address: key.weight for key in permission.keys}
    total = 0
    for signer in transaction.signers:
        if signer not in weights:
            raise _not_contained(transaction.id, signer)
        total += weights[signer]
    if len(set(transaction.signers)) != len(transaction.signers):
        raise _signature_error("the same address has signed twice!")
    return total


def _not_contained(digest: str, signer: bytes) -> Refused:
    return _signature_error(f"{digest} is signed by {base58_text(signer)} but it is not contained of permission.")


def _signature_error(message: str) -> Refused:
    return Refused("SIGERROR", f"Validate signature error: {message}")


def _validate_error(message: str) -> Refused:
    return Refused("CONTRACT_VALIDATE_ERROR", f"Contract validate error : {message}")
