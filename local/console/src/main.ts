// The console: an app, a phone, and what happens between them.

import { IndexedDbStore, MemoryStore, Session, type Store } from "../../../clients/web/src/index.ts";
import { App } from "./app.ts";
import { Calls } from "./calls.ts";
import { type Control, Controls, controls } from "./controls.ts";
import { button, h, icon } from "./dom.ts";
import { Local } from "./local.ts";
import { Phone } from "./phone.ts";
import { type SceneName, sceneNames } from "./scenes.ts";
import { Tour } from "./tour.ts";
import { type Language, choose, language, languages, words } from "./words.ts";

const texts = words();
document.documentElement.lang = language();
document.title = `${texts.console} · Latchkey`;

const local = await Local.open().catch((error: unknown) => {
  const again = button("button", texts.tryAgain, () => {
    location.reload();
  });
  const why = h("p", "outcome failed", { role: "alert" }, `${texts.disconnected} ${(error as Error).message}`);
  document.body.append(h("main", "", {}, why, h("div", "actions", {}, again)));
  throw error;
});
const store: Store = await IndexedDbStore.open("latchkey console").catch(() => new MemoryStore());
const session = await Session.open({ api: location.origin, store });

const app = new App(session, store, local);
const phone = new Phone(local, session, app);
const calls = new Calls(local);
const tour = new Tour(local);
const makers = new Controls(local);

const bench = h("div", "bench", {}, app.element, phone.element, calls.element);
const links = {
  console: h("a", "", { href: "#/" }, texts.console),
  tour: h("a", "", { href: `#/tour/${sceneNames[0] ?? ""}` }, texts.tour),
};
const offline = h("p", "offline", { role: "alert" });
const main = h("main", "", { id: "main", tabindex: "-1" }, bench, tour.element);

function languageChoice(): HTMLElement {
  const choices = (Object.entries(languages) as [Language, string][]).map(([code, label]) => {
    const choice = button("", label, () => {
      choose(code);
      location.reload();
    });
    choice.lang = code;
    choice.ariaPressed = String(code === language());
    return choice;
  });
  return h("div", "languages", { role: "group", "aria-label": texts.language }, ...choices);
}

/** The address says what is shown: #/, #/clock, #/tour/gateway. */
function route(): void {
  const [, place = "", scene] = location.hash.split("/");
  const isTour = place === "tour";
  bench.hidden = isTour;
  tour.element.hidden = !isTour;
  for (const [name, link] of Object.entries(links)) {
    if ((name === "tour") === isTour) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!isTour) tour.leave();
  else tour.show(sceneNames.includes(scene as SceneName) ? (scene as SceneName) : "sign-in");
  if (controls.includes(place as Control)) makers.open(place as Control);
}

const skip = h("a", "skip", { href: "#main" }, texts.skip);
skip.onclick = (event) => {
  event.preventDefault();
  main.focus();
};
document.body.append(
  skip,
  h(
    "header",
    "top",
    {},
    h("h1", "wordmark", {}, icon("M6.5 3a4.5 4.5 0 1 0 0 9a4.5 4.5 0 0 0 0-9z", "M9.8 10.6L17 17.5", "M13.2 14l2-2"), "Latchkey"),
    h("nav", "", { "aria-label": "Latchkey" }, links.console, links.tour, h("a", "", { href: "/docs/" }, texts.docs)),
    makers.buttons,
    languageChoice(),
  ),
  offline,
  main,
  makers.panels,
);
local.subscribe((topic) => {
  if (topic === "connection") offline.textContent = local.isConnected ? "" : texts.disconnected;
});
addEventListener("hashchange", route);
route();
