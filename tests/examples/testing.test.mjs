// docs/testing.md: its commands run as they stand there, one after the other, and each other snippet is an excerpt of a file
// that they run or check.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/testing.md"), "utf8");
const snippets = [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text }));
const commands = snippets.filter(({ language }) => language === "sh").map(({ text }) => text);
const excerpts = snippets.filter(({ language }) => language !== "sh").map(({ text }) => text);

function files(folder) {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  return entries.filter(({ name }) => name !== "node_modules").flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? files(path) : [path];
  });
}

test("each snippet that is not a command is in a file of the example", () => {
  const texts = files("examples/playwright").map((file) => readFileSync(join(root, file), "utf8"));
  assert.ok(excerpts.length > 0);
  for (const excerpt of excerpts) {
    assert.ok(texts.some((text) => text.includes(excerpt)), `in no file of examples/playwright:\n${excerpt}`);
  }
});

test("all commands of the page work one after the other", () => {
  // What the page starts ends with it, in any case.
  const script = ["trap 'kill $(jobs -p) 2>/dev/null || true; rm -f latchkey.json' EXIT", ...commands].join("\n");
  const { status } = spawnSync("bash", ["-euxo", "pipefail", "-c", script], { cwd: root, stdio: "inherit", timeout: 600_000 });
  assert.equal(status, 0);
});
