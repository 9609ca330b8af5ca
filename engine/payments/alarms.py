"""What somebody must look at, by name. Each kind has its runbook: `api/docs/runbooks/<kind>.md`."""

from enum import IntEnum, StrEnum


class AlarmKind(StrEnum):
    """What is wrong."""

    RPC_DOWN = "rpc_down"
    RPC_LAG = "rpc_lag"
    RPC_DISAGREEMENT = "rpc_disagreement"
    REORG_AFTER_CREDIT = "reorg_after_credit"
    TRX_FLOOR = "trx_floor"
    INSUFFICIENT_ENERGY = "insufficient_energy"
    STUCK_PAYOUT = "stuck_payout"
    PAYOUT_FAILED = "payout_failed"
    RESTORED_DATABASE = "restored_database"
    INVARIANT_BROKEN = "invariant_broken"
    RECONCILIATION_BREAK = "reconciliation_break"
    BYTES_DIFFER = "bytes_differ"
    OVER_LIMIT = "over_limit"


class Severity(IntEnum):
    """How fast somebody must come."""

    SEV1 = 1
    """Money may be in danger: now, at night too."""
    SEV2 = 2
    """Money waits: within the hour."""
    SEV3 = 3
    """Look when you come to work."""
