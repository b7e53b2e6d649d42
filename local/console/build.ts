// Builds ../pages/index.html and ../pages/console/, which cargo local contains. With --check it only compares.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const pages = new URL("../pages/", import.meta.url);
const theme = new URL("../../docs/site/theme.css", import.meta.url);

const { outputFiles } = await build({
  entryPoints: ["src/main.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  write: false,
  // The style sheet of the sign-in element is a text of its module.
  loader: { ".css": "text" },
});
const css = await build({
  stdin: {
    // The documents have the fonts.
    contents: (await readFile(theme, "utf8")).replaceAll('url("fonts/', 'url("/docs/fonts/') +
      (await readFile("src/console.css", "utf8")),
    loader: "css",
  },
  minify: true,
  bundle: true,
  external: ["/docs/fonts/*"],
  charset: "utf8",
  write: false,
});
const built = new Map([
  ["index.html", await readFile("src/index.html", "utf8")],
  ["console/console.js", outputFiles[0]?.text ?? ""],
  ["console/console.css", css.outputFiles[0]?.text ?? ""],
]);

if (process.argv.includes("--check")) {
  for (const [name, text] of built) {
    if ((await readFile(new URL(name, pages), "utf8").catch(() => "")) !== text) {
      console.error(`local/pages/${name} is not what local/console makes: run npm run build there, and commit it`);
      process.exitCode = 1;
    }
  }
} else {
  await mkdir(new URL("console/", pages), { recursive: true });
  for (const [name, text] of built) await writeFile(new URL(name, pages), text);
}
