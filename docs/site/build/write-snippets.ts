// Writes the examples of openapi.yaml in each language, and removes those of operations that are gone.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { repository } from "./files.ts";
import { folder, shown, written } from "./snippets.ts";

for (const language of shown) {
  rmSync(repository + folder(language), { recursive: true, force: true });
}
for (const [file, text] of written()) {
  mkdirSync(dirname(repository + file), { recursive: true });
  writeFileSync(repository + file, text);
}
