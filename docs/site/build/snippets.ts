// The examples beside the reference: one folder for each language, one file for each operation.
//
// They are written from the examples of openapi.yaml by `npm run build`. Those in Kotlin and Swift are functions of files that
// compile beside clients/android and clients/ios, and a reader sees what is inside.

import { read } from "./files.ts";
import { kotlin, swift } from "./apps.ts";
import { API, WIDTH, bodyOf, idempotencyKey, isGuarded, pathMembers, pathOf } from "./example.ts";
import { type Operation, operations } from "./openapi.ts";

export interface Language {
  readonly id: string;
  readonly name: string;
  readonly extension: string;
  /** For colours. */
  readonly syntax: string;
  readonly write: (operation: Operation) => string;
}

function curl(operation: Operation): string {
  const body = bodyOf(operation);
  const key = idempotencyKey(operation);
  // curl sends a POST where there is a body, and otherwise a GET.
  const method = operation.method === (body ? "POST" : "GET") ? "" : `-X ${operation.method} `;
  const parts = [`curl ${method}${API}${pathOf(operation)}`];
  if (isGuarded(operation)) parts.push('-H "authorization: Bearer $ACCESS_TOKEN"');
  if (key) parts.push(`-H 'idempotency-key: ${key.example ?? ""}'`);
  if (body) {
    parts.push("-H 'content-type: application/json'");
    const line = JSON.stringify(body);
    parts.push(`-d '${line.length > WIDTH ? JSON.stringify(body, null, 2) : line}'`);
  }
  return `${parts.join(" \\\n  ")}\n`;
}

/** Members between braces, on one line if they fit. */
function braces(members: readonly string[], space: string, indent: string, step: string): string {
  const line = `{${space}${members.join(", ")}${space}}`;
  return line.length <= WIDTH ? line : `{\n${members.map((one) => `${indent}${step}${one},\n`).join("")}${indent}}`;
}

function typescript(operation: Operation): string {
  const { operationId: id } = operation;
  if (operation.tags[0] === "keys") {
    return [
      `const response = await fetch("${API}${operation.path}");`,
      "if (!response.ok) throw new Error(`status ${response.status}`);",
      `console.log(await response.json());`,
      "",
    ].join("\n");
  }
  const body = bodyOf(operation) ?? (operation.path.includes("{") ? pathMembers(operation) : undefined);
  const key = idempotencyKey(operation);
  const parts = [JSON.stringify(id)];
  const members = body && Object.entries(body).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  if (members) parts.push(braces(members, " ", key ? "  " : "", "  "));
  if (key) parts.push(`{ idempotencyKey: ${JSON.stringify(key.example ?? "")} }`);
  const list = key ? `\n${parts.map((part) => `  ${part},\n`).join("")}` : parts.join(", ");
  const hasAnswer = operation.responses["204"] === undefined;
  const call = (of: string): string => {
    const made = `await ${of}.call(${list});`;
    return hasAnswer ? `const answer = ${made}\nconsole.log(answer);` : made;
  };
  // A refresh shows the plain call. A session refreshes by itself.
  if (!isGuarded(operation)) {
    return `import { Api } from "latchkey-web";\n\nconst api = new Api("${API}");\n${call("api")}\n`;
  }
  return [
    'import { Session } from "latchkey-web";',
    "",
    `const session = await Session.open({ api: "${API}" });`,
    call("session"),
    "",
  ].join("\n");
}

function python(operation: Operation): string {
  const body = bodyOf(operation);
  const key = idempotencyKey(operation);
  const headers: string[] = [];
  if (isGuarded(operation)) headers.push(`"Authorization": f"Bearer {os.environ['ACCESS_TOKEN']}"`);
  if (key) headers.push(`"Idempotency-Key": "${key.example ?? ""}"`);
  const write = (value: unknown): string =>
    value === null ? "None" : value === true ? "True" : value === false ? "False" : JSON.stringify(value);
  const members = body && Object.entries(body).map(([name, value]) => `${JSON.stringify(name)}: ${write(value)}`);
  const lines = [
    ...(isGuarded(operation) ? ["import os", ""] : []),
    "import requests",
    "",
    `response = requests.${operation.method.toLowerCase()}(`,
    `    "${API}${pathOf(operation)}",`,
    ...(headers.length > 0 ? [`    headers={${headers.join(", ")}},`] : []),
    ...(members ? [`    json=${braces(members, "", "    ", "    ")},`] : []),
    "    timeout=15,",
    ")",
    "response.raise_for_status()",
    ...(operation.responses["204"] === undefined ? ["print(response.json())"] : []),
  ];
  return `${lines.join("\n")}\n`;
}

const languages: readonly Language[] = [
  { id: "curl", name: "curl", extension: "sh", syntax: "bash", write: curl },
  { id: "typescript", name: "TypeScript", extension: "ts", syntax: "ts", write: typescript },
  { id: "python", name: "Python", extension: "py", syntax: "python", write: python },
  { id: "kotlin", name: "Kotlin", extension: "kt", syntax: "kotlin", write: kotlin },
  { id: "swift", name: "Swift", extension: "swift", syntax: "swift", write: swift },
];

export const folder = (language: Language): string => `docs/site/snippets/${language.id}`;
export const fileOf = (language: Language, { operationId }: Operation): string =>
  `${folder(language)}/${operationId}.${language.extension}`;

export const shown = languages;

/** The example as a reader sees it. In a file that needs more to compile, it is between the lines `example` and `end`. */
export function snippet(language: Language, operation: Operation): string {
  const file = fileOf(language, operation);
  const text = read(file);
  const [, part] = /^[ \t]*(?:\/\/|#) example\n([\s\S]*?)^[ \t]*(?:\/\/|#) end\n/m.exec(text) ?? [];
  if (part === undefined) return text;
  const lines = part.split("\n");
  const indents = lines.filter((one) => one.trim()).map((one) => /^ */.exec(one)?.[0].length ?? 0);
  const indent = Math.min(...indents);
  return lines.map((one) => one.slice(indent)).join("\n");
}

/** The files that are written from openapi.yaml, by their path. */
export function written(): Map<string, string> {
  const all = languages.flatMap((language) =>
    operations.map((operation) => [fileOf(language, operation), language.write(operation)] as const),
  );
  return new Map(all);
}
