// The examples of the reference in Kotlin and Swift, with the clients whose functions they call.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { repository } from "../blocks.ts";

const run = (program: string, ...args: readonly string[]): { status: number | null; output: string } => {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: repository, encoding: "utf8" });
  return { status, output: stdout + stderr };
};

if (existsSync(`${repository}clients/android/pom.xml`)) {
  test("Kotlin compiles with clients/android", () => {
    const { status, output } = run("mvn", "-B", "-ntp", "-q", "-f", "tests/documents/kotlin/pom.xml", "test-compile");
    assert.equal(status, 0, output);
  });
}

if (existsSync(`${repository}clients/ios/Package.swift`)) {
  test("Swift names what clients/ios has", () => {
    const { status, output } = run("python3", "tests/documents/swift.py");
    assert.equal(status, 0, output);
  });
}
