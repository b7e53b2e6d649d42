// How the sources are bundled, for the build and for the sizes.

import { readFile } from "node:fs/promises";
import { type BuildOptions, type Plugin, transform } from "esbuild";

export const options = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
} as const satisfies BuildOptions;

/** A style sheet becomes a text of the module, so that a page loads nothing else. */
export const styles: Plugin = {
  name: "styles",
  setup(plugin) {
    plugin.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true, charset: "utf8" });
      return { contents: code.trim(), loader: "text" };
    });
  },
};
