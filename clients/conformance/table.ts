// Prints which client passes which scene: `node table.ts RESULTS…`. Each file is named for a client, and run.ts wrote it.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

const scenes = JSON.parse(readFileSync(new URL("scenes.json", import.meta.url), "utf8")) as readonly { name: string }[];
const clients = process.argv.slice(2).map((file) => ({
  name: basename(file, ".json"),
  passed: JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, boolean>>,
}));
const width = Math.max(...scenes.map(({ name }) => name.length));
const row = (first: string, cells: readonly string[]): string =>
  [first.padEnd(width), ...cells.map((cell, index) => cell.padEnd(clients[index]?.name.length ?? 0))].join("  ").trimEnd();
console.log(
  row(
    "scene",
    clients.map(({ name }) => name),
  ),
);
for (const { name } of scenes)
  console.log(
    row(
      name,
      clients.map(({ passed }) => (passed[name] ? "✔" : "✖")),
    ),
  );
