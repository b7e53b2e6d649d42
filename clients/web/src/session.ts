// The session of a signed-in person: it keeps the tokens, refreshes them once for all tabs, and ends when the server says so.

import {
  Api,
  type Answer,
  type ApiOptions,
  type Arguments,
  type CallOptions,
  type Operation,
  type SignedIn,
  type Tokens,
  aheadOf,
  page,
} from "./api.ts";
import { Problem, type ProblemCode } from "./problem.ts";
import { type DeviceKey, claimsOf, makeDeviceKey } from "./proof.ts";
import { IndexedDbStore, MemoryStore, type Store } from "./store.ts";

/** `signed_out`: the person signed out. Otherwise the code with which the server ended the session. */
export type EndReason = "signed_out" | ProblemCode;

export type SessionEvent =
  { readonly type: "signed-in" | "refreshed" } | { readonly type: "signed-out"; readonly reason: EndReason };

export interface SessionOptions extends Pick<ApiOptions, "fetch" | "timeoutSeconds"> {
  /** The base URL of Latchkey. */
  readonly api: string | URL;
  /** Other origins whose requests get the access token, such as `https://api.example.com`. */
  readonly origins?: readonly string[] | undefined;
  /** Where the key and the tokens are kept. By default in IndexedDB. */
  readonly store?: Store | undefined;
}

/** What the access token says of the person. The server signed it; the client does not check that. */
export interface Claims {
  /** The user id. */
  readonly sub: string;
  /** The session id. */
  readonly sid: string;
  readonly org: string;
  readonly roles: Readonly<Record<string, readonly string[]>>;
  /** Whether the token was issued for a code. */
  readonly fresh: boolean;
}

interface Kept extends Pick<Tokens, "token_type" | "access_token" | "refresh_token"> {
  /** By this device's clock, in milliseconds. */
  readonly expires_at: number;
}

/** A token is refreshed this long before it expires, so that it does not expire on its way. */
const EARLY_MILLISECONDS = 30_000;
/**
 * Whoever waits longer than this for another tab goes on without the lock: the browser may have stopped that tab. A refresh
 * without a network can take longer, too. So what it comes to counts only if nobody changed the tokens meanwhile.
 */
const LOCK_MILLISECONDS = 30_000;

/** After these answers to a request, a refresh tells whether the session has ended. */
const stale: readonly string[] = [
  "token_expired",
  "token_invalid",
  "session_revoked",
  "no_such_user",
] satisfies ProblemCode[];
/** These answers to a refresh end the session. All others say nothing about it. */
const ends = [...stale, ...(["refresh_reused", "not_a_member", "account_blocked"] satisfies ProblemCode[])];

export class Session {
  readonly api: Api;
  readonly #store: Store;
  readonly #name: string;
  readonly #options: SessionOptions;
  readonly #listeners = new Set<(event: SessionEvent) => void>();
  #channel: BroadcastChannel | undefined;
  #kept: Kept | undefined;
  #key: Promise<DeviceKey | undefined> | undefined;
  #refreshing: Promise<void> | undefined;

