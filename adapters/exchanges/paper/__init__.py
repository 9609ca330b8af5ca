"""The PaperVenue: a Bybit-V5-compatible matching server on loopback, with paper money and real market data.

    venue = PaperVenue(listings(["BTCUSDT"]), [ModelFeed(instruments, seed=7)], state_dir=Path("state"))
    address = await venue.start("127.0.0.1", 0)          # address.http, address.ws
    venue.create_account("key", "secret", {"USDT": "10000"})
    venue.faults.lose_answers(1, "order.create")         # or POST /paper/faults from another process
    await venue.stop()

or, in a process of its own, `python -m adapters.exchanges.paper --feed model --state-dir DIR`. pybit, ccxt and our
own adapter talk to it as to the venue itself: `/v5/*` over HTTP, `/v5/public/*`, `/v5/private`, `/v5/trade`.

How the parts hang together, from the market to the wire:

    feeds/      recordings, a model, or the live stream  → events.py
    venue.py    takes each event or command whole, then commits it and tells the listeners
      market.py     the recorded market: book, tape, candles
      matching.py   who trades with whom, and the rules of the queue
      desk.py       place, amend, cancel; checks.py has the filters
      clearing.py   wallets, locks, fees, funding; positions.py has the arithmetic of linear positions
      records.py    memory and numbers; journal.py is what survives kill -9
    operations.py, queries.py, settings.py   what a client may say, whatever the door; rows.py writes the answers
    private_rest.py, private_stream.py, trade_stream.py, public_rest.py, public_stream.py, admin.py   the doors
    server.py   the whole as one object

What it does not do: conditional and trailing orders, hedge mode, borrowing and RSA keys are refused in words;
inverse and option lists are empty; self-trade prevention is ignored. Liquidation is per position, at one price.
"""
