// The language of the page, and how it writes numbers and times.

import { en } from "./texts/en.ts";
import { ne } from "./texts/ne.ts";
import type { Texts } from "./texts/texts.ts";

export const languages = { en: "EN", ne: "ने" } as const;
export type Language = keyof typeof languages;

const all: Record<Language, Texts> = { en, ne };
const KEPT_AS = "latchkey console language";

export function language(): Language {
  const chosen = localStorage.getItem(KEPT_AS) ?? navigator.language.split("-")[0] ?? "";
  return chosen in all ? (chosen as Language) : "en";
}

export function choose(chosen: Language): void {
  localStorage.setItem(KEPT_AS, chosen);
}

export function words(): Texts {
  return all[language()];
}

export function digits(value: number, most = 1): string {
  return value.toLocaleString(words().numberLocale, { maximumFractionDigits: most });
}

/** A moment of the system's clock. */
export function moment(milliseconds: number): string {
  const form: Intl.DateTimeFormatOptions =
    language() === "ne"
      ? { dateStyle: "short", timeStyle: "medium" }
      : { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return new Intl.DateTimeFormat(words().dateLocale, form).format(milliseconds);
}

export function timeOfDay(milliseconds: number): string {
  const form = { hour: "2-digit", minute: "2-digit" } as const;
  return new Intl.DateTimeFormat(words().dateLocale, form).format(milliseconds);
}

/** A span of time by its largest units: 14:05, 3 h 20 m, 29 d 23 h. */
export function span(milliseconds: number): string {
  const units = language() === "ne" ? ["दिन", "घण्टा", "मिनेट", "सेकेन्ड"] : ["d", "h", "min", "s"];
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const parts = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const first = parts.findIndex((part) => part > 0);
  const from = first < 0 ? 3 : first;
  return parts
    .slice(from, from + 2)
    .filter((part, at) => part > 0 || at === 0)
    .map((part, at) => `${digits(part)} ${units[from + at] ?? ""}`)
    .join(" ");
}
