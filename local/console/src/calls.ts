// What happened: the calls of the API, each with its request, its answer, its requests to DynamoDB, and as a curl.

import { code } from "./app.ts";
import { attempt, button, clipboard, fill, h, outcome } from "./dom.ts";
import type { Call, Local } from "./local.ts";
import { digits, words } from "./words.ts";

const SHOWN = 40;
/** Of the value of a header. The whole of it is in the curl. */
const CHARACTERS_SHOWN = 64;

export class Calls {
  readonly element: HTMLElement;
  readonly #local: Local;
  readonly #list = h("ol", "calls");
  #shown = new Map<string, HTMLElement>();

  constructor(local: Local) {
    this.#local = local;
    const texts = words();
    this.element = h(
      "section",
      "calls-column",
      { "aria-labelledby": "happened" },
      h("header", "column-head", {}, h("h2", "", { id: "happened" }, texts.happened), h("p", "", {}, texts.happenedHint)),
      this.#list,
    );
    local.subscribe((topic) => {
      if (topic === "calls") this.#draw();
    });
    this.#draw();
  }

  #draw(): void {
    const newest = this.#local.calls.slice(0, SHOWN);
    if (newest.length === 0) {
      this.#list.replaceChildren(h("li", "empty", {}, words().happenedEmpty));
      return;
    }
    // A row stays as it is, because it may be open. After a restart of cargo local, the ids start again.
    const keyed = newest.map((call) => [`${call.id} ${call.at} ${call.path}`, call] as const);
    this.#shown = new Map(keyed.map(([key, call]) => [key, this.#shown.get(key) ?? callRow(call)]));
    this.#list.replaceChildren(...this.#shown.values());
  }
}

export function callRow(call: Call): HTMLElement {
  const texts = words();
  const sum = { reads: 0, writes: 0 };
  for (const { reads, writes } of call.dynamodb) {
    sum.reads += reads;
    sum.writes += writes;
  }
  const asked = call.overlapped
    ? texts.overlapped
    : call.dynamodb.length > 0
      ? [fill(texts.requests, { n: digits(call.dynamodb.length) }), units(sum)].filter(Boolean).join(" · ")
      : texts.noRequests;
  const row = h(
    "details",
    "call",
    {},
    h(
      "summary",
      "",
      {},
      h("span", "method", {}, call.method),
      h("span", "path", {}, call.path),
      h("span", `status s${Math.floor(call.status / 100)}`, {}, String(call.status)),
      h("span", "time", {}, `${digits(call.milliseconds)} ms`),
      h("span", "asked", {}, problemOf(call)?.code ?? asked),
    ),
  );
  // Most rows are never opened.
  const fillIn = (): void => {
    row.append(...parts(call, asked));
  };
  row.addEventListener("toggle", fillIn, { once: true });
  return h("li", "", {}, row);
}

function parts(call: Call, asked: string): HTMLElement[] {
  const texts = words();
  const problem = problemOf(call);
  const command = curl(call);
  const status = outcome();
  const copy =
    clipboard &&
    button("button quiet small", texts.copy, () =>
      attempt(status, async () => {
        await clipboard?.writeText(command);
        return texts.copied;
      }),
    );
  const requests = call.dynamodb.map(({ operation, tables, reads, writes, milliseconds }) =>
    h(
      "li",
      "",
      {},
      h("b", "", {}, operation),
      h("span", "", {}, tables.join(", ")),
      h("span", "", {}, units({ reads, writes })),
      h("span", "time", {}, `${digits(milliseconds)} ms`),
    ),
  );
  return [
    problem?.type
      ? h("p", "", {}, h("a", "", { href: problem.type }, fill(texts.meaning, { code: problem.code })))
      : h("p", "hidden"),
    part(texts.request, side(call.request.headers, call.request.body)),
    part(texts.answer, side(call.response.headers, call.response.body)),
    part(
      texts.database,
      h("div", "", {}, h("p", "hint", {}, asked), h("ol", "requests", {}, ...requests)),
    ),
    part(texts.curl, h("div", "", {}, code(command, texts.curl), h("div", "actions", {}, copy), status)),
  ];
}

/** Reads and writes have different prices. */
function units({ reads, writes }: { reads: number; writes: number }): string {
  const texts = words();
  const parts = [
    reads > 0 && fill(texts.reads, { units: digits(reads) }),
    writes > 0 && fill(texts.writes, { units: digits(writes) }),
  ];
  return parts.filter(Boolean).join(" · ");
}

function part(title: string, content: HTMLElement): HTMLElement {
  return h("section", "part", {}, h("h3", "", {}, title), content);
}

function side(headers: Readonly<Record<string, string>>, body: string): HTMLElement {
  const lines = Object.entries(headers).filter(([name]) => own(name));
  const text = [...lines.map(([name, value]) => `${name}: ${shortened(value)}`), "", pretty(body)].join("\n").trim();
  return code(text || "—", "HTTP");
}

function shortened(value: string): string {
  return value.length > CHARACTERS_SHOWN ? `${value.slice(0, CHARACTERS_SHOWN)}…` : value;
}

/** What the browser adds to each request says nothing of this API. */
function own(name: string): boolean {
  return !/^(sec-|x-tour|accept-encoding|cache-control|connection|origin|pragma|referer|user-agent|access-control-|vary|accept$)/.test(
    name,
  );
}

function pretty(body: string): string {
  try {
    return body && JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

function problemOf({ status, response }: Call): { code: string; type: string | undefined } | undefined {
  if (status < 400) return undefined;
  try {
    const { code, type } = JSON.parse(response.body) as { code?: string; type?: string };
    // In a container, another name than the one that the browser knows may be in it.
    const page = type?.startsWith("http") ? new URL(type).pathname.replace(/^\/+/, "/") : undefined;
    return code ? { code, type: page } : undefined;
  } catch {
    return undefined;
  }
}

/** The call for a shell, whatever strangers sent in it. A proof in it works once. */
export function curl({ method, path, request }: Call): string {
  const sent = ["content-type", "authorization", "dpop", "idempotency-key", "fcm-token", "accept-language"];
  const lines = [
    `curl -ig -X ${quoted(method)} ${quoted(location.origin + path)}`,
    ...sent.flatMap((name) => {
      const value = request.headers[name];
      return value ? [`-H ${quoted(`${name}: ${value}`)}`] : [];
    }),
    ...(request.body ? [`--data-raw ${quoted(request.body)}`] : []),
  ];
  return lines.join(" \\\n  ");
}

/** A word of bash. A terminal would obey a control character that is pasted as it is. */
function quoted(text: string): string {
   
  if (!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text)) return `'${text.replaceAll("'", `'\\''`)}'`;
  const escaped = text.replace(/[\\']/g, "\\$&");
   
  return `$'${escaped.replace(/[\x00-\x1f\x7f-\x9f]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`)}'`;
}
