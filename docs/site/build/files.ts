// The repository's files, by their path from its root.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const repository = fileURLToPath(new URL("../../../", import.meta.url));

export const read = (path: string): string => readFileSync(repository + path, "utf8");
export const exists = (path: string): boolean => existsSync(repository + path);

/** What git knows, so that the files of a build or an editor do not get into the site. Sorted. */
export function tracked(folder: string): string[] {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", folder], {
    cwd: repository,
    encoding: "utf8",
  });
  return [...new Set(listed.split("\n").filter((path) => path && exists(path)))].sort();
}
