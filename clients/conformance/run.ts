// Plays the scenes of scenes.json with a client: `LATCHKEY_LOCAL=… node run.ts [--results FILE] COMMAND…`. The command is the
// client's adapter. It gets one command a line on its standard input, and answers each with one line on its standard output.
// README.md says how. The file then says which scenes passed, for table.ts.

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { type Interface, createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";
import { type Held, type Wire, World } from "./world.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type Members = Readonly<Record<string, Json>>;

interface Scene {
  readonly name: string;
  readonly says: string;
  readonly steps: readonly Members[];
}

/** No step takes as long. An adapter that hangs fails its scene, and the next one is played. */
const STEP_SECONDS = 60;

/** The client under test, in a process of its own for each scene. */
class Client {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #lines: Interface;
  #id = 0;

  constructor([command = "", ...values]: readonly string[]) {
    const child = spawn(command, values, { stdio: ["pipe", "pipe", "inherit"] });
    this.#process = child;
    this.#lines = createInterface(child.stdout);
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  async ask(members: Members): Promise<Json> {
    this.#id += 1;
    this.#process.stdin?.write(`${JSON.stringify({ id: this.#id, ...members })}\n`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, fail) => {
      const error = new Error(`the adapter did not answer within ${STEP_SECONDS} seconds: ${JSON.stringify(members)}`);
      timer = setTimeout(fail, STEP_SECONDS * 1000, error);
    });
    const line = await Promise.race([this.#answers.next(), late]).finally(() => {
      clearTimeout(timer);
    });
    if (line.done) throw new Error("the adapter ended");
    const { id, answer } = JSON.parse(line.value) as { id: number; answer: Json };
    if (id !== this.#id) throw new Error(`the adapter answered command ${id} and not ${this.#id}`);
    return answer;
  }

  close(): void {
    this.#lines.close();
    this.#process.kill("SIGKILL");
  }
}

class Play {
  readonly #world: World;
  readonly #client: Client;
  readonly #wires = new Map<string, Wire>();
  readonly #held = new Map<Wire, Held>();
  readonly #opened = new Set<string>();
  readonly #known = new Map<string, string>([
    ["a", "+9779841000001"],
    ["b", "+9779841000002"],
    ["c", "+9779841000003"],
  ]);

  constructor(world: World, client: Client) {
    this.#world = world;
    this.#client = client;
  }

  async step(step: Members): Promise<void> {
    const { expect, remember, ...members } = (await this.#filled(step)) as Members;
    const answer = await (typeof members["device"] === "string"
      ? this.#device(members["device"], members)
      : typeof members["wire"] === "string"
        ? this.#atWire(await this.#wire(members["wire"]), members)
        : this.#atWorld(members));
    const isRefused = isMembers(answer) && isMembers(answer["problem"]);
    const difference = expect === undefined ? (isRefused ? "nobody expected a problem" : "") : differs(answer, expect);
    if (difference)
      throw new Error(`${difference}\n      step:   ${JSON.stringify(step)}\n      answer: ${JSON.stringify(answer)}`);
    if (isMembers(remember))
      for (const [name, path] of Object.entries(remember)) this.#known.set(name, found(answer, text(path)));
  }

  async #device(device: string, members: Members): Promise<Json> {
    const { base } = await this.#wire(device);
    const isOpening = members["do"] === "open";
    if (!isOpening && !this.#opened.has(device)) await this.#client.ask({ device, do: "open", api: base });
    this.#opened.add(device);
    return this.#client.ask(isOpening ? { ...members, api: base } : members);
  }

  /** Each device has a wire, and so a source address of its own. */
  async #wire(device: string): Promise<Wire> {
    const wire = this.#wires.get(device) ?? (await this.#world.wire());
    this.#wires.set(device, wire);
    return wire;
  }

  async #atWire(wire: Wire, members: Members): Promise<Json> {
    const { lose_answer, lose_no_more, answer, hold, wait_for_held, let_pass } = members;
    const { count, replay_first, status, times, body } = members;
    if (typeof lose_answer === "string") wire.loseAnswer(lose_answer, Number(times));
    else if (lose_no_more) wire.loseNoMore();
    else if (typeof answer === "string") wire.answer(answer, Number(status), text(body));
    else if (typeof hold === "string") this.#held.set(wire, wire.hold(hold));
    else if (wait_for_held) await this.#held.get(wire)?.asked;
    else if (let_pass) this.#held.get(wire)?.answer();
    else if (typeof count === "string") return wire.count(count, typeof status === "number" ? status : undefined);
    else if (typeof replay_first === "string") {
      const first = wire.passed.find(({ route }) => route === replay_first);
      if (!first) throw new Error(`nobody asked for ${replay_first}`);
      return (await wire.replay(first)) as Json;
    } else throw new Error(`no such step: ${JSON.stringify(members)}`);
    return null;
  }

  async #atWorld(members: Members): Promise<Json> {
    const { world, seconds, target, mode, times, name, value } = members;
    switch (world) {
      case "advance":
        await this.#world.advance(Number(seconds));
        break;
      case "fault":
        await this.#world.fault(text(target), text(mode), Number(times));
        break;
      case "clear_faults":
        await this.#world.clearFaults();
        break;
      case "remember":
        this.#known.set(text(name), text(value));
        break;
      default:
        throw new Error(`no such step: ${JSON.stringify(members)}`);
    }
    return null;
  }

  /** The step with the values that `$…` stands for. */
  async #filled(value: Json): Promise<Json> {
    if (typeof value === "string" && value.startsWith("$")) return this.#valueOf(value.slice(1));
    if (Array.isArray(value)) return Promise.all((value as readonly Json[]).map((one) => this.#filled(one)));
    if (!isMembers(value)) return value;
    const filled = Object.entries(value).map(async ([name, one]) => [name, await this.#filled(one)] as const);
    return Object.fromEntries(await Promise.all(filled));
  }

  async #valueOf(name: string): Promise<string> {
    const [, what, of = ""] = /^(code|wrong)\((\w+)\)$/.exec(name) ?? [];
    if (what) {
      const code = await this.#world.code(this.#known.get(of) ?? "");
      return what === "code" ? code : code === "000000" ? "111111" : "000000";
    }
    if (name === "push") return (await this.#world.pushes())[0]?.data["challenge_id"] ?? "";
    const known = this.#known.get(name);
    if (known === undefined) throw new Error(`nothing is known as $${name}`);
    return known;
  }
}

function isMembers(value: Json | undefined): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: Json | undefined): string {
  if (typeof value !== "string") throw new Error(`not a text: ${JSON.stringify(value)}`);
  return value;
}

/** Why an answer is not what is expected of it. It may have members of which nothing is expected. */
function differs(answer: Json | undefined, expected: Json, at = "answer"): string {
  if (Array.isArray(expected)) {
    if (!Array.isArray(answer) || answer.length !== expected.length) return `${at} is not a list of ${expected.length}`;
    return (expected as readonly Json[])
      .map((one, index) => differs((answer as readonly Json[])[index], one, `${at}[${index}]`))
      .join("");
  }
  if (!isMembers(expected))
    return isDeepStrictEqual(answer, expected) ? "" : `${at} is not ${JSON.stringify(expected)}. `;
  const { between, length } = expected;
  if (Array.isArray(between)) {
    const [least, most] = between as readonly number[];
    const isBetween = typeof answer === "number" && answer >= (least ?? 0) && answer <= (most ?? 0);
    return isBetween ? "" : `${at} is not from ${least ?? 0} to ${most ?? 0}. `;
  }
  if (typeof length === "number")
    return Array.isArray(answer) && answer.length === length ? "" : `${at} has not ${length}. `;
  if (!isMembers(answer)) return `${at} has no members. `;
  return Object.entries(expected)
    .map(([name, one]) => differs(answer[name], one, `${at}.${name}`))
    .join("");
}

/** `sessions.current=false.session_id`: the member of the first entry of which that holds. */
function found(answer: Json, path: string): string {
  let value: Json | undefined = answer;
  for (const part of path.split(".")) {
    const [name = "", wanted] = part.split("=");
    if (wanted !== undefined) {
      const list: readonly Json[] = Array.isArray(value) ? (value as readonly Json[]) : [];
      value = list.find((one) => isMembers(one) && JSON.stringify(one[name]) === wanted);
    } else value = isMembers(value) ? value[name] : undefined;
  }
  if (typeof value !== "string") throw new Error(`the answer has no ${path}`);
  return value;
}

const values = process.argv.slice(2);
const file = values[0] === "--results" ? values[1] : undefined;
const adapter = file === undefined ? values : values.slice(2);
if (adapter.length === 0) throw new Error("usage: LATCHKEY_LOCAL=FILE node run.ts [--results FILE] ADAPTER...");
const scenes = JSON.parse(readFileSync(new URL("scenes.json", import.meta.url), "utf8")) as readonly Scene[];
const passed: Record<string, boolean> = {};
for (const { name, says, steps } of scenes) {
  const world = await World.start();
  const client = new Client(adapter);
  const play = new Play(world, client);
  const start = performance.now();
  try {
    for (const step of steps) await play.step(step);
    passed[name] = true;
    console.log(`✔ ${name} (${Math.round(performance.now() - start)} ms)`);
  } catch (error) {
    passed[name] = false;
    console.log(`✖ ${name}\n    ${says}\n    ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    client.close();
    world.close();
  }
}
const count = Object.values(passed).filter(Boolean).length;
console.log(`${count} of ${scenes.length} scenes`);
if (file !== undefined) writeFileSync(file, JSON.stringify(passed));
process.exitCode = count < scenes.length ? 1 : 0;
