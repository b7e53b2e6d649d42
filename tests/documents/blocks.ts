// The blocks of code in the documents.

import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runElsewhere } from "./plan.ts";

export const repository = fileURLToPath(new URL("../../", import.meta.url));
export const read = (file: string): string => readFileSync(repository + file, "utf8");

export interface Block {
  readonly file: string;
  readonly line: number;
  /** Empty if the document names none. */
  readonly language: string;
  readonly text: string;
  /** The paragraph before it. */
  readonly before: string;
}

export const at = ({ file, line }: Block): string => `${file}:${line}`;

function blocksOf(file: string): Block[] {
  const blocks: Block[] = [];
  let open: { indent: string; language: string; line: number; lines: string[] } | undefined;
  let paragraph: string[] = [];
  read(file)
    .split("\n")
    .forEach((line, index) => {
      const [, indent = "", language = ""] = /^( *)```(\S*)$/.exec(line) ?? [];
      const isFence = line.trim().startsWith("```");
      if (isFence && open) {
        const { lines, language: name, line: first } = open;
        blocks.push({ file, line: first, language: name, text: `${lines.join("\n")}\n`, before: paragraph.join(" ") });
        open = undefined;
        paragraph = [];
      } else if (isFence) {
        open = { indent, language, line: index + 1, lines: [] };
      } else if (open) {
        open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
      } else if (line.trim() !== "") {
        paragraph.push(line.trim());
      } else if (paragraph.length > 0 && !paragraph.at(-1)?.endsWith(":")) {
        paragraph = [];
      }
    });
  if (open) throw new Error(`${file}:${open.line}: the block is not closed`);
  return blocks;
}

const listed = execFileSync("git", ["ls-files", "README.md", "docs/*.md", "clients/*/README.md"], {
  cwd: repository,
  encoding: "utf8",
});
/** The documents whose blocks are run here. */
export const documents: readonly string[] = listed.split("\n").filter((file) => file !== "" && !(file in runElsewhere));
export const blocks: readonly Block[] = documents.flatMap(blocksOf);

export function block(file: string, language: string, start: string): Block {
  const found = blocks.filter((one) => one.file === file && one.language === language && one.text.startsWith(start));
  const [only] = found;
  if (!only || found.length > 1) throw new Error(`${file}: ${found.length} blocks of ${language} begin with ${start}`);
  return only;
}

/** Without the marks that a reader replaces, such as `<name>`, which a shell would read as redirections. */
export const withoutMarks = (text: string): string => text.replaceAll(/<[A-Za-z][^<>\n]*>/g, "REPLACED");

export const isComplete = (text: string): boolean =>
  !/(\\|\|)\s*$/.test(text) && spawnSync("bash", ["-n"], { input: withoutMarks(text) }).status === 0;

/** The commands of a block: lines that belong together are one. */
export function commands(given: Block): string[] {
  const all: string[] = [];
  let begun = "";
  for (const line of given.text.split("\n")) {
    begun += begun === "" ? line : `\n${line}`;
    if (!isComplete(begun)) continue;
    if (begun.replaceAll(/^\s*#.*$/gm, "").trim() !== "") all.push(begun);
    begun = "";
  }
  if (begun !== "") throw new Error(`${at(given)}: bash does not understand ${begun}`);
  return all;
}
