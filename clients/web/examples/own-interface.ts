// A sign-in with an interface of your own: the state says what to show, and the steps change it.

import { Session, SignIn } from "latchkey-web";

const session = await Session.open({ api: "https://auth.example.com" });
const flow = new SignIn(session, { locale: () => navigator.language });

flow.subscribe((state) => {
  switch (state.step) {
    case "number":
      show("Enter your number", state.problem?.message);
      break;
    case "code":
      show(`Enter the code (${state.attemptsLeft} tries left)`, state.problem?.message);
      break;
    case "second-signal":
      show("Approve on your other device, ask for the account, or create a new one");
      break;
    case "released":
      show(`Take it back until ${new Date(state.undoUntil).toLocaleString()}?`);
      break;
    case "recovery":
      show(`Come back on ${new Date(state.opensAt).toLocaleString()}`);
      break;
    case "signed-in":
      show(state.signedIn.is_new_user ? "Welcome" : "Welcome back");
  }
});

await flow.send("+9779841234567");
await flow.submit("042917");

function show(...words: (string | undefined)[]): void {
  document.body.textContent = words.join(" ");
}
