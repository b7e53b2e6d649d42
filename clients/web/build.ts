// Builds dist/: the library, and the element, which imports it. So a page that uses both has one copy of
// each class. Both are minified for pages without a bundler, and have source maps for whoever reads them.

import { rmSync } from "node:fs";
import { build } from "esbuild";
import { options, styles } from "./bundle.ts";

// What an earlier build left is not published.
rmSync("dist", { recursive: true, force: true });
await build({ ...options, sourcemap: true, entryPoints: ["src/index.ts"], outfile: "dist/index.js" });
await build({
  ...options,
  sourcemap: true,
  entryPoints: ["src/element.ts"],
  outfile: "dist/element.js",
  plugins: [
    styles,
    {
      name: "library",
      setup(plugin) {
        plugin.onResolve({ filter: /^\.\/index\.ts$/ }, () => ({ path: "./index.js", external: true }));
      },
    },
  ],
});
