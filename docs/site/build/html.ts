// Markup as values: what goes into a template is escaped, unless it is markup itself.

export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Content = Html | string | number | undefined | false | readonly Content[];

export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function render(content: Content): string {
  if (content === undefined || content === false) return "";
  if (content instanceof Html) return content.text;
  if (typeof content === "object") return content.map(render).join("");
  return escape(String(content));
}

export function html(strings: TemplateStringsArray, ...contents: Content[]): Html {
  return new Html(strings.reduce((before, after, index) => before + render(contents[index - 1]) + after));
}
