// Builds dist/: the library, and the element, which imports it. So a page that uses both has one copy of each class.

import { build } from "esbuild";

const shared = { bundle: true, minify: true, format: "esm", target: "es2022", charset: "utf8" } as const;

await build({ ...shared, entryPoints: ["src/index.ts"], outfile: "dist/index.js" });
await build({
  ...shared,
  entryPoints: ["src/element.ts"],
  outfile: "dist/element.js",
  plugins: [
    {
      name: "library",
      setup(plugin) {
        plugin.onResolve({ filter: /^\.\/index\.ts$/ }, () => ({ path: "./index.js", external: true }));
      },
    },
  ],
});
