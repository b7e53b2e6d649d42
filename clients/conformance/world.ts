// A Latchkey of its own, and wires to it that lose answers, answer as API Gateway does, and remember what went through them.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const templateFile = fileURLToPath(new URL("../../template.yaml", import.meta.url));
const binary = process.env["LATCHKEY_LOCAL"] ?? "";
/** It starts within a second. */
const START_MILLISECONDS = 60_000;

interface Message {
  to: string;
  text: string;
  at: number;
}

interface Push {
  to: string;
  data: Record<string, string>;
}

/** A running `cargo local`, in memory. */
export class World {
  readonly #process: ChildProcess;
  readonly #wires: Wire[] = [];
  readonly base: string;

  private constructor(child: ChildProcess, base: string) {
    this.#process = child;
    this.base = base;
  }

  static async start(template = templateFile): Promise<World> {
    if (!binary) throw new Error("LATCHKEY_LOCAL must be the path of latchkey-local");
    const folder = mkdtempSync(join(tmpdir(), "latchkey-"));
    const announced = join(folder, "announced.json");
    const ports = ["--port", "0", "--dynamodb-port", "0", "--aws-port", "0", "--announce", announced];
    const child = spawn(binary, ["--ephemeral", ...ports, "--template", template], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const failures: Error[] = [];
    child.on("error", (error) => failures.push(error));
    try {
      const end = Date.now() + START_MILLISECONDS;
      while (!existsSync(announced)) {
        const hasEnded = failures.length > 0 || child.exitCode !== null;
        if (hasEnded) throw new Error(`${binary} did not start`, { cause: failures[0] });
        if (Date.now() > end) throw new Error(`${binary} did not start within ${START_MILLISECONDS / 1000} seconds`);
        await new Promise((done) => setTimeout(done, 10));
      }
      return new World(child, (JSON.parse(readFileSync(announced, "utf8")) as { api: string }).api);
    } catch (error) {
      child.kill();
      throw error;
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  /** A wire from a source address of its own, because limits count by address. */
  async wire(): Promise<Wire> {
    const wire = await Wire.open(this.base, `127.0.0.${2 + this.#wires.length}`);
    this.#wires.push(wire);
    return wire;
  }

  async advance(seconds: number): Promise<void> {
    await this.#local("POST", "/clock", { advance_seconds: seconds });
  }

  /** What the next requests to a gateway or to the store meet. */
  async fault(target: string, mode: string, times: number): Promise<void> {
    await this.#local("POST", "/faults", { target, mode, times });
  }

  async clearFaults(): Promise<void> {
    await this.#local("DELETE", "/faults");
  }

  async now(): Promise<number> {
    const { now } = (await this.#local("GET", "/clock")) as { now: number };
    return now;
  }

  /** Newest first. */
  async messages(to: string): Promise<Message[]> {
    const answer = await this.#local("GET", `/inbox?to=${encodeURIComponent(to)}`);
    return (answer as { messages: Message[] }).messages;
  }

  /** The code of the newest message. */
  async code(to: string): Promise<string> {
    const [newest] = await this.messages(to);
    const [code] = /\d{6}/.exec(newest?.text ?? "") ?? [];
    if (!code) throw new Error(`no code was sent to ${to}`);
    return code;
  }

  async pushes(): Promise<Push[]> {
    return ((await this.#local("GET", "/pushes")) as { pushes: Push[] }).pushes;
  }

  close(): void {
    for (const wire of this.#wires) wire.close();
    this.#process.kill();
  }

  async #local(method: string, path: string, body?: unknown): Promise<unknown> {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${this.base}/local${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} /local${path}: ${text}`);
    return text ? JSON.parse(text) : undefined;
  }
}

/** A request that went through a wire, and the status of its answer, also of one that was lost. */
export interface Passed {
  readonly route: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
  status: number;
}

export interface Page {
  readonly type: string;
  readonly body: string | Buffer;
}

/** What happens to the next request of a route instead of being passed on and answered. */
type Fate =
  /** The server does what was asked, and the answer is lost. */
  | { readonly do: "lose the answer" }
  | { readonly do: "answer"; readonly status: number; readonly type: string; readonly body: string }
  | { readonly do: "hold"; readonly asked: () => void; readonly answered: Promise<void> };

/** A promise, and what fulfils it. */
export function moment(): { readonly reached: Promise<void>; readonly reach: () => void } {
  let reach = (): void => undefined;
  const reached = new Promise<void>((done) => {
    reach = done;
  });
  return { reached, reach };
}

export interface Held {
  /** Fulfilled once somebody has asked for the route. */
  readonly asked: Promise<void>;
  /** Lets the request pass. */
  readonly answer: () => void;
}

export class Wire {
  readonly passed: Passed[] = [];
  /** What the wire serves beside the API, so that a page has the origin of the API. */
  readonly pages = new Map<string, Page>();
  /** Called before a request is passed on. */
  gate: ((route: string) => Promise<void>) | undefined;
  readonly #fates: { route: string; fate: Fate }[] = [];
  readonly #server;
  readonly #target: URL;
  readonly #source: string;

  private constructor(target: URL, source: string) {
    this.#target = target;
    this.#source = source;
    this.#server = createServer((from, to) => {
      this.#serve(from, to).catch(() => to.destroy());
    });
  }

  static async open(target: string, source: string): Promise<Wire> {
    const wire = new Wire(new URL(target), source);
    await new Promise<void>((ready) => wire.#server.listen(0, "127.0.0.1", ready));
    return wire;
  }

  get base(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  loseAnswer(route: string, times = 1): void {
    for (let time = 0; time < times; time += 1) this.#fates.push({ route, fate: { do: "lose the answer" } });
  }

  /** Answers that were to be lost are not. */
  loseNoMore(): void {
    this.#fates.length = 0;
  }

  /** By default with a body as API Gateway's own. */
  answer(route: string, status: number, body = '{"message":"Too Many Requests"}', type = "application/json"): void {
    this.#fates.push({ route, fate: { do: "answer", status, type, body } });
  }

  /** Holds the next request of a route. */
  hold(route: string): Held {
    const [asked, answered] = [moment(), moment()];
    this.#fates.push({ route, fate: { do: "hold", asked: asked.reach, answered: answered.reached } });
    return { asked: asked.reached, answer: answered.reach };
  }

  /** How often a route was asked for, or answered with this status. */
  count(route: string, status?: number): number {
    return this.passed.filter((one) => one.route === route && (status ?? one.status) === one.status).length;
  }

  /** Sends a request again, as it was, and returns the answer's body. */
  async replay(earlier: Passed): Promise<Record<string, unknown>> {
    const [method = "", path = ""] = earlier.route.split(" ");
    const { answer } = await this.#pass(method, path, earlier.headers, Buffer.from(earlier.body));
    return JSON.parse(answer.toString()) as Record<string, unknown>;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(from: IncomingMessage, to: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = from;
    const page = this.pages.get(url);
    if (page) {
      to.writeHead(200, { "content-type": page.type }).end(page.body);
      return;
    }
    const route = `${method} ${url}`;
    const body = await whole(from);
    const passed: Passed = { route, headers, body: body.toString(), status: 0 };
    this.passed.push(passed);
    const fate = this.#fateOf(route);
    if (fate?.do === "answer") {
      passed.status = fate.status;
      to.writeHead(fate.status, { "content-type": fate.type }).end(fate.body);
      return;
    }
    if (fate?.do === "hold") {
      fate.asked();
      await fate.answered;
    }
    await this.gate?.(route);
    const { response, answer } = await this.#pass(method, url, headers, body);
    passed.status = response.statusCode ?? 0;
    if (fate?.do === "lose the answer") to.destroy();
    else to.writeHead(passed.status, response.headers).end(answer);
  }

  #fateOf(route: string): Fate | undefined {
    const index = this.#fates.findIndex((next) => next.route === route);
    return index < 0 ? undefined : this.#fates.splice(index, 1)[0]?.fate;
  }

  #pass(
    method: string,
    path: string,
    headers: NodeJS.Dict<string | string[]>,
    body: Buffer,
  ): Promise<{ response: IncomingMessage; answer: Buffer }> {
    return new Promise((done, failed) => {
      const { hostname, port } = this.#target;
      const options = { hostname, port, path, method, headers, localAddress: this.#source, agent: false as const };
      request(options, (response) => {
        whole(response).then((answer) => {
          done({ response, answer });
        }, failed);
      })
        .on("error", failed)
        .end(body);
    });
  }
}

async function whole(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
