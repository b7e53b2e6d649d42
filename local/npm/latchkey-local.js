#!/usr/bin/env node
// Runs the program in the package for this kind of machine, which npm installs as an optional dependency.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";

const machine = `${process.platform}-${process.arch}`;

function find() {
  try {
    return createRequire(import.meta.url).resolve(`latchkey-local-${machine}/latchkey-local`);
  } catch {
    console.error(`latchkey-local: the package latchkey-local-${machine} is not installed.
Either there is none for this kind of machine, or npm was told to leave out optional dependencies.`);
    process.exit(1);
  }
}

// In a session of its own, so that Ctrl-C in a terminal reaches it once: from here.
const child = spawn(find(), process.argv.slice(2), { stdio: "inherit", detached: true });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`latchkey-local: ${error.message}`);
  process.exitCode = 1;
});
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
});
