// What a search finds, and in which order: words by their stems, their beginnings and with a typing error, and words that mean
// the same.

import MiniSearch, { type Query } from "minisearch";

/** A part of a page. */
export interface Entry {
  readonly id: number;
  /** From the site's root. */
  readonly url: string;
  /** Of the page. */
  readonly page: string;
  readonly title: string;
  readonly text: string;
}

export type Row = readonly [url: string, page: string, title: string, text: string];

/** Words of questions. They decide nothing, unless a search has no others. */
const SMALL = new Set(
  "a an and are as at be by can could do does for from has have how i if in into is it its me my of on or our should so that the \
their them then there they this to use using want was we what when where which who why will with would you your".split(" "),
);

/** What readers call a thing, and what these pages call it. Names of one word are searched for as well. */
const MEANINGS: readonly (readonly [names: readonly string[], meanings: readonly string[]])[] = [
  [["logout", "log out", "signout"], ["sign out"]],
  [["login", "log in", "signin"], ["sign in"]],
  [["sign up", "signup", "register"], ["new user", "sign in"]],
  [["webhook", "callback"], ["events"]],
  [["middleware", "express middleware", "guard"], ["authorizer", "backend"]],
  [["express", "fastify", "flask", "django", "server"], ["backend"]],
  [["verify token", "verify a token", "verify the token", "verify jwt", "verify a jwt"], ["backend"]],
  [["my", "mine"], ["your"]],
  [["jwt", "bearer"], ["token"]],
  [["rate limit"], ["too_many_requests", "rate limit"]],
  [["429", "throttle"], ["too_many_requests"]],
  [["wrong code", "incorrect code"], ["incorrect_otp"]],
  [["continuous integration", "ci", "github actions", "pipeline"], ["test CI"]],
  [["unit test", "end to end test", "e2e", "mock", "emulator"], ["test app"]],
  [["otp", "passcode"], ["code"]],
  [["cors"], ["AllowedOrigins"]],
  [["dpop"], ["device key"]],
  [["price", "pricing"], ["prices compared", "US dollars"]],
  [["alternative", "versus", "vs", "comparison"], ["compare"]],
  [["gdpr", "erase"], ["deletion"]],
  [["sim swap", "lost phone", "lost number"], ["recovery"]],
  [["react", "vue", "angular", "javascript"], ["web"]],
];

/** Why it is so, which comes after what one does. */
const BACKGROUND = /^guides\/(?:architecture|changes|cold-start|contributing|controls|decisions|figures|security)\//;
/** Has many words of every kind. */
const BESIDE = /^(?:files|guides\/compare)\//;

/** A word without its ending, by a few rules of English. Names with digits or underscores stay whole. */
export function stem(word: string): string {
  if (!/^[a-z]{4,}$/.test(word)) return word;
  let cut = word;
  if (cut.endsWith("ies")) cut = cut.replace(/ies$/, "y");
  else if (/(?:ss|sh|ch|x)es$/.test(cut)) cut = cut.slice(0, -2);
  else if (/[^sui]s$/.test(cut)) cut = cut.slice(0, -1);
  const [, root] = /^(.*[aeiouy].*?)(?:ing|ed|er|ers|ion)$/.exec(cut) ?? [];
  if (root !== undefined && root.length > 2) cut = root.replace(/([^aeiouls])\1$/, "$1");
  return cut.length > 3 ? cut.replace(/e$/, "") : cut;
}

/** The words of a text. Names such as `retry_after` are found whole and by their parts. */
function wordsOf(text: string): string[] {
  const words = text.split(/[^\p{L}\p{M}\p{N}_-]+/u).filter(Boolean);
  return words.flatMap((word) => [word, ...(/[_-]/.test(word) ? word.split(/[_-]+/).filter(Boolean) : [])]);
}

const isShort = (term: string): boolean => term.length < 3;

export function indexOf(rows: readonly Row[]): MiniSearch<Entry> {
  const index = new MiniSearch<Entry>({
    fields: ["title", "page", "text"],
    storeFields: ["url", "page", "title", "text"],
    tokenize: wordsOf,
    processTerm: (term) => stem(term.toLowerCase()),
    searchOptions: {
      boostDocument: (_id, _term, stored) => (BESIDE.test(String(stored?.["url"])) ? 0.3 : 1),
      boost: { title: 4, page: 3 },
      prefix: (term) => !isShort(term),
      fuzzy: (term) => (/^[\p{L}_]{5,}$/u.test(term) ? 0.2 : false),
      // Beginnings and typing errors count less than the word itself.
      weights: { prefix: 0.3, fuzzy: 0.1 },
    },
  });
  index.addAll(rows.map(([url, page, title, text], id) => ({ id, url, page, title, text })));
  return index;
}

const split = (text: string): string[] => text.toLowerCase().split(/[^\p{L}\p{M}\p{N}_-]+/u).filter(Boolean);
const stems = (words: readonly string[]): string => words.map(stem).join(" ");
const meant = new Map(MEANINGS.flatMap(([names, meanings]) => names.map((name) => [stems(split(name)), meanings] as const)));
const LONGEST_NAME = Math.max(...[...meant.keys()].map((name) => name.split(" ").length));

const allOf = (words: string): Query => ({ combineWith: "AND", queries: words.split(" ") });

/** The ideas of a query: each is a word, or the words of a name, and what these pages call it. */
function ideasOf(query: string): Query[] {
  const words = split(query);
  const ideas: Query[] = [];
  const small: Query[] = [];
  while (words.length > 0) {
    let length = Math.min(LONGEST_NAME, words.length);
    while (length > 1 && !meant.has(stems(words.slice(0, length)))) length -= 1;
    const name = words.splice(0, length).join(" ");
    const meanings = meant.get(stems(split(name))) ?? [];
    const own = length === 1 ? [name] : [];
    const idea: Query = { combineWith: "OR", queries: [...own, ...meanings].map(allOf) };
    (SMALL.has(name) ? small : ideas).push(idea);
  }
  return ideas.length > 0 ? ideas : small;
}

/** What has the query as its title comes first, then what has every idea of it, then what has any of them. */
export function find(index: MiniSearch<Entry>, query: string): Entry[] {
  const ideas = ideasOf(query);
  if (ideas.length === 0) return [];
  const asked = stems(split(query));
  const isBackground = ({ url }: Entry): boolean => BACKGROUND.test(url);
  const rank = (how: "AND" | "OR"): Entry[] => {
    const found = index.search({ combineWith: how, queries: ideas }) as unknown as Entry[];
    return [...found.filter((one) => !isBackground(one)), ...found.filter(isBackground)];
  };
  const ranked = [...rank("AND"), ...(ideas.length > 1 ? rank("OR") : [])];
  const isAsked = (one: Entry): boolean =>
    stems(split(one.title)) === asked && (one.title === one.page || !isBackground(one));
  const ordered = [...ranked.filter(isAsked), ...ranked];
  return [...new Map(ordered.map((entry) => [entry.id, entry])).values()];
}

/** What to mark in a result: the query's words, as they are typed and without their endings. */
export const marksOf = (query: string): string[] =>
  query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "" && !SMALL.has(word))
    .map(stem);
