// Prints the size of each part of dist/, and fails if all of them together are larger than the bound.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What a page with the element loads. */
const BOUND_BYTES = 12_000;

const compressed = (data: Uint8Array): number => gzipSync(data, { level: 9 }).length;
const row = (part: string, bytes: number, gzip: number): void => {
  console.log(`${part.padEnd(28)}${String(bytes).padStart(8)} bytes${String(gzip).padStart(8)} gzipped`);
};

let total = 0;
for (const part of ["dist/index.js", "dist/element.js"]) {
  const data = readFileSync(part);
  total += compressed(data);
  row(part, data.length, compressed(data));
}
console.log(`${"together".padEnd(28)}${String(total).padStart(28)} gzipped, at most ${BOUND_BYTES}`);

console.log("\nEach source by itself, without what it imports:");
for (const part of ["proof", "problem", "api", "store", "session", "sign-in", "element", "countries", "texts/en", "texts/ne"]) {
  const { outputFiles } = await build({
    entryPoints: [`src/${part}.ts`],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    write: false,
    plugins: [
      {
        name: "alone",
        setup(plugin) {
          plugin.onResolve({ filter: /^\./ }, ({ path }) => ({ path, external: true }));
        },
      },
    ],
  });
  for (const { contents } of outputFiles) row(`src/${part}.ts`, contents.length, compressed(contents));
}

if (total > BOUND_BYTES) {
  console.error(`The package is ${total - BOUND_BYTES} bytes larger than the bound.`);
  process.exitCode = 1;
}
