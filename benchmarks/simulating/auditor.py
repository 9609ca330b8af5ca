"""Says whether money moved exactly once, from two things only: the chain's final blocks and what people agreed.

It imports nothing of the programs that it judges, keeps its own idea of every rule, and asks no database: a
wrong rule there cannot excuse itself here. Order is told by `moment`, a number that grows with everything that
happens in the simulated world, so that "before" and "after" are exact whatever any clock says.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

NEVER = 2**62


@dataclass(frozen=True)
class Movement:
    """One transfer of a token in the final chain, by a transaction that succeeded."""

    tx: str
    block: int
    contract: str
    sender: str
    recipient: str
    units: int


@dataclass(frozen=True)
class Approval:
    """One person's yes to one payout, with what the person was shown."""

    agreement: str
    member: str
    destination: str
    units: int
    moment: int


@dataclass
class Agreement:
    """A payment that people agreed on: from which of our addresses, to whom, how much, against which credit."""

    name: str
    kind: str
    company: str
    source: str
    destination: str
    contract: str
    units: int
    cap: int  # It is paid in transfers of this much, and one of the rest.
    approvers: frozenset[str]
    approvals_needed: int
    initiator: str
    backing: str | None = None
    """The incoming transaction that pays for it; None: money that is at the platform already."""
    is_off: bool = False  # Not due, or not any more: it need not be paid.

    def parts(self) -> list[int]:
        """Cut the amount at the cap, as anybody would with pencil and paper."""
        whole, rest = divmod(self.units, self.cap)
        return [self.cap] * whole + ([rest] if rest else [])


@dataclass(frozen=True)
class Window:
    """A stretch of moments, the end excluded."""

    begins: int
    ends: int = NEVER

    def holds(self, moment: int) -> bool:
        """Tell whether a moment lies within."""
        return self.begins <= moment < self.ends


def shut(windows: list[Window], moment: int) -> None:
    """End the newest window."""
    windows[-1] = Window(windows[-1].begins, moment)


@dataclass
class Story:
    """All that the auditor is told."""

    solid_depth: int  # Blocks that must lie on top of a block before anything in it counts.
    our_addresses: frozenset[str] = frozenset()
    contracts: frozenset[str] = frozenset()
    """The tokens that money is counted in; other contracts of the same name are worth nothing."""
    movements: list[Movement] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    allowed: dict[tuple[str, str], list[Window]] = field(default_factory=lambda: defaultdict(list))
    """(contract, address) → when it was in the allow-list."""
    frozen: dict[tuple[str, str], list[Window]] = field(default_factory=lambda: defaultdict(list))
    """(global, wallet or company; which) → when nothing new was to be signed there."""
    caps: list[tuple[int, int]] = field(default_factory=list)  # (moment, units): the most in a transfer since.
    signed: dict[str, int] = field(default_factory=dict)
    """Transaction → the moment at which the key signed it."""
    signed_at: dict[str, int] = field(default_factory=dict)  # Transaction → the newest block in that moment.
    leaks: list[str] = field(default_factory=list)
    """Transactions that a node was handed before row and journal line were durable."""
    states: list[tuple[int, str, str]] = field(default_factory=list)
    """(moment, task, state) of every change that an onlooker saw; a restored database begins anew."""
    restored: list[int] = field(default_factory=list)
    final_states: dict[str, tuple[str, str]] = field(default_factory=dict)  # Task → state and transaction.


@dataclass
class Findings:
    """What is wrong; every list is empty when money moved exactly once."""

    doubles: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)  # Nobody agreed on this amount to this address.
    unapproved: list[str] = field(default_factory=list)
    over_cap: list[str] = field(default_factory=list)
    not_allowed: list[str] = field(default_factory=list)
    unbacked: list[str] = field(default_factory=list)
    while_frozen: list[str] = field(default_factory=list)
    not_durable: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    invariants: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)  # Exceptions that nobody expected.

    def all(self) -> list[str]:
        """List everything, each with its kind."""
        return [f"{kind}: {line}" for kind, lines in vars(self).items() for line in lines]


def audit(story: Story) -> Findings:
    """Judge a whole run after its last block has become final."""
    findings = Findings()
    owed = _match(story, findings)
    approvals = defaultdict(list)
    for approval in story.approvals:
        approvals[approval.agreement].append(approval)
    arrived = _arrivals(story)
    for agreement in story.agreements:
        paid = owed[agreement.name]
        for movement in paid:
            _judge(story, findings, agreement, movement, approvals[agreement.name])
        _judge_backing(story, findings, agreement, paid, arrived)
        _judge_completeness(findings, agreement, paid)
    findings.not_durable += story.leaks
    _judge_states(story, findings)
    return findings


