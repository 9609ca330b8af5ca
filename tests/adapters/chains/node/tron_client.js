// Lives through what a payer does with unmodified tronweb, against the node that is named first, and prints what it
// saw as one line of JSON. The checks are in ../tron/devnet/test_tronweb.py.
//
//   node tron_client.js http://127.0.0.1:18590 <key> <USDT> <recipient> <another key>

const { TronWeb, utils } = require("tronweb");

const [fullHost, privateKey, usdt, recipient, otherKey] = process.argv.slice(2);
const tronweb = new TronWeb({ fullHost, privateKey });
const { trx, transactionBuilder } = tronweb;
const sender = tronweb.defaultAddress.base58;
const words = (hex) => Buffer.from(hex || "", "hex").toString();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what) {
  for (let tries = 0; tries < 400; tries++) {
    const found = await what();
    if (found && Object.keys(found).length) return found;
    await sleep(25);
  }
  throw new Error(`never came: ${what}`);
}

const seen = (id) => until(() => trx.getUnconfirmedTransactionInfo(id));
const final = (id) => until(() => trx.getTransactionInfo(id));

async function call(units, options) {
  const values = [{ type: "address", value: recipient }, { type: "uint256", value: units }];
  const made = await transactionBuilder.triggerSmartContract(usdt, "transfer(address,uint256)", options, values, sender);
  return made.transaction;
}

async function send(transaction, key) {
  return trx.sendRawTransaction(await trx.sign(transaction, key));
}

const steps = {
  async contract() {
    const contract = await tronweb.contract().at(usdt);
    const before = await contract.balanceOf(recipient).call();
    const id = await contract.transfer(recipient, 777).send({ feeLimit: 30_000_000 });
    const info = await seen(id);
    const isFinalAtOnce = Object.keys(await trx.getTransactionInfo(id)).length > 0;
    const settled = await final(id);
    return {
      name: await contract.name().call(), decimals: Number(await contract.decimals().call()),
      moved: Number((await contract.balanceOf(recipient).call()) - before),
      result: info.receipt.result, isFinalAtOnce, finalBlock: settled.blockNumber === info.blockNumber,
    };
  },
  async remoteBuilder() {
    // tronweb compares what the node built with its own encoding (txCheck) before it hands it out.
    const answer = await send(await call(5, { feeLimit: 30_000_000 }));
    return { accepted: answer.result, result: (await seen(answer.txid)).receipt.result };
  },
  async localBuilder() {
    const answer = await send(await call(6, { feeLimit: 30_000_000, txLocal: true }));
    return { accepted: answer.result, result: (await seen(answer.txid)).receipt.result };
  },
  async sendTrx() {
    const answer = await send(await transactionBuilder.sendTrx(recipient, 1_000_000, sender));
    await seen(answer.txid);
    return { accepted: answer.result, balance: await trx.getUnconfirmedBalance(recipient) };
  },
  async duplicate() {
    const signed = await trx.sign(await call(7, { feeLimit: 30_000_000 }));
    const first = await trx.sendRawTransaction(signed);
    return { first: first.result, second: (await trx.sendRawTransaction(signed)).code };
  },
  async expired() {
    const block = await trx.getCurrentBlock();
    const blockHeader = {
      ref_block_bytes: block.blockID.slice(12, 16), ref_block_hash: block.blockID.slice(16, 32),
      timestamp: block.block_header.raw_data.timestamp, expiration: block.block_header.raw_data.timestamp - 1,
    };
    const answer = await send(await call(8, { feeLimit: 30_000_000, txLocal: true, blockHeader }));
    return { code: answer.code, message: words(answer.message) };
  },
  async lowFeeLimit() {
    const answer = await send(await call(9, { feeLimit: 1_000_000 }));
    const info = await seen(answer.txid);
    return { accepted: answer.result, result: info.receipt.result, fee: info.fee, words: words(info.resMessage) };
  },
  async memo() {
    const noted = await transactionBuilder.addUpdateData(await call(10, { feeLimit: 30_000_000 }), "Invoice 7", "utf8");
    const answer = await send(noted);
    const info = await seen(answer.txid);
    const whole = await trx.getTransaction(answer.txid).catch(() => trx.getUnconfirmedTransaction?.(answer.txid));
    return { extra: info.fee - (info.receipt.energy_fee || 0) - (info.receipt.net_fee || 0), data: words(whole.raw_data.data) };
  },
  async wrongKey() {
    const transaction = await call(11, { feeLimit: 30_000_000 });
    const [digest, key] = [transaction.txID, otherKey].map(utils.code.hexStr2byteArray);
    transaction.signature = [utils.crypto.ECKeySign(digest, key)];
    const answer = await trx.sendRawTransaction(transaction);
    return { code: answer.code, message: words(answer.message) };
  },
  async reading() {
    const head = await trx.getCurrentBlock();
    const number = head.block_header.raw_data.number;
    const byHash = await trx.getBlockByHash(head.blockID);
    const range = await trx.getBlockRange(number - 2, number);
    const account = await trx.getUnconfirmedAccount(sender);
    const parameters = await trx.getChainParameters();
    const values = [{ type: "address", value: recipient }, { type: "uint256", value: 1 }];
    const estimate = await transactionBuilder.estimateEnergy(usdt, "transfer(address,uint256)", {}, values, sender);
    return {
      sameBlock: byHash.blockID === head.blockID, range: range.length, hasPermissions: !!account.owner_permission,
      energyPrice: parameters.find((each) => each.key === "getEnergyFee").value,
      freeNet: (await trx.getAccountResources(sender)).freeNetLimit, bandwidth: await trx.getBandwidth(sender),
      energy: estimate.energy_required,
    };
  },
  async permissions() {
    const other = TronWeb.address.fromPrivateKey(otherKey);
    const both = [{ address: sender, weight: 1 }, { address: other, weight: 1 }];
    const owner = { type: 0, permission_name: "owner", threshold: 2, keys: both };
    const active = {
      type: 2, permission_name: "payouts", threshold: 1, keys: [{ address: other, weight: 1 }],
      operations: "0000008000000000000000000000000000000000000000000000000000000000",
    };
    const update = await transactionBuilder.updateAccountPermissions(sender, owner, null, [active]);
    const updated = await send(update);
    await seen(updated.txid);
    const alone = await send(await call(12, { feeLimit: 30_000_000 }));
    let pair = await call(13, { feeLimit: 30_000_000 });
    pair = await trx.multiSign(pair, privateKey, 0);
    const half = await trx.getSignWeight(pair, 0);
    pair = await trx.multiSign(pair, otherKey, 0);
    const together = await trx.sendRawTransaction(pair);
    const byActive = await trx.multiSign(await call(14, { feeLimit: 30_000_000, permissionId: 2 }), otherKey, 2);
    const delegated = await trx.sendRawTransaction(byActive);
    const outside = await transactionBuilder.sendTrx(recipient, 1, sender, { permissionId: 2 });
    const denied = await trx.multiSign(outside, otherKey, 2).then(
      (signed) => trx.sendRawTransaction(signed), (error) => ({ code: String(error.message || error) }),
    );
    return {
      updated: updated.result, alone: alone.code, half: half.result.code, weight: half.current_weight,
      together: (await seen(together.txid)).receipt.result, delegated: (await seen(delegated.txid)).receipt.result,
      denied: denied.code,
    };
  },
};

(async () => {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = await step();
    } catch (error) {
      results[name] = { error: String((error && error.stack) || error) };
    }
  }
  console.log(JSON.stringify(results));
})();
