// Drives the web client for the conformance scenes: one command a line in, one answer a line out.

import { createInterface } from "node:readline";
import { MemoryStore, type Operation, Problem, Session, SignIn, type Store } from "../src/index.ts";

interface Command {
  readonly id: number;
  readonly device: string;
  readonly do: string;
  readonly [name: string]: unknown;
}

interface Device {
  readonly api: string;
  readonly store: Store;
  readonly session: Session;
  readonly flow: SignIn;
  readonly events: string[];
}

const devices = new Map<string, Device>();

/** By device, what goes on in the background. */
const background = new Map<string, Promise<unknown>>();

async function open(name: string, api: string, store: Store, events: string[]): Promise<void> {
  devices.get(name)?.session.close();
  const session = await Session.open({ api, store });
  session.subscribe((event) => {
    events.push(event.type === "signed-out" ? `signed-out ${event.reason}` : event.type);
  });
  devices.set(name, { api, store, session, flow: new SignIn(session, { deviceName: name }), events });
}

const told = ({ code, status, retryAfter, attemptsLeft }: Problem): unknown => ({
  code,
  status,
  retry_after: retryAfter,
  attempts_left: attemptsLeft,
});

/** What a sign-in has come to. */
function stateOf({ state }: SignIn): unknown {
  const seconds = (at: number): number => Math.round((at - Date.now()) / 1000);
  return {
    step: state.step,
    problem: state.problem ? told(state.problem) : null,
    ...("phoneNumber" in state && { attempts_left: state.attemptsLeft, resend_in: seconds(state.resendAt) }),
    ...("needsNewCode" in state && { needs_new_code: state.needsNewCode }),
    ...("approvalAsked" in state && { approval_asked: state.approvalAsked }),
    ...("undoes" in state && { undoes: state.undoes }),
    ...("opensAt" in state && { opens_in: seconds(state.opensAt) }),
    ...("signedIn" in state && state.signedIn),
  };
}

async function perform(command: Command): Promise<unknown> {
  const text = (name: string): string => String(command[name]);
  if (command.do === "open") {
    const ahead = Number(command["clock_ahead_seconds"] ?? 0) * 1000;
    const now = Date.now.bind(Date);
    Date.now = () => now() + ahead;
    return open(command.device, text("api"), new MemoryStore(), []);
  }
  const device = devices.get(command.device);
  if (!device) throw new Error(`${command.device} is not open`);
  const { session, flow, events, api, store } = device;
  const others = command["sign_out_others"] === true && "sign others out";
  switch (command.do) {
    case "restart":
      return open(command.device, api, store, events);
    case "send":
      flow.restart();
      await flow.send(text("phone_number"));
      return stateOf(flow);
    case "resend":
      await flow.resend();
      return stateOf(flow);
    case "submit":
      await flow.submit(text("otp"), others);
      return stateOf(flow);
    case "approved":
      await flow.approved();
      return stateOf(flow);
    case "fresh_account":
      await flow.freshAccount();
      return stateOf(flow);
    case "recover":
      await flow.recover();
      return stateOf(flow);
    case "restore":
      await flow.restore(others);
      return stateOf(flow);
    case "refresh":
      return session.refresh();
    case "call": {
      const call = session.call.bind(session) as (operation: Operation, body: unknown) => Promise<unknown>;
      const calls = Array.from({ length: Number(command["times"] ?? 1) }, () =>
        call(text("operation") as Operation, command["body"]),
      );
      return (await Promise.all(calls)).at(-1);
    }
    case "sign_out":
      return command["from"] === "all devices" ? session.signOutEverywhere() : session.signOut();
    case "wait":
      return background.get(command.device);
    case "state":
      return { signed_in: session.isSignedIn, events };
    default:
      throw new Error(`no such command: ${command.do}`);
  }
}

for await (const line of createInterface(process.stdin)) {
  const command = JSON.parse(line) as Command;
  const performed = perform(command).catch((error: unknown) => {
    if (error instanceof Problem) return { problem: told(error) };
    throw error;
  });
  if (command["in_background"]) background.set(command.device, performed);
  const answer = command["in_background"] ? null : await performed;
  process.stdout.write(`${JSON.stringify({ id: command.id, answer: answer ?? null })}\n`);
}
