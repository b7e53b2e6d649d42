// Builds the site into local/pages/docs, or into the folder that is named. The same sources give the same bytes.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { repository } from "./files.ts";
import { filePage, guides } from "./guides.ts";
import { notFound } from "./not-found.ts";
import { type Group, document } from "./layout.ts";
import { linkCodes } from "./markdown.ts";
import { source } from "./openapi.ts";
import { pages as readProblems } from "./problems.ts";
import { problemPages } from "./problem-pages.ts";
import { reference, referenceGroup } from "./reference.ts";
import { type Page, wantedFiles } from "./site.ts";
import { written } from "./snippets.ts";
import { start } from "./start.ts";

const here = dirname(import.meta.dirname);
const target = resolve(process.argv[2] ?? join(repository, "local/pages/docs"));

for (const [file, text] of written()) {
  if (readFileSync(repository + file, "utf8") !== text) throw new Error(`${file} is old: npm run build in docs/site`);
}

rmSync(target, { recursive: true, force: true });
const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(target, path)), { recursive: true });
  writeFileSync(join(target, path), text);
};

const problems = readProblems();
linkCodes(problems.map(({ code }) => code));
const guided = guides();
const made: Page[] = [...guided.flatMap(({ pages }) => pages), ...reference(problems), ...problemPages(problems)];
const all = [start(new Set(made.map(({ url }) => url))), ...made];

const entries = (pages: readonly Page[]): Group["entries"] => pages.map(({ title, url }) => ({ title, url }));
const [first, ...others] = guided.map(({ title, pages }) => ({ title, entries: entries(pages) }));
const problemEntries = entries(made.filter(({ url }) => url.startsWith("problems/"))).map((entry) =>
  entry.url === "problems/" ? { ...entry, title: "Catalogue" } : entry,
);
const groups: Group[] = [
  { title: first?.title ?? "", entries: [{ title: "Overview", url: "" }, ...(first?.entries ?? [])] },
  ...others.slice(0, 1),
  referenceGroup(),
  { title: "Problems", entries: problemEntries, isLong: true },
  ...others.slice(1),
];

for (const page of all) write(`${page.url}index.html`, document(page, groups));
// A page of a file may name further files.
const shown = new Set<string>();
for (let more = wantedFiles(); more.length > 0; more = wantedFiles().filter((path) => !shown.has(path))) {
  for (const path of more) {
    shown.add(path);
    const page = filePage(path);
    all.push(page);
    write(`${page.url}index.html`, document(page, groups));
  }
}

write("404.html", document(notFound, groups, "/docs/"));

// One entry for each part of a page: its address, the page's title, its own title, its words.
const found = all.flatMap(({ url, title, found: parts }) =>
  parts
    .filter(({ id, text }) => id !== "" || text !== "")
    .map(({ id, title: own, text }) => [url + (id && `#${id}`), title, own, text]),
);
write("search.json", `${JSON.stringify(found)}\n`);
write("openapi.yaml", source);
write("icon.svg", readFileSync(join(here, "icon.svg"), "utf8"));
write("docs.css", ["theme.css", "docs.css"].map((name) => readFileSync(join(here, name), "utf8")).join("\n"));
cpSync(join(here, "fonts"), join(target, "fonts"), { recursive: true });
await build({
  entryPoints: ["early", "docs", "search"].map((name) => join(here, `browser/${name}.ts`)),
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  external: ["./search.js"],
  legalComments: "inline",
  logLevel: "warning",
});
