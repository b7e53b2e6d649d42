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
  readonly id: string;
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
  /** What happens while the lists are read: they may be older. */
  #missed: (() => void)[] | undefined;

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
        const data: unknown = JSON.parse(event.data);
        if (local.#missed) local.#missed.push(() => { take(data); });
        else take(data);
      });
    };
    on("missed", () => void local.#reload());
    on("message", (message) => {
      local.messages = added(message as Message, local.messages);
      local.#tell("messages");
    });
    on("push", (push) => {
      local.pushes = added(push as Push, local.pushes);
      local.#tell("pushes");
    });
    on("clock", (clock) => {
      local.#setClock(clock);
    });
    on("faults", (faults) => {
      local.#setFaults(faults);
    });
    on("call", (call) => {
      local.calls = added(call as Call, local.calls);
      local.#tell("calls");
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
    await answered(await fetch("/local/faults", { method: "DELETE" }));
  }

  /** Writes organizations or users, as --seed does at the start. */
  async seed(seed: object): Promise<void> {
    await write("seed", seed);
    await this.readSettings();
  }

  /** Somebody else may have changed them. */
  async readSettings(): Promise<Settings> {
    this.settings = (await read("settings")) as Settings;
    this.#tell("settings");
    return this.settings;
  }

  /** Returns once all calls that were answered before are in the list: their events come by another connection. */
  async settled(): Promise<void> {
    const { calls } = (await read("calls")) as { calls: Call[] };
    this.calls = [...calls];
    this.#tell("calls");
  }

  async #reload(): Promise<void> {
    const missed = (this.#missed ??= []);
    const lists = ["inbox", "pushes", "calls", "clock", "faults"].map(read);
    const [inbox, pushes, calls, clock, faults] = (await Promise.all(lists)) as [
      { messages: Message[] },
      { pushes: Push[] },
      { calls: Call[] },
      unknown,
      unknown,
    ];
    this.messages = inbox.messages;
    this.pushes = pushes.pushes;
    this.calls = calls.calls;
    this.#missed = undefined;
    for (const take of missed) take();
    this.#setClock(clock);
    this.#setFaults(faults);
    for (const topic of ["messages", "pushes", "calls"] as const) this.#tell(topic);
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
    if (is && !this.isConnected) void this.#reload().catch(() => undefined);
    this.isConnected = is;
    this.#tell("connection");
  }

  #tell(topic: Topic): void {
    for (const listener of this.#listeners) listener(topic);
  }
}

/** Newest first. What is there already stays where it is. */
function added<Item extends { id: unknown }>(item: Item, list: readonly Item[]): Item[] {
  return list.some(({ id }) => id === item.id) ? [...list] : [item, ...list].slice(0, KEPT);
}

async function read(what: string): Promise<unknown> {
  return (await answered(await fetch(`/local/${what}`))).json();
}

/** @throws {Error} with the words of the refusal. */
async function write(what: string, body: object): Promise<unknown> {
  const headers = { "content-type": "application/json" };
  const request = { method: "POST", headers, body: JSON.stringify(body) };
  const response = await answered(await fetch(`/local/${what}`, request));
  return response.status === 204 ? undefined : response.json();
}

async function answered(response: Response): Promise<Response> {
  if (response.ok) return response;
  const { detail } = (await response.json().catch(() => ({}))) as { detail?: string };
  throw new Error(detail ?? `${response.status} ${response.statusText}`);
}
