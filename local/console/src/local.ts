// What the system on this machine shows of itself, kept up to date by its stream of events.

export interface Message {
  readonly id: string;
  readonly to: string;
  readonly from: string;
  readonly text: string;
  readonly gateway: string;
  /** Seconds since the epoch. */
  readonly at: number;
}

export interface Push {
  /** The FCM token. */
  readonly to: string;
  readonly data: Readonly<Record<string, string>>;
  readonly at: number;
}

interface Side {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Call {
  readonly id: number;
  readonly at: number;
  readonly method: string;
  readonly path: string;
  readonly route?: string;
  readonly request: Side;
  readonly status: number;
  readonly response: Side;
  readonly milliseconds: number;
  readonly dynamodb: readonly {
    readonly operation: string;
    readonly tables: readonly string[];
    readonly reads: number;
    readonly writes: number;
    readonly milliseconds: number;
  }[];
  readonly overlapped: boolean;
}

export const targets = ["sparrow", "sns", "twilio", "fcm", "dynamodb", "secretsmanager", "eventbridge"] as const;
export const modes = ["refuse", "error", "timeout", "slow", "duplicate"] as const;

export interface Fault {
  readonly target: (typeof targets)[number];
  readonly mode: (typeof modes)[number];
  readonly times: number;
}

export interface Organization {
  readonly id: string;
  readonly app_name: string;
  readonly test_numbers?: readonly TestNumber[];
}

export interface TestNumber {
  readonly phone_number: string;
  readonly code: string;
  readonly until?: string;
}

export interface Settings {
  readonly organization: string;
  readonly app_name: string;
  readonly country: string;
  readonly code_lifetime_seconds: number;
  readonly phone_dormant_days: number;
  readonly undo_hours: number;
  readonly organizations: readonly Organization[];
}

export type Topic = "messages" | "pushes" | "calls" | "faults" | "clock" | "settings" | "connection";

const KEPT = 200;

export class Local {
  /** Newest first, as all lists here. */
  messages: readonly Message[] = [];
  pushes: readonly Push[] = [];
  calls: readonly Call[] = [];
  faults: readonly Fault[] = [];
  settings: Settings;
  isConnected = false;
  #aheadMilliseconds = 0;
  readonly #listeners = new Set<(topic: Topic) => void>();

  private constructor(settings: Settings) {
    this.settings = settings;
  }

  static async open(): Promise<Local> {
    const local = new Local((await read("settings")) as Settings);
    await local.#reload();
    const stream = new EventSource("/local/stream");
    stream.onopen = () => {
      local.#connected(true);
    };
    stream.onerror = () => {
      local.#connected(false);
    };
    const on = (what: string, take: (data: unknown) => void): void => {
      stream.addEventListener(what, (event: MessageEvent<string>) => {
        take(JSON.parse(event.data));
      });
    };
    on("missed", () => void local.#reload());
    on("message", (message) => {
      local.messages = [message as Message, ...local.messages].slice(0, KEPT);
      local.#tell("messages");
    });
    on("push", (push) => {
      local.pushes = [push as Push, ...local.pushes].slice(0, KEPT);
      local.#tell("pushes");
    });
    on("clock", (clock) => {
      local.#setClock(clock);
    });
    on("faults", (faults) => {
      local.#setFaults(faults);
    });
    on("call", (call) => {
      local.calls = [call as Call, ...local.calls].slice(0, KEPT);
      local.#tell("calls");
      if (local.faults.length > 0) void local.#loadFaults();
    });
    return local;
  }

  subscribe(listener: (topic: Topic) => void): void {
    this.#listeners.add(listener);
  }

  /** The system's time, in milliseconds. */
  get now(): number {
    return Date.now() + this.#aheadMilliseconds;
  }

  /** How far the system's clock was moved ahead, in milliseconds. */
  get ahead(): number {
    return this.#aheadMilliseconds < 2000 ? 0 : this.#aheadMilliseconds;
  }

  async advance(seconds: number): Promise<void> {
    this.#setClock(await write("clock", { advance_seconds: seconds }));
  }

  async addFault(fault: Fault): Promise<void> {
    await write("faults", fault);
  }

  async clearFaults(): Promise<void> {
    await fetch("/local/faults", { method: "DELETE" });
  }

  /** Writes organizations or users, as --seed does at the start. */
  async seed(seed: object): Promise<void> {
    await write("seed", seed);
    this.settings = (await read("settings")) as Settings;
    this.#tell("settings");
  }

  async #reload(): Promise<void> {
    const [inbox, pushes, calls, clock] = (await Promise.all(["inbox", "pushes", "calls", "clock"].map(read))) as [
      { messages: Message[] },
      { pushes: Push[] },
      { calls: Call[] },
      unknown,
    ];
    this.messages = inbox.messages;
    this.pushes = pushes.pushes;
    this.calls = calls.calls;
    this.#setClock(clock);
    for (const topic of ["messages", "pushes", "calls"] as const) this.#tell(topic);
    await this.#loadFaults();
  }

  async #loadFaults(): Promise<void> {
    this.#setFaults(await read("faults"));
  }

  #setFaults(answer: unknown): void {
    this.faults = (answer as { faults: Fault[] }).faults;
    this.#tell("faults");
  }

  #setClock(answer: unknown): void {
    this.#aheadMilliseconds = (answer as { now: number }).now * 1000 - Math.floor(Date.now() / 1000) * 1000;
    this.#tell("clock");
  }

  #connected(is: boolean): void {
    // What happened in between is not in the stream.
    if (is && !this.isConnected) void this.#reload();
    this.isConnected = is;
    this.#tell("connection");
  }

  #tell(topic: Topic): void {
    for (const listener of this.#listeners) listener(topic);
  }
}

async function read(what: string): Promise<unknown> {
  const response = await fetch(`/local/${what}`);
  return response.json();
}

/** @throws {Error} with the words of the refusal. */
async function write(what: string, body: object): Promise<unknown> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`/local/${what}`, { method: "POST", headers, body: JSON.stringify(body) });
  const answer = response.status === 204 ? undefined : ((await response.json()) as { detail?: string });
  if (!response.ok) throw new Error(answer?.detail ?? response.statusText);
  return answer;
}
