// The sign-in without an interface: each way from a number to a session, and each refusal on the way.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { World } from "../../conformance/world.ts";
import { SignIn } from "../src/index.ts";
import { device, newNumber, signIn } from "./support.ts";

const SEND = "POST /v1/otp/send";
const SUBMIT = "POST /v1/otp/submit";

let world: World;
before(async () => {
  world = await World.start();
});
after(() => {
  world.close();
});

const wrong = (code: string): string => (code === "000000" ? "111111" : "000000");

/** The state, if it is at this step. */
function at<Step extends SignIn["state"]["step"]>(flow: SignIn, step: Step): Extract<SignIn["state"], { step: Step }> {
  const { state } = flow;
  assert.equal(state.step, step, state.problem?.message);
  assert.equal(state.busy, false);
  return state as Extract<SignIn["state"], { step: Step }>;
}

test("a number and its code sign in", async () => {
  const { session } = await device(world);
  const flow = new SignIn(session, { deviceName: "Firefox", source: "web", locale: () => "ne" });
  const steps: string[] = [];
  flow.subscribe(({ step, busy }) => steps.push(busy ? `${step}…` : step));
  at(flow, "number");
  const number = newNumber();
  await flow.send(number);
  const { resendAt, expiresAt, attemptsLeft } = at(flow, "code");
  assert.ok(Math.abs(resendAt - Date.now() - 30_000) < 2000);
  assert.ok(Math.abs(expiresAt - Date.now() - 600_000) < 2000);
  assert.equal(attemptsLeft, 5);
  const [message] = await world.messages(number);
  assert.match(message?.text ?? "", /[\u0900-\u097f]/);
  await flow.submit(await world.code(number));
  assert.equal(at(flow, "signed-in").signedIn.is_new_user, true);
  assert.equal(session.isSignedIn, true);
  assert.deepEqual(steps, ["number…", "code", "code…", "signed-in"]);
  const { sessions } = await session.call("listSessions");
  assert.equal(sessions[0]?.device_name, "Firefox");
});

test("a number that is none stays at the number, with the reason", async () => {
  const { session } = await device(world);
  const flow = new SignIn(session);
  await flow.send("12");
  assert.equal(at(flow, "number").problem?.code, "invalid_phone_number");
  await flow.send(newNumber());
  assert.equal(at(flow, "code").problem, undefined);
});

test("each wrong code says how many tries are left, and after the last one a new code is needed", async () => {
  const { session } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await flow.send(number);
  const code = wrong(await world.code(number));
  for (const left of [4, 3, 2, 1]) {
    await flow.submit(code);
    const state = at(flow, "code");
    assert.equal(state.problem?.code, "incorrect_otp");
    assert.deepEqual([state.attemptsLeft, state.needsNewCode], [left, false]);
  }
  await flow.submit(code);
  const state = at(flow, "code");
  assert.deepEqual([state.attemptsLeft, state.needsNewCode], [0, true]);
});

test("a second message has to wait, and then has the same code", async () => {
  const { session } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await flow.send(number);
  const first = await world.code(number);
  await flow.resend();
  const { problem, waitUntil } = at(flow, "code");
  assert.equal(problem?.code, "too_many_requests");
  assert.ok(waitUntil > Date.now() + 28_000);
  await world.advance(31);
  await flow.resend();
  assert.equal(at(flow, "code").waitUntil, 0);
  assert.equal((await world.messages(number)).length, 2);
  assert.equal(await world.code(number), first);
  await flow.submit(first);
  at(flow, "signed-in");
});

test("an expired code needs a new one", async () => {
  const { session } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await flow.send(number);
  const code = await world.code(number);
  await world.advance(601);
  await flow.submit(code);
  const state = at(flow, "code");
  assert.deepEqual([state.problem?.code, state.needsNewCode], ["otp_expired", true]);
  await flow.resend();
  await flow.submit(await world.code(number));
  at(flow, "signed-in");
});