  private constructor(options: SessionOptions, store: Store, name: string) {
    this.#options = options;
    this.#store = store;
    this.#name = name;
    this.api = new Api(options.api, { ...options, key: () => this.#deviceKey() });
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = (message: MessageEvent<{ reason?: EndReason }>) => {
      void this.#follow(message.data.reason);
    };
    // Node.js would not end as long as the channel is open.
    (this.#channel as { unref?: () => void }).unref?.();
  }

  /** Opens the session that this browser keeps, or one in which nobody is signed in yet. */
  static async open(options: SessionOptions): Promise<Session> {
    const name = `latchkey ${new Api(options.api).base}`;
    const store = options.store ?? (await IndexedDbStore.open(name).catch(() => new MemoryStore()));
    const session = new Session(options, store, name);
    session.#kept = await session.#load();
    return session;
  }

  get isSignedIn(): boolean {
    return this.#kept !== undefined;
  }

  /** `undefined` if nobody is signed in. */
  get claims(): Claims | undefined {
    return this.#kept && (claimsOf(this.#kept.access_token) as unknown as Claims);
  }

  /** Calls the listener after each change, also one by another tab. Returns a function that ends this. */
  subscribe(listener: (event: SessionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /**
   * Sends a request with the access token, as `fetch` does. Refreshes the token if it is about to expire, and once if the
   * server does not accept it. Follows no redirect.
   *
   * @throws {TypeError} for a URL of an origin that must not get the token: nothing was sent. Also for a redirect, and if there
   * is no answer.
   * @throws {Problem} if nobody is signed in, or the refresh failed.
   */
  async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input, page?.href);
    const mayKnow = [this.api.base, page?.origin, ...(this.#options.origins ?? [])];
    if (!mayKnow.some((known) => known && new URL(known).origin === url.origin)) {
      throw new TypeError(`the option origins does not name ${url.origin}`);
    }
    const request = new Request(input instanceof Request ? input : url, { ...init, redirect: "error" });
    const send = async (kept: Kept, aheadSeconds?: number): Promise<Response> => {
      const attempt = request.clone();
      attempt.headers.set("authorization", `${kept.token_type} ${kept.access_token}`);
      if (kept.token_type === "DPoP") {
        const proof = await this.api.proof(request.method, url.href, kept.access_token, aheadSeconds);
        if (proof) attempt.headers.set("dpop", proof);
      }
      return (this.#options.fetch ?? fetch)(attempt);
    };
    const kept = await this.#valid();
    const response = await send(kept);
    if (!(await isStale(response))) return response;
    // If the proof was refused and not the token, the next one has this server's time. It may be no time for another server.
    return send(await this.#renewed(kept), aheadOf(response.headers));
  }

  /** Calls an operation of Latchkey as the person who is signed in. */
  async call<Op extends Operation>(
    operation: Op,
    ...[body, options]: Arguments<Op, Omit<CallOptions, "token">>
  ): Promise<Answer<Op>> {
    const call = (token: Kept): Promise<Answer<Op>> =>
      this.api.call(operation, ...([body, { ...options, token }] as unknown as Arguments<Op, CallOptions>));
    const kept = await this.#valid();
    return call(kept).catch(async (error: unknown) => {
      if (!(error instanceof Problem && stale.includes(error.code))) throw error;
      return call(await this.#renewed(kept));
    });
  }

  /** Exchanges the tokens for new ones. Calls at the same time, also of other tabs, share one request. */
  async refresh(): Promise<void> {
    if (!this.#kept) throw new Problem("signed_out");
    await this.#renewed(this.#kept);
  }

  /**
   * Takes the tokens of a sign-in over. If somebody was signed in here, their earlier session ends: otherwise it would stay
   * in the list of devices.
   */
  async signIn(tokens: SignedIn): Promise<void> {
    const earlier = this.#kept;
    await this.#locked(() => this.#keep(tokens));
    // The person is signed in, whatever becomes of it.
    if (earlier) await this.#end(earlier).catch(() => undefined);
  }

  /** Ends a session of which nobody here knows any more. It may have been another person's. */
  async #end(earlier: Kept): Promise<void> {
    const { expires_at, refresh_token } = earlier;
    const token = expires_at < Date.now() ? await this.api.call("refreshSession", { refresh_token }) : earlier;
    await this.api.call("signOut", undefined, { token });
  }

  /**
   * Signs out this device. It keeps its key, so that it stays known. The tokens are gone in any case.
   *
   * @throws {Problem} if the server could not be told. Then the session stays in the list of devices until it expires.
   */
  async signOut(): Promise<void> {
    const { claims } = this;
    if (!claims) return;
    try {
      await this.call("signOut");
    } catch (error) {
      // If the server ended the session first, or somebody else signed in, this is what the person wants.
      if (this.claims?.sid === claims.sid) throw error;
    } finally {
      await this.#forget(claims.sid);
    }
  }

  /**
   * Signs out all devices.
   *
   * @throws {Problem} if the server could not be told. Then everybody is still signed in.
   */
  async signOutEverywhere(): Promise<void> {
    const sid = this.claims?.sid;
    await this.call("signOutEverywhere");
    await this.#forget(sid);
  }

  /** Ends the connection to other tabs. */
  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#listeners.clear();
  }

  async #valid(): Promise<Kept> {
    const kept = this.#kept;
    if (!kept) throw new Problem("signed_out");
    return kept.expires_at < Date.now() ? this.#renewed(kept) : kept;
  }

  /**
   * What is kept after a refresh. It is one refresh for all who wait in this tab, and the lock makes it one for all tabs. A
   * request of one person is never sent as another one.
   */
  async #renewed(old: Kept): Promise<Kept> {
    if (this.#kept === old) {
      this.#refreshing ??= this.#locked(() => this.#rotate(old)).finally(() => {
        this.#refreshing = undefined;
      });
    }
    await this.#refreshing;
    const isSamePerson = this.claims?.sub === claimsOf(old.access_token)["sub"];
    if (!this.#kept || !isSamePerson) throw new Problem("signed_out");
    return this.#kept;
  }

  async #rotate(old: Kept): Promise<void> {
    const isKept = async (): Promise<boolean> => {
      // The message of another tab may still be on its way.
      await this.#follow();
      return this.#kept === old;
    };
    if (!(await isKept())) return;
    try {
      const tokens = await this.api.call("refreshSession", { refresh_token: old.refresh_token });
      if (await isKept()) await this.#keep(tokens);
    } catch (error) {
      // After a sign-in or a sign-out, it says nothing of what is kept.
      if (!(await isKept())) return;
      if (error instanceof Problem && ends.includes(error.code)) await this.#change(undefined, error.code as EndReason);
      throw error;
    }
  }

  #keep({ token_type, access_token, expires_in, refresh_token }: Tokens): Promise<void> {
    // A short-lived token must not be refreshed at each request.
    const lifetime = expires_in * 1000;
    const expires_at = Date.now() + lifetime - Math.min(EARLY_MILLISECONDS, lifetime / 2);
    return this.#change({ token_type, access_token, refresh_token, expires_at });
  }

  /** Signs out, unless there is another session by now. */
  #forget(sid: string | undefined): Promise<void> {
    return this.#locked(async () => {
      if (this.claims?.sid === sid) await this.#change(undefined);
    });
  }

  async #load(): Promise<Kept | undefined> {
    const isOfUse = await this.#store.get("key");
    return isOfUse ? ((await this.#store.get("tokens")) as Kept | undefined) : undefined;
  }

  async #change(kept: Kept | undefined, reason?: EndReason): Promise<void> {
    // Whoever reads a refresh token without a key can use it. It ends with the page.
    const isToKeep = kept && isBound(kept);
    const event = this.#take(kept, reason);
    if (isToKeep) await this.#store.put("tokens", kept);
    else await this.#store.remove("tokens");
    this.#channel?.postMessage(event);
    this.#emit(event);
  }

  /** Takes over what another tab has changed, if it has. */
  async #follow(reason?: EndReason): Promise<void> {
    const before = this.#kept;
    // An unbound session is in no store, and belongs to this tab alone.
    if (before && !isBound(before)) return;
    const kept = await this.#load();
    // What this tab changed meanwhile is newer.
    if (this.#kept !== before || kept?.access_token === before?.access_token) return;
    // If the store was emptied, the key is gone too.
    if (!kept) this.#key = undefined;
    this.#emit(this.#take(kept, reason));
  }

  #take(kept: Kept | undefined, reason: EndReason = "signed_out"): SessionEvent {
    const earlier = this.claims?.sid;
    // It throws for tokens that cannot be read. So it comes before anything changes.
    const sid = kept && claimsOf(kept.access_token)["sid"];
    this.#kept = kept;
    if (!kept) return { type: "signed-out", reason };
    return { type: sid === earlier ? "refreshed" : "signed-in" };
  }

  #emit(event: SessionEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** The key is made before the first sign-in, and kept after a sign-out. */
  #deviceKey(): Promise<DeviceKey | undefined> {
    this.#key ??= (async () => {
      const kept = (await this.#store.get("key")) ?? (await makeDeviceKey());
      // Without a key that outlives the page, a session would outlive its key.
      return kept && ((await this.#store.add("key", kept)) as DeviceKey);
    })().catch(() => undefined);
    return this.#key;
  }

  /** Runs in one tab at a time. */
  async #locked(work: () => Promise<void>): Promise<void> {
    const { locks } = ((globalThis as { navigator?: unknown }).navigator ?? {}) as { locks?: LockManager };
    if (!locks) return work();
    let started = false as boolean;
    try {
      await locks.request(this.#name, { signal: AbortSignal.timeout(LOCK_MILLISECONDS) }, () => {
        started = true;
        return work();
      });
    } catch (error) {
      if (started) throw error;
      // Two refreshes at once are no harm to a bound session: its previous token still works.
      await work();
    }
  }
}

function isBound({ refresh_token }: Kept): boolean {
  return "cnf" in claimsOf(refresh_token);
}

/**
 * Whether a refusal may be due to the token. Latchkey names the reason. Its authorizer in front of other routes cannot:
 * API Gateway then answers 403 with a `message` of its own.
 */
async function isStale(response: Response): Promise<boolean> {
  const { status } = response;
  if (status !== 401 && status !== 403) return false;
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  const { code, message, Message } = Object(body) as Record<string, unknown>;
  if (code !== undefined) return code === "invalid_dpop_proof" || stale.includes(code as string);
  if (status === 401) return (response.headers.get("www-authenticate") ?? "").includes("invalid_token");
  return message === "Forbidden" || Message !== undefined;
}
