// What the pages do besides showing themselves: copy code, choose a language and the colours, filter problems, open the
// search.

export {};

const root = document.documentElement;

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // The choice then lasts as long as the page.
  }
}

// `cargo local` serves these pages at /docs/ on this machine. Its own address is then that of the examples, whatever its port.
const isLocal =
  location.protocol === "http:" &&
  /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(location.hostname) &&
  new URL("./", import.meta.url).pathname === "/docs/";
if (isLocal) {
  for (const code of document.querySelectorAll("pre code")) {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      const shown = text.nodeValue?.replaceAll("http://127.0.0.1:3000", location.origin);
      if (shown !== text.nodeValue) text.nodeValue = shown ?? "";
    }
  }
  const console = document.querySelector<HTMLAnchorElement>(".console");
  if (console) {
    console.href = "/";
    console.hidden = false;
  }
}

for (const button of document.querySelectorAll<HTMLButtonElement>(".copy")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const code = button.parentElement?.querySelector("code")?.textContent ?? "";
    const say = (words: string): void => {
      button.textContent = words;
      setTimeout(() => (button.textContent = "Copy"), 1500);
    };
    navigator.clipboard.writeText(code).then(
      () => {
        say("Copied");
      },
      () => {
        say("Not copied");
      },
    );
  });
}

const languages = [...document.querySelectorAll<HTMLButtonElement>(".languages button")];
const available = languages.map((button) => button.dataset["language"] ?? "");

function choose(language: string): void {
  root.dataset["language"] = language;
  for (const button of languages) button.setAttribute("aria-pressed", String(button.dataset["language"] === language));
}
for (const button of languages) {
  button.addEventListener("click", () => {
    const language = button.dataset["language"] ?? "";
    choose(language);
    keep("latchkey-docs-language", language);
  });
}
for (const group of document.querySelectorAll<HTMLElement>(".languages")) group.hidden = false;
if (languages.length > 0) {
  const kept = root.dataset["language"] ?? "";
  choose(available.includes(kept) ? kept : "curl");
}

const themes = ["system", "light", "dark"];
const theme = document.querySelector<HTMLButtonElement>("#theme");
if (theme) {
  const name = (): void => {
    const now = root.dataset["theme"] ?? "system";
    const label = `Colours: ${{ system: "as the system", light: "light", dark: "dark" }[now] ?? now}`;
    theme.setAttribute("aria-label", label);
    theme.title = label;
  };
  name();
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset["theme"] ?? "system") + 1) % themes.length] ?? "system";
    root.dataset["theme"] = next;
    keep("latchkey-docs-theme", next);
    name();
  });
}

const filter = document.querySelector<HTMLFormElement>(".filter");
const input = filter?.querySelector("input");
if (filter && input) {
  const status = filter.querySelector("p");
  filter.hidden = false;
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
  });
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const section of document.querySelectorAll<HTMLElement>(".catalogue:not(.gateway)")) {
      const items = [...section.querySelectorAll("li")];
      for (const item of items) item.hidden = !words.every((word) => item.dataset["words"]?.includes(word));
      const left = items.filter((item) => !item.hidden).length;
      section.hidden = left === 0;
      shown += left;
    }
    if (status) status.textContent = words.length > 0 ? `${shown} problems` : "";
  });
}

// On a narrow screen the pages are listed over the text, as long as the address names the list.
const navigation = document.querySelector<HTMLElement>("#nav");
const closeMenu = (): void => {
  if (location.hash !== "#nav") return;
  location.hash = "main";
  document.querySelector<HTMLElement>(".menu")?.focus();
};
document.querySelector(".menu")?.addEventListener("click", (event) => {
  if (location.hash !== "#nav") return;
  event.preventDefault();
  closeMenu();
});
navigation?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });

const dialog = document.querySelector<HTMLDialogElement>("#search");
const find = document.querySelector<HTMLButtonElement>("#find");
async function search(): Promise<void> {
  if (!dialog || dialog.open) return;
  dialog.showModal();
  const { open } = await import("./search.js");
  await open(dialog);
}
if (find) {
  find.hidden = false;
  find.addEventListener("click", () => void search());
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenu();
  const isTyping = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
  const isShortcut = event.key === "/" || (event.key === "k" && (event.ctrlKey || event.metaKey));
  if (!isShortcut || isTyping || (event.key === "/" && (event.ctrlKey || event.metaKey || event.altKey))) return;
  event.preventDefault();
  void search();
});

// In "On this page", marks the part that is being read.
const contents = new Map(
  [...document.querySelectorAll<HTMLAnchorElement>(".contents a")].map((link) => [
    decodeURIComponent(link.hash.slice(1)),
    link,
  ]),
);
if (contents.size > 0) {
  const parts = [...document.querySelectorAll<HTMLElement>("main :is(h2, h3)[id]")].filter(({ id }) => contents.has(id));
  const mark = (): void => {
    const current = parts.findLast((part) => part.getBoundingClientRect().top < 140) ?? parts[0];
    for (const [id, link] of contents) link.toggleAttribute("data-current", id === current?.id);
  };
  document.addEventListener("scroll", mark, { passive: true });
  mark();
}
