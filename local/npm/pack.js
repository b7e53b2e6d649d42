#!/usr/bin/env node
// Packs latchkey-local for npm: local/npm/pack.js FOLDER MACHINE=PROGRAM... such as linux-x64=target/release/latchkey-local.
// A machine is what Node.js calls its platform and processor. Each program gets a package of its own. The package
// `latchkey-local` has them as optional dependencies, and npm installs the one that fits. All have the version of Cargo.toml.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;
const root = join(here, "../..");
const [folder, ...programs] = process.argv.slice(2);
const common = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const { version } = /^version = "(?<version>.+)"$/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8")).groups;
// In a release. npm compares it with where the packages come from.
const { GITHUB_REPOSITORY } = process.env;
const repository = GITHUB_REPOSITORY && { type: "git", url: `git+https://github.com/${GITHUB_REPOSITORY}.git` };
// The programs need the C library of the system that built them.
const libc = { linux: ["glibc"] };

function pack(members, fill) {
  const staged = join(folder, members.name);
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { recursive: true });
  for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(join(root, licence), join(staged, licence));
  fill(staged);
  writeFileSync(join(staged, "package.json"), `${JSON.stringify({ ...members, version, repository }, null, 2)}\n`);
  execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", ".."], { cwd: staged, stdio: "inherit" });
  rmSync(staged, { recursive: true });
}

const machines = {};
for (const entry of programs) {
  const [machine, program] = entry.split("=");
  const [os, cpu] = machine.split("-");
  const { name, description, license, keywords } = common;
  const members = { name: `${name}-${machine}`, description, license, keywords, os: [os], cpu: [cpu], libc: libc[os] };
  pack({ ...members, files: ["latchkey-local", "LICENSE-*"] }, (staged) => {
    copyFileSync(program, join(staged, "latchkey-local"));
    chmodSync(join(staged, "latchkey-local"), 0o755);
  });
  machines[members.name] = version;
}
pack({ ...common, optionalDependencies: machines }, (staged) => {
  for (const file of ["latchkey-local.js", "README.md"]) copyFileSync(join(here, file), join(staged, file));
});
