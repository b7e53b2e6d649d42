// A running `latchkey-local`, in memory, and a shell beside it that has the commands of the documents.

import { type ChildProcess, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { repository } from "./blocks.ts";

const needed = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: tests/documents/run sets it`);
  return value;
};

interface Addresses {
  readonly api: string;
  readonly dynamodb: string;
  readonly aws: string;
}

type Json = Readonly<Record<string, unknown>>;

export class Server {
  /** A folder that looks like the repository, in which commands may write. */
  readonly folder: string;
  readonly addresses: Addresses;
  readonly #child: ChildProcess;

  private constructor(folder: string, addresses: Addresses, child: ChildProcess) {
    this.folder = folder;
    this.addresses = addresses;
    this.#child = child;
  }

  static async start(): Promise<Server> {
    mkdirSync(join(repository, "target"), { recursive: true });
    const folder = mkdtempSync(join(repository, "target/documents-"));
    for (const name of readdirSync(repository)) {
      if (!["target", ".git", "examples"].includes(name)) symlinkSync(join(repository, name), join(folder, name));
    }
    // As files: a script that is reached by a link does not take itself for the one that was started.
    const isOwn = (path: string): boolean => !path.endsWith("/node_modules");
    cpSync(join(repository, "examples"), join(folder, "examples"), { recursive: true, filter: isOwn });
    const announced = join(folder, "announced.json");
    const ports = ["--port", "0", "--dynamodb-port", "0", "--aws-port", "0", "--announce", announced];
    const template = join(repository, "template.yaml");
    const child = spawn(needed("LATCHKEY_LOCAL"), ["--ephemeral", "--events", ...ports, "--template", template], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    while (!existsSync(announced)) {
      if (child.exitCode !== null) throw new Error(`latchkey-local ended with status ${child.exitCode}`);
      await pause(10);
    }
    return new Server(folder, JSON.parse(readFileSync(announced, "utf8")) as Addresses, child);
  }

  stop(): void {
    this.#child.kill();
    rmSync(this.folder, { recursive: true });
  }

  /** What the documents say of `cargo local`, with the addresses of this one. */
  here(text: string): string {
    return text.replaceAll("http://127.0.0.1:3000", this.addresses.api);
  }

  async call(path: string, body?: Json, headers: Readonly<Record<string, string>> = {}): Promise<Json> {
    const response = await fetch(this.addresses.api + path, {
      method: body ? "POST" : "GET",
      headers: { ...headers, ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, ...(text === "" ? {} : (JSON.parse(text) as Json)) };
  }

  /** The six digits of the newest message to a number. */
  async code(number: string): Promise<string> {
    const { messages } = (await this.call(`/local/inbox?to=${encodeURIComponent(number)}`)) as {
      messages?: readonly { text: string }[];
    };
    const [code] = /\d{6}/.exec(messages?.[0]?.text ?? "") ?? [];
    if (code === undefined) throw new Error(`no code for ${number}`);
    return code;
  }

  async advance(seconds: number): Promise<void> {
    await this.call("/local/clock", { advance_seconds: seconds });
  }

  /** Signs in, an hour later, because a number gets only so many codes in an hour. */
  async signIn(number: string): Promise<Json> {
    await this.advance(3600);
    const { challenge_id } = await this.call("/v1/otp/send", { phone_number: number });
    const signedIn = await this.call("/v1/otp/submit", {
      phone_number: number,
      otp: await this.code(number),
      challenge_id,
    });
    if (signedIn["status"] !== 200) throw new Error(`no sign-in of ${number}: ${JSON.stringify(signedIn)}`);
    return signedIn;
  }
}

export interface Ran {
  readonly status: number;
  readonly output: string;
}

/** One bash, into which commands are pasted one after the other. */
export class Shell {
  readonly #bash: ChildProcess;
  #output = "";

  constructor({ folder, addresses }: Server) {
    const tools = join(folder, ".tools");
    mkdirSync(tools, { recursive: true });
    const tool = (name: string, text: string): void => {
      writeFileSync(join(tools, name), `#!/usr/bin/env bash\n${text}\n`, { mode: 0o755 });
    };
    const rest = `PATH=\${PATH#${tools}:}`;
    // A refusal is a failure here, also where a document does not ask curl to say so.
    tool("curl", `${rest}\nexec curl --fail-with-body --show-error "$@"`);
    const ports = `--dynamodb-port ${new URL(addresses.dynamodb).port} --aws-port ${new URL(addresses.aws).port}`;
    const now = `$(curl --silent ${addresses.api}/local/clock | tr -dc 0-9)`;
    tool("latchkey", `exec "$LATCHKEY" ${ports} --local-time "${now}" --yes "$@"`);
    tool("cargo", `[ "$1" = latchkey ] || { echo "not run: cargo $1" >&2; exit 1; }\nshift\nexec latchkey "$@"`);
    const path = `${tools}:${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
    this.#bash = spawn("bash", { cwd: folder, env: { ...process.env, PATH: path } });
    const take = (data: Buffer): void => {
      this.#output += data.toString();
    };
    this.#bash.stdout?.on("data", take);
    this.#bash.stderr?.on("data", take);
  }

  async run(command: string): Promise<Ran> {
    const end = "-- end of the command:";
    this.#output = "";
    this.#bash.stdin?.write(`{ ${command}\n} </dev/null\necho "${end} $?"\n`);
    for (;;) {
      const place = this.#output.indexOf(end);
      const [, status] = /^ (\d+)\n/.exec(this.#output.slice(place + end.length)) ?? [];
      if (place >= 0 && status !== undefined) {
        await pause(5); // Standard error is another stream.
        return { status: Number(status), output: this.#output.slice(0, place) };
      }
      if (this.#bash.exitCode !== null) throw new Error(`the shell ended:\n${this.#output}`);
      await pause(5);
    }
  }

  stop(): void {
    this.#bash.kill();
  }
}
