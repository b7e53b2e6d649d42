// The examples of the reference in Kotlin and Swift, with the clients whose functions they call.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { repository } from "../blocks.ts";

function succeeds(program: string, ...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: repository, encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
}

test("Kotlin compiles with clients/android", () => {
  succeeds("mvn", "-B", "-ntp", "-q", "-f", "tests/documents/kotlin/pom.xml", "test-compile");
});

test("Swift names what clients/ios has", () => {
  succeeds("python3", "tests/documents/swift.py");
});
