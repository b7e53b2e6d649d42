// What the pages of problems are made of: docs/problems, openapi.yaml, and the words that the API says to people.

import { read, tracked } from "./files.ts";
import { type Section, sections, withoutHeading } from "./markdown.ts";
import { type Operation, type Problem, codesOf, operations, problems } from "./openapi.ts";

const SOURCE_OF_WORDS = "shared/adapters/src/http/words.rs";

const retries = ["Retry later", "Change the request, then retry", "Do not retry"] as const;
export type Retry = (typeof retries)[number];

/** What is said to people, and when. */
export interface Said {
  /** Empty if it is always said. */
  readonly when: string;
  readonly english: string;
  readonly nepali: string;
}

export interface Page extends Problem {
  readonly file: string;
  readonly what: Section;
  readonly app: Section;
  readonly retry: Section;
  readonly mayRetry: Retry;
  readonly said: readonly Said[];
  /** The operations that answer it. */
  readonly operations: readonly Operation[];
}

/** The cases of a problem that have words of their own. `LastCode` is said in the answer to a send, and is no problem. */
const cases: Readonly<Record<string, string | undefined>> = {
  LastWrongCode: "incorrect_otp",
  WrongOrOver: "incorrect_otp",
  NumberChanged: "number_released",
  LastCode: undefined,
};

const literal = String.raw`"((?:[^"\\]|\\[\s\S])*)"`;
const unescape = (text: string): string => text.replaceAll(/\\\n\s*/g, "").replaceAll(String.raw`\"`, '"');
const snake = (name: string): string => name.replaceAll(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();

function saidIn(source: string): Map<string, Said[]> {
  const said = new Map<string, Said[]>();
  const arms = new RegExp(String.raw`(Code|Self)::(\w+) => (?:\{\s*)?\[\s*${literal},\s*${literal}`, "g");
  const add = (code: string, when: string, english = "", nepali = ""): void => {
    const words = { when, english: unescape(english), nepali: unescape(nepali) };
    said.set(code, [...(said.get(code) ?? []), words]);
  };
  const found = [...source.matchAll(arms)];
  for (const [, , name = "", english, nepali] of found.filter(([, kind]) => kind === "Code")) {
    add(snake(name), "", english, nepali);
  }
  for (const [, , name = "", english, nepali] of found.filter(([, kind]) => kind === "Self")) {
    if (!(name in cases)) throw new Error(`build/problems.ts does not know the case ${name} of ${SOURCE_OF_WORDS}`);
    const [, comment] = new RegExp(String.raw`/// (.*)\n\s*${name},`).exec(source) ?? [];
    const code = cases[name];
    if (code) add(code, comment ?? "", english, nepali);
  }
  return said;
}

const said = saidIn(read(SOURCE_OF_WORDS));

/** The example's own wait, in the words of both languages. */
function withWait(words: Said, { example }: Problem): Said {
  const [english = "", after = ""] = words.english.split("{wait}");
  const detail = String(example["detail"]);
  if (!words.english.includes("{wait}")) return words;
  const wait = detail.slice(english.length, detail.length - after.length);
  const [count = ""] = /^\d+/.exec(wait) ?? [];
  const nepali = `${count.replaceAll(/\d/g, (digit) => "०१२३४५६७८९".charAt(Number(digit)))} सेकेन्ड`;
  if (!wait.endsWith("seconds")) throw new Error(`the example of a wait is not in seconds: ${wait}`);
  return { ...words, english: words.english.replace("{wait}", wait), nepali: words.nepali.replace("{wait}", nepali) };
}

function retryOf(file: string, section: Section): Retry {
  const [, said = ""] = /^\*\*(.+?)\.\*\*/.exec(withoutHeading(section.tokens)[1]?.content ?? "") ?? [];
  const retry = retries.find((one) => one === said);
  if (!retry) throw new Error(`${file}: Retry begins with one of ${retries.map((one) => `**${one}.**`).join(", ")}`);
  return retry;
}

const others = ["docs/problems/README.md", "docs/problems/api-gateway.md"];

export function pages(): Page[] {
  const files = tracked("docs/problems").filter((file) => !others.includes(file));
  const without = files.filter((file) => !problems.some(({ code }) => file === `docs/problems/${code}.md`));
  if (without.length > 0) throw new Error(`openapi.yaml has no problem for ${without.join(", ")}`);
  return problems.map((problem) => {
    const { code } = problem;
    const file = `docs/problems/${code}.md`;
    if (!files.includes(file)) throw new Error(`the problem ${code} has no page: write ${file}`);
    const [what, app, retry, ...more] = sections(read(file));
    const titles = [app?.title, retry?.title].join();
    if (!what || !app || !retry || more.length > 0 || titles !== "What the app does,Retry") {
      throw new Error(`${file} must have the headings "What the app does" and "Retry", and no other`);
    }
    const words = (said.get(code) ?? []).map((one) => withWait(one, problem));
    if (words[0]?.english !== problem.example["detail"]) {
      throw new Error(`${code}: openapi.yaml and ${SOURCE_OF_WORDS} say different words`);
    }
    const answers = (one: Operation): boolean => Object.values(one.responses).some((it) => codesOf(it).includes(code));
    return {
      ...problem,
      file,
      what,
      app,
      retry,
      mayRetry: retryOf(file, retry),
      said: words,
      operations: operations.filter(answers),
    };
  });
}