test("a second click sends nothing while the first is on its way", async () => {
  const { session, wire } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await Promise.all([flow.send(number), flow.send(number)]);
  assert.equal(wire.count(SEND, 200), 1);
  const code = await world.code(number);
  await Promise.all([flow.submit(code), flow.submit(code)]);
  assert.equal(wire.count(SUBMIT), 1);
  at(flow, "signed-in");
});

test("a second tap with other digits changes nothing of what is sent later", async () => {
  const { session, wire } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await flow.send(number);
  const code = await world.code(number);
  const typed = wrong(code);
  const late = wire.hold(SUBMIT);
  const submit = flow.submit(typed);
  await late.asked;
  await flow.submit(code);
  late.answer();
  await submit;
  await flow.approved();
  const sent = wire.passed.filter(({ route }) => route === SUBMIT).map(({ body }) => JSON.parse(body) as { otp: string });
  assert.deepEqual(
    sent.map(({ otp }) => otp),
    [typed, typed],
  );
});

test("a submit that nobody answered is the same submit when the person tries again", async () => {
  const { session, wire } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await flow.send(number);
  const code = await world.code(number);
  wire.loseAnswer(SUBMIT, 3);
  await flow.submit(code);
  assert.equal(at(flow, "code").problem?.code, "no_answer");
  await flow.submit(code);
  at(flow, "signed-in");
  const keys = wire.passed.filter(({ route }) => route === SUBMIT).map(({ headers }) => headers["idempotency-key"]);
  assert.deepEqual([keys.length, new Set(keys).size], [4, 1]);
});

test("another guess is another submit", async () => {
  const { session, wire } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await flow.send(number);
  const code = await world.code(number);
  await flow.submit(wrong(code));
  await flow.submit(wrong(code));
  await flow.submit(code);
  at(flow, "signed-in");
  const keys = wire.passed.filter(({ route }) => route === SUBMIT).map(({ headers }) => headers["idempotency-key"]);
  assert.equal(new Set(keys).size, 3);
});

test("a gateway that is down leaves the person at the number, with the wait", async () => {
  const { session } = await device(world);
  await world.fault("sparrow", "error", 5);
  await world.fault("sns", "error", 5);
  await world.fault("twilio", "error", 5);
  const flow = new SignIn(session);
  await flow.send(newNumber());
  await world.clearFaults();
  const { problem, waitUntil } = at(flow, "number");
  assert.equal(problem?.code, "sms_gateway_unavailable");
  assert.ok(waitUntil > Date.now());
});

test("a deleted account is restored, or a new one is created", async () => {
  for (const way of ["restore", "fresh"] as const) {
    const number = newNumber();
    const made = await device(world);
    await signIn(world, made, number);
    const earlier = made.session.claims?.sub;
    await made.session.call("deleteMe");
    await assert.rejects(made.session.refresh());
    assert.equal(made.session.isSignedIn, false);
    await world.advance(60);
    const flow = new SignIn(made.session);
    await flow.send(number);
    await flow.submit(await world.code(number));
    const released = at(flow, "released");
    assert.equal(released.undoes, "account_deletion");
    assert.equal(released.attemptsLeft, 4);
    // By this device's clock, which is behind the server's by now.
    const hours = (released.undoUntil - Date.now()) / 3_600_000;
    assert.ok(hours > 71 && hours < 72.1, String(hours));
    await (way === "restore" ? flow.restore() : flow.freshAccount());
    at(flow, "signed-in");
    assert.equal(made.session.claims?.sub === earlier, way === "restore");
  }
});

test("a dormant number opens by the device's key alone", async () => {
  const number = newNumber();
  const made = await device(world);
  await signIn(world, made, number);
  const earlier = made.session.claims?.sub;
  await made.session.signOut();
  await world.advance(200 * 86_400);
  await signIn(world, made, number);
  assert.equal(made.session.claims?.sub, earlier);
});

