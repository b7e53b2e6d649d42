// A device with a number of its own, and what tests say of many requests at once.

import type { World, Wire } from "../../conformance/world.ts";
import {
  MemoryStore,
  Session,
  type SessionEvent,
  type SessionOptions,
  SignIn,
  type SignInOptions,
  type Store,
} from "../src/index.ts";

let numbers = 0;
/** E.164. A number of its own for each test, because a second code for the same number has to wait. */
export function newNumber(): string {
  numbers += 1;
  return `+97798412${String(numbers).padStart(5, "0")}`;
}

export interface Device {
  readonly wire: Wire;
  readonly store: Store;
  readonly session: Session;
  readonly events: SessionEvent[];
}

export async function device(world: World, options: Partial<SessionOptions> = {}): Promise<Device> {
  const wire = await world.wire();
  return open(wire, new MemoryStore(), options);
}

/** Another tab of the same browser, or the same one after a reload. */
export async function tab(other: Device, options: Partial<SessionOptions> = {}): Promise<Device> {
  return open(other.wire, other.store, options);
}

async function open(wire: Wire, store: Store, options: Partial<SessionOptions>): Promise<Device> {
  const session = await Session.open({ api: wire.base, store, ...options });
  const events: SessionEvent[] = [];
  session.subscribe((event) => events.push(event));
  return { wire, store, session, events };
}

/** Signs in and returns what the person went through. */
export async function signIn(
  world: World,
  { session }: Device,
  number = newNumber(),
  options: SignInOptions = {},
): Promise<SignIn> {
  const flow = new SignIn(session, options);
  await flow.send(number);
  await flow.submit(await world.code(number));
  if (flow.state.step !== "signed-in") throw flow.state.problem ?? new Error(flow.state.step);
  return flow;
}

/** Waits for something that another tab or the server does. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 5000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error("it did not happen within five seconds");
    await new Promise((done) => setTimeout(done, 10));
  }
}
