"""W: what came in. That a failed transaction credits nothing (W4) no table can show: they are never written."""

from storage.invariants.model import Invariant

_BOOKED = """
    ('incoming_to_deal', 'incoming_surplus', 'incoming_to_funds', 'incoming_to_suspense', 'incoming_to_tolerance',
     'owner_put_in')
"""

INCOMING = (
    Invariant(
        "W1 credited once",
        "a transfer on the chain is here once, but for appearances in blocks that vanished",
        """
        SELECT network, tx_hash, log_index, count(*) AS rows FROM incoming_tx WHERE status <> 'reversed'
        GROUP BY network, tx_hash, log_index HAVING count(*) > 1
        """,
    ),
    Invariant(
        "W2 what vanished is taken back",
        "an incoming transfer whose block vanished is posted back, or claimed from its company, to the unit",
        """
        SELECT incoming.id, incoming.undone, incoming.amount_token, coalesce(sum(taken.units), 0) AS taken_back
        FROM incoming_tx AS incoming
        LEFT JOIN ledger_transfer AS taken
            ON taken.reference = incoming.id AND taken.kind IN ('incoming_reversed', 'claim')
        WHERE incoming.place <> 'nowhere'
        GROUP BY incoming.id
        HAVING coalesce(sum(taken.units), 0)
               <> CASE WHEN incoming.undone IN ('reversed', 'claimed') THEN incoming.amount_token ELSE 0 END
        """,
    ),
    Invariant(
        "W3 known by the contract",
        "an incoming transfer is of the asset that its contract is, never of another",
        """
        SELECT incoming.id, incoming.contract, incoming.token FROM incoming_tx AS incoming
        LEFT JOIN assets ON assets.id = incoming.token
        WHERE incoming.token IS NOT NULL
          AND (assets.network, assets.contract) IS DISTINCT FROM (incoming.network, incoming.contract)
        """,
    ),
    Invariant(
        "W5 booked in one place",
        "an incoming transfer of a listed asset is in the books to the unit, and one of another is not in them",
        f"""
        SELECT incoming.id, incoming.status, incoming.place, incoming.amount_token,
               coalesce(sum(booked.units), 0) AS booked
        FROM incoming_tx AS incoming
        LEFT JOIN ledger_transfer AS booked ON booked.reference = incoming.id AND booked.kind IN {_BOOKED}
        GROUP BY incoming.id
        HAVING coalesce(sum(booked.units), 0)
               <> CASE incoming.place WHEN 'nowhere' THEN 0 ELSE incoming.amount_token END
        """,
    ),
)
