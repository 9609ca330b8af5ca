// Makes transactions with unmodified tronweb, offline, and prints them: what our encoder must write byte for byte.
//
//   node golden_vectors.js > ../tron/golden_vectors.json      after install.py beside it
//
// Nothing is random: keys, blocks and times are fixed, and tronweb signs deterministically.

const { TronWeb, utils } = require("tronweb");

const { txJsonToPb } = utils.transaction;
const USDT = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t";
const UINT256_MAX = (1n << 256n) - 1n;

const referenceOf = (number, tail) => number.toString(16).padStart(16, "0") + tail.repeat(24);

const CASES = [
  { name: "the smallest token transfer", units: "1" },
  { name: "a payout", units: "250000000000", fee_limit: 27_600_000, timestamp: 1_760_000_000_124 },
  { name: "another recipient", to: "08".repeat(32) },
  { name: "the largest amount a word holds", units: UINT256_MAX.toString() },
  { name: "an amount beyond 64 bits", units: (10n ** 30n).toString() },
  { name: "another key and another contract", key: "2f".repeat(32), contract: "TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8" },
  { name: "a reference whose two bytes are zero", number: 0x4280000, tail: "00" },
  { name: "a reference whose two bytes are all ones", number: 0x428ffff, tail: "ff" },
  { name: "the longest life", expires_in: 86_399_000 },
  { name: "the dearest fee limit", fee_limit: 15_000_000_000 },
  { name: "an active permission", permission_id: 2 },
  { name: "a memo", memo: "Invoice 7, part 2" },
  { name: "a memo in Cyrillic under an active permission", memo: "Счёт №7", permission_id: 3 },
  { name: "one sun", contract: "", units: "1" },
  { name: "TRX", contract: "", units: "1500000" },
  { name: "all the TRX there is", contract: "", units: "9007199254740991" },
  { name: "TRX with a memo under an active permission", contract: "", units: "42", memo: "x", permission_id: 2 },
];

async function make(given) {
  const it = {
    key: "11".repeat(32), contract: USDT, units: "1000000", fee_limit: 30_000_000, permission_id: 0, memo: "",
    to: "07".repeat(32), number: 70_123_456, tail: "5a", timestamp: 1_760_000_000_123, expires_in: 60_000, ...given,
  };
  const tronweb = new TronWeb({ fullHost: "http://127.0.0.1:9", privateKey: it.key });
  const sender = tronweb.defaultAddress.base58;
  const recipient = TronWeb.address.fromPrivateKey(it.to);
  const reference = referenceOf(it.number, it.tail);
  const options = {
    permissionId: it.permission_id,
    blockHeader: {
      ref_block_bytes: reference.slice(12, 16),
      ref_block_hash: reference.slice(16, 32),
      expiration: it.timestamp + it.expires_in,
      timestamp: it.timestamp,
    },
  };
  let transaction;
  if (it.contract) {
    const values = [{ type: "address", value: recipient }, { type: "uint256", value: it.units }];
    const call = { ...options, feeLimit: it.fee_limit, txLocal: true };
    const made = await tronweb.transactionBuilder.triggerSmartContract(
      it.contract, "transfer(address,uint256)", call, values, sender,
    );
    transaction = made.transaction;
  } else {
    transaction = await tronweb.transactionBuilder.sendTrx(recipient, Number(it.units), sender, options);
  }
  if (it.memo) {
    transaction = await tronweb.transactionBuilder.addUpdateData(transaction, it.memo, "utf8", { txLocal: true });
  }
  const signed = await tronweb.trx.sign(transaction, it.key);
  const message = txJsonToPb(signed);
  message.addSignature(Uint8Array.from(Buffer.from(signed.signature[0].replace(/^0x/, ""), "hex")));
  return {
    name: it.name,
    key: it.key,
    transfer: {
      sender, recipient, contract: it.contract, units: it.units, fee_limit: it.contract ? it.fee_limit : 0,
      expires_at_ms: it.timestamp + it.expires_in, timestamp_ms: it.timestamp,
      permission_id: it.permission_id, memo: Buffer.from(it.memo).toString("hex"),
    },
    reference: { number: it.number, id: reference },
    raw: signed.raw_data_hex,
    tx_id: signed.txID,
    signature: signed.signature[0].replace(/^0x/, "").toLowerCase(),
    content: Buffer.from(message.serializeBinary()).toString("hex"),
  };
}

// What else a wallet could be made to sign. None of it may pass for a payout; `field` is what must be named.
async function makeOthers() {
  const tronweb = new TronWeb({ fullHost: "http://127.0.0.1:9", privateKey: "11".repeat(32) });
  const build = tronweb.transactionBuilder;
  const sender = tronweb.defaultAddress.base58;
  const to = TronWeb.address.fromPrivateKey("07".repeat(32));
  const reference = referenceOf(70_123_456, "5a");
  const blockHeader = {
    ref_block_bytes: reference.slice(12, 16),
    ref_block_hash: reference.slice(16, 32),
    expiration: 1_760_000_060_123,
    timestamp: 1_760_000_000_123,
  };
  const call = async (selector, options, values) => {
    const all = { blockHeader, feeLimit: 30_000_000, txLocal: true, ...options };
    return (await build.triggerSmartContract(USDT, selector, all, values, sender)).transaction;
  };
  const one = [{ type: "address", value: to }, { type: "uint256", value: "1" }];
  const three = [{ type: "address", value: sender }, ...one];
  const owner = { type: 0, permission_name: "owner", threshold: 1, keys: [{ address: to, weight: 1 }] };
  const active = { ...owner, type: 2, permission_name: "active", operations: "7f".repeat(32) };
  const made = [
    ["an approval", "selector", await call("approve(address,uint256)", {}, one)],
    ["a transfer from another", "selector", await call("transferFrom(address,address,uint256)", {}, three)],
    ["a transfer that sends TRX along", "call_value", await call("transfer(address,uint256)", { callValue: 5 }, one)],
    [
      "a transfer that sends a TRC-10 token along", "token_id",
      await call("transfer(address,uint256)", { tokenId: 1_000_001, tokenValue: 3 }, one),
    ],
    ["a transfer with one argument more", "data", await call("transfer(address,uint256)", {}, [...one, one[1]])],
    ["a TRC-10 transfer", "type", await build.sendToken(to, 5, "1000001", sender, { blockHeader })],
    ["a stake", "type", await build.freezeBalanceV2(1_000_000, "ENERGY", sender, { blockHeader })],
    [
      "a change of who owns the account", "type",
      await build.updateAccountPermissions(sender, owner, undefined, [active], { blockHeader }),
    ],
  ];
  return made.map(([name, field, transaction]) => ({ name, field, raw: transaction.raw_data_hex }));
}

(async () => {
  const vectors = [];
  for (const given of CASES) vectors.push(await make(given));
  const others = await makeOthers();
  process.stdout.write(JSON.stringify({ tronweb: TronWeb.version, vectors, others }, null, 1) + "\n");
})();