def _match(story: Story, findings: Findings) -> dict[str, list[Movement]]:
    """Give each payment of ours to the agreement that asks for exactly it; the rest is double or unheard of."""
    wanted: dict[tuple[str, str, str, int], list[str]] = defaultdict(list)
    known: set[tuple[str, str, str, int]] = set()
    for agreement in story.agreements:
        for units in agreement.parts():
            key = (agreement.source, agreement.destination, agreement.contract, units)
            wanted[key].append(agreement.name)
            known.add(key)
    paid: dict[str, list[Movement]] = defaultdict(list)
    for movement in story.movements:
        if movement.sender not in story.our_addresses or movement.contract not in story.contracts:
            continue
        key = (movement.sender, movement.recipient, movement.contract, movement.units)
        if wanted[key]:
            paid[wanted[key].pop(0)].append(movement)
        elif key in known:
            findings.doubles.append(f"{movement.units} to {movement.recipient} again in {movement.tx[:12]}")
        else:
            findings.strangers.append(f"{movement.units} to {movement.recipient} in {movement.tx[:12]}")
    return paid


def _arrivals(story: Story) -> dict[tuple[str, str, str], tuple[int, int]]:
    """(transaction, contract, our address) → units and block of what came in."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for movement in story.movements:
        if movement.recipient in story.our_addresses and movement.contract in story.contracts:
            key = (movement.tx, movement.contract, movement.recipient)
            found[key] = (found.get(key, (0, 0))[0] + movement.units, movement.block)
    return found


def _judge(
    story: Story, findings: Findings, agreement: Agreement, movement: Movement, approvals: list[Approval]
) -> None:
    what = f"{agreement.name} in {movement.tx[:12]}"
    signed = story.signed.get(movement.tx)
    if signed is None:
        findings.strangers.append(f"{what}: our key never signed this")
        return
    cap = next((cap for since, cap in reversed(story.caps) if since < signed), NEVER)
    if movement.units > cap:
        findings.over_cap.append(f"{what}: {movement.units} at once, {cap} was allowed")
    yes = {
        approval.member
        for approval in approvals
        if approval.moment < signed
        and approval.member in agreement.approvers
        and approval.member != agreement.initiator
        and (approval.destination, approval.units) == (agreement.destination, agreement.units)
    }
    if len(yes) < agreement.approvals_needed:
        findings.unapproved.append(f"{what}: {len(yes)} of {agreement.approvals_needed} had approved it")
    if not any(w.holds(signed) for w in story.allowed[agreement.contract, agreement.destination]):
        findings.not_allowed.append(f"{what}: {agreement.destination} was not in the allow-list")
    for place in (("global", ""), ("wallet", agreement.source), ("company", agreement.company)):
        if any(window.holds(signed) for window in story.frozen[place]):
            findings.while_frozen.append(f"{what}: signed while {' '.join(place)} was frozen")


def _judge_backing(
    story: Story,
    findings: Findings,
    agreement: Agreement,
    paid: list[Movement],
    arrived: dict[tuple[str, str, str], tuple[int, int]],
) -> None:
    """Nothing is signed for a deal before what pays for it is final, and never more than that."""
    if agreement.backing is None or not paid:
        return
    units, block = arrived.get((agreement.backing, agreement.contract, agreement.source), (0, NEVER))
    if sum(movement.units for movement in paid) > units:
        findings.unbacked.append(f"{agreement.name}: {agreement.units} paid for, {units} came in")
    first = min(story.signed_at.get(movement.tx, NEVER) for movement in paid)
    if units and first < block + story.solid_depth:
        findings.unbacked.append(f"{agreement.name}: signed at block {first}, money came in block {block}")


def _judge_completeness(findings: Findings, agreement: Agreement, paid: list[Movement]) -> None:
    missing = Counter(agreement.parts()) - Counter(movement.units for movement in paid)
    if missing and not agreement.is_off:
        findings.losses.append(f"{agreement.name} ({agreement.kind}): {missing.total()} parts were never paid")


def _judge_states(story: Story, findings: Findings) -> None:
    """What is over stays over, and what is said to be paid is paid."""
    ends = ("confirmed", "failed")
    last: dict[str, str] = {}
    restores = sorted(story.restored)
    for moment, task, state in story.states:
        while restores and restores[0] <= moment:
            restores.pop(0)
            last.clear()
        if last.get(task) in ends and state != last[task]:
            findings.states.append(f"{task} went from {last[task]} to {state}")
        last[task] = state
    included = {movement.tx for movement in story.movements if movement.sender in story.our_addresses}
    for task, (state, tx) in sorted(story.final_states.items()):
        if state == "confirmed" and tx not in included:
            findings.states.append(f"{task} is confirmed by {tx[:12]}, which paid nothing")
        if state not in ends:
            findings.stuck.append(f"{task} is still {state}")
