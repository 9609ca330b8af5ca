// Compiles Token.sol into token.json: `node compile.js <folder with node_modules/solc>`. Needed only after a change
// of the source; a test compares the hash.
const crypto = require("crypto");
const fs = require("fs");
const path = require("path");

const solc = require(path.resolve(process.argv[2], "node_modules/solc"));
const source = fs.readFileSync(path.join(__dirname, "Token.sol"), "utf8");
const settings = {
  // Before Berlin a gas price list is, as TRON's energy is, without cold and warm accesses.
  evmVersion: "petersburg",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { Token: ["abi", "evm.bytecode.object"] } },
};
const input = { language: "Solidity", sources: { "Token.sol": { content: source } }, settings };
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter((each) => each.severity === "error");
if (errors.length) throw new Error(errors.map((each) => each.formattedMessage).join("\n"));
const { abi, evm } = output.contracts["Token.sol"].Token;
const artifact = {
  source_sha256: crypto.createHash("sha256").update(source).digest("hex"),
  compiler: solc.version(),
  abi,
  bytecode: evm.bytecode.object,
};
fs.writeFileSync(path.join(__dirname, "token.json"), JSON.stringify(artifact, null, 1) + "\n");
