// The npm packages of latchkey-local: local/npm/pack.js packs $LATCHKEY_LOCAL for this machine, and an empty folder installs it.

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

const machine = `${process.platform}-${process.arch}`;
const folder = mkdtempSync(join(tmpdir(), "latchkey-"));
const app = join(folder, "app");
const command = join(app, "node_modules/.bin/latchkey-local");

before(() => {
  const pack = join(import.meta.dirname, "../../local/npm/pack.js");
  execFileSync(process.execPath, [pack, folder, `${machine}=${process.env.LATCHKEY_LOCAL}`], { stdio: "ignore" });
});
after(() => rmSync(folder, { recursive: true }));

test("the installed command starts the program, and a signal stops both", { timeout: 60_000 }, async () => {
  const packages = readdirSync(folder);
  assert.equal(packages.length, 2, packages.join());
  const quiet = ["--no-audit", "--no-fund", "--silent"];
  const files = packages.map((file) => join(folder, file));
  execFileSync("npm", ["install", "--offline", "--ignore-scripts", ...quiet, "--prefix", app, ...files]);
  for (const signal of ["SIGTERM", "SIGINT"]) {
    const announced = join(folder, `${signal}.json`);
    const ports = ["--port", "0", "--dynamodb-port", "0", "--aws-port", "0"];
    // By Node.js itself: the one in a Python environment is a child of its command.
    const options = [command, "--ephemeral", ...ports, "--announce", announced];
    const child = spawn(process.execPath, options, { stdio: "ignore" });
    while (!existsSync(announced)) {
      assert.equal(child.exitCode, null);
      await pause(10);
    }
    const { api, pid } = JSON.parse(readFileSync(announced, "utf8"));
    assert.equal((await fetch(`${api}/local/clock`)).status, 200);
    child.kill(signal);
    assert.deepEqual(await once(child, "exit"), [0, null]);
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  }
});

test("npx has the exit status and the output of the program", () => {
  const options = ["--offline", "latchkey-local", "--prot", "0"];
  const { status, stderr } = spawnSync("npx", options, { cwd: app, encoding: "utf8" });
  assert.equal(status, 2);
  assert.match(stderr, /--prot is not an option/);
});

test("without a package for this machine, the command says so", () => {
  // As on another kind of machine, or with --omit=optional.
  rmSync(join(app, "node_modules", `latchkey-local-${machine}`), { recursive: true });
  const { status, stderr } = spawnSync(command, ["--help"], { encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`the package latchkey-local-${machine} is not installed`));
});
