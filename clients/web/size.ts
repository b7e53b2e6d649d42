// Prints the size of each part, and fails if all of them together are larger than the bound.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { type Plugin, build } from "esbuild";
import { options, styles } from "./bundle.ts";

/** What the element with all that it imports adds to a page: 12 kB. */
const BOUND_BYTES = 12 * 1024;

const compressed = (data: Uint8Array): number => gzipSync(data, { level: 9 }).length;
const row = (part: string, data: Uint8Array): void => {
  console.log(
    `${part.padEnd(28)}${String(data.length).padStart(8)} bytes${String(compressed(data)).padStart(8)} gzipped`,
  );
};

/** Leaves out what a source imports. */
const alone: Plugin = {
  name: "alone",
  setup(plugin) {
    plugin.onResolve({ filter: /^\./ }, ({ path, kind }) =>
      kind === "entry-point" ? undefined : { path, external: true },
    );
  },
};

async function bundled(source: string, plugins: Plugin[]): Promise<Uint8Array> {
  const { outputFiles } = await build({ ...options, entryPoints: [`src/${source}`], write: false, plugins });
  return Buffer.concat(outputFiles.map(({ contents }) => contents));
}

console.log("Each source by itself:");
for (const source of ["proof.ts", "problem.ts", "api.ts", "store.ts", "session.ts", "sign-in.ts"]) {
  row(source, await bundled(source, [alone]));
}
for (const source of ["element.ts", "style.css", "countries.ts", "texts/en.ts", "texts/ne.ts"]) {
  row(source, await bundled(source, [alone]));
}
console.log("\nThe files of the package:");
for (const file of ["dist/index.js", "dist/element.js"]) row(file, readFileSync(file));

const whole = await bundled("element.ts", [styles]);
console.log(`\nAll of it in one bundle, at most ${BOUND_BYTES} gzipped:`);
row("element.ts", whole);
if (compressed(whole) > BOUND_BYTES) {
  console.error(`\nThis is ${compressed(whole) - BOUND_BYTES} bytes more than the bound.`);
  process.exitCode = 1;
}
