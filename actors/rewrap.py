"""Changes the key that everything in the database is sealed under.

The sealed values themselves are neither opened nor written anew, only the small keys around them. It may be
interrupted anywhere and run again: the older keys are forgotten last, when nothing needs them any more.
"""

from adapters.secrets.envelope import KekFile, Sealed, Vault
from storage.database import Database
from storage.sealed_values import all_sealed, replace


async def rewrap(database: Database, keks: KekFile) -> int:
    """Draw a new sealing key and wrap every value under it; give how many there were.

    Raises `SealBroken` for a value that no key of the file opens: then every key is kept.
    """
    present, vault, count = keks.add(), Vault(keks), 0
    while True:
        values = await all_sealed(database)
        older = [value for value in values if Sealed(value.content).kek_id != present]
        if not older:
            keks.forget_older()
            return count
        for value in older:
            again = vault.rewrap(Sealed(value.content), *value.place)
            count += await replace(database, value, again.content, again.kek_id)
