// Compiles TypeScript that stands in documents.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./blocks.ts";

/** What the compiler finds. `latchkey-web` is that of the repository. */
export function compile(sources: ReadonlyMap<string, string>): string {
  mkdirSync(join(repository, "target"), { recursive: true });
  const folder = mkdtempSync(join(repository, "target/documents-"));
  try {
    for (const [name, text] of sources) writeFileSync(join(folder, name), text);
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    const compilerOptions = {
      types: [],
      moduleDetection: "force",
      noUnusedLocals: false, // A reader goes on from there.
      paths: { "latchkey-web": [join(repository, "clients/web/src/index.ts")] },
    };
    const config = {
      extends: join(repository, "clients/web/tsconfig.json"),
      compilerOptions,
      include: ["*.ts"],
      exclude: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(import.meta.dirname, "node_modules/.bin/tsc");
    const { stdout, stderr } = spawnSync(tsc, ["--project", folder], { cwd: folder, encoding: "utf8" });
    return stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