test("a dormant number on an unknown device is asked for a second signal, and offers each way", async () => {
  for (const way of ["fresh", "recover"] as const) {
    const number = newNumber();
    const first = await device(world);
    await signIn(world, first, number);
    await world.advance(200 * 86_400);
    const { session } = await device(world);
    const flow = new SignIn(session);
    await flow.send(number);
    await flow.submit(await world.code(number));
    assert.equal(at(flow, "second-signal").approvalAsked, false);
    if (way === "fresh") {
      await flow.freshAccount();
      assert.equal(at(flow, "signed-in").signedIn.is_new_user, true);
    } else {
      await flow.recover();
      const { opensAt, closesAt } = at(flow, "recovery");
      assert.ok(Math.abs((opensAt - Date.now()) / 86_400_000 - 7) < 0.1);
      assert.ok(closesAt > opensAt);
      await world.advance(7 * 86_400 + 60);
      await flow.resend();
      await flow.submit(await world.code(number));
      at(flow, "second-signal");
      await flow.recover();
      assert.equal(at(flow, "signed-in").signedIn.is_new_user, false);
    }
  }
});

test("restart leads back to the number", async () => {
  const { session } = await device(world);
  const flow = new SignIn(session);
  await flow.send(newNumber());
  flow.restart();
  at(flow, "number");
});

test("a person who restarts while a code is sent goes on with another number at once", async () => {
  const { session, wire } = await device(world);
  const flow = new SignIn(session);
  const [first, second] = [newNumber(), newNumber()];
  const late = wire.hold(SEND);
  const send = flow.send(first);
  await late.asked;
  flow.restart();
  at(flow, "number");
  await flow.send(second);
  assert.equal(at(flow, "code").phoneNumber, second);
  late.answer();
  await send;
  assert.equal(at(flow, "code").phoneNumber, second);
  await flow.submit(await world.code(second));
  at(flow, "signed-in");
  assert.equal((await session.call("getMe")).phone_number, second);
});

test("a refusal of what the person gave up is not shown", async () => {
  const { session, wire } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  await flow.send(number);
  const late = wire.hold(SUBMIT);
  const submit = flow.submit(wrong(await world.code(number)));
  await late.asked;
  flow.restart();
  late.answer();
  await submit;
  assert.equal(at(flow, "number").problem, undefined);
});

test("a session that opens after the person gave it up ends at once", async () => {
  const made = await device(world);
  const { session, wire } = made;
  const flow = new SignIn(session);
  const [first, second] = [newNumber(), newNumber()];
  await flow.send(first);
  const late = wire.hold(SUBMIT);
  const submit = flow.submit(await world.code(first));
  await late.asked;
  flow.restart();
  await flow.send(second);
  await flow.submit(await world.code(second));
  late.answer();
  await submit;
  at(flow, "signed-in");
  assert.deepEqual(made.events, [{ type: "signed-in" }]);
  assert.equal((await session.call("getMe")).phone_number, second);
  assert.equal(wire.count("DELETE /v1/session", 204), 1);
  await world.advance(60);
  const other = await signIn(world, await device(world), first);
  assert.equal(at(other, "signed-in").signedIn.other_sessions, 0);
});

test("a page that is loaded again goes on with its code, and keeps no code", async () => {
  const { session } = await device(world);
  const flow = new SignIn(session);
  const number = newNumber();
  at(new SignIn(session, { saved: flow.saved() }), "number");
  await flow.send(number);
  const code = await world.code(number);
  await flow.submit(wrong(code));
  const saved = flow.saved();
  assert.equal(saved.includes(wrong(code)), false);
  const again = new SignIn(session, { saved });
  assert.equal(at(again, "code").attemptsLeft, 4);
  assert.equal(again.state.problem, undefined);
  await again.submit(code);
  at(again, "signed-in");
  assert.doesNotMatch(again.saved(), /token/);
  at(new SignIn(session, { saved: again.saved() }), "number");
  const expired = JSON.stringify({ ...(JSON.parse(saved) as object), expiresAt: Date.now() - 1 });
  for (const saved of [expired, null, undefined]) at(new SignIn(session, { saved }), "number");
});
