// A Latchkey for tests: starts it, reads codes, moves its clock and lets its gateways fail.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export interface Message {
  readonly text: string;
  /** Which gateway took it. */
  readonly gateway: string;
}

export class Latchkey {
  readonly url: string;
  readonly #process: ChildProcess;

  private constructor(url: string, process: ChildProcess) {
    this.url = url;
    this.#process = process;
  }

  /** Starts one on free ports that keeps nothing, and returns when it answers. */
  static async start(seed: string): Promise<Latchkey> {
    const folder = mkdtempSync(join(tmpdir(), "latchkey-"));
    const announced = join(folder, "announced.json");
    const ports = ["--port", "0", "--dynamodb-port", "0", "--aws-port", "0"];
    const options = ["--ephemeral", ...ports, "--seed", seed, "--announce", announced];
    const program = process.env["LATCHKEY_LOCAL"] ?? "latchkey-local";
    const child = spawn(program, options, { stdio: ["ignore", "ignore", "inherit"] });
    let failure: unknown;
    child.on("error", (error) => (failure = error));
    while (!existsSync(announced)) {
      if (failure ?? child.exitCode !== null) throw new Error(`${program} did not start`, { cause: failure });
      await pause(10);
    }
    const { api } = JSON.parse(readFileSync(announced, "utf8")) as { api: string };
    rmSync(folder, { recursive: true });
    return new Latchkey(api, child);
  }

  stop(): void {
    this.#process.kill();
  }

  /** The newest message to a number. */
  async message(number: string): Promise<Message> {
    const { messages } = (await this.#call("GET", `inbox?to=${encodeURIComponent(number)}`)) as { messages: Message[] };
    const [newest] = messages;
    if (!newest) throw new Error(`no message was sent to ${number}`);
    return newest;
  }

  /** The code in the newest message to a number. */
  async code(number: string): Promise<string> {
    const { text } = await this.message(number);
    const [code] = /\d{6}/.exec(text) ?? [];
    if (!code) throw new Error("the newest message has no code");
    return code;
  }

  /** Moves the clock forward, for example to let a code expire. */
  async advance(seconds: number): Promise<void> {
    await this.#call("POST", "clock", { advance_seconds: seconds });
  }

  /** The next calls to a gateway or to the database fail. */
  async fail(target: "sparrow" | "sns" | "dynamodb", mode: "refuse" | "error" | "timeout", times: number): Promise<void> {
    await this.#call("POST", "faults", { target, mode, times });
  }

  /** Faults that nothing met do not reach the next test. */
  async heal(): Promise<void> {
    await this.#call("DELETE", "faults");
  }

  async #call(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(`${this.url}/local/${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body ? JSON.stringify(body) : null,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} /local/${path}: ${text}`);
    return text ? JSON.parse(text) : undefined;
  }
}
