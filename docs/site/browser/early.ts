// Runs before the page is drawn, so that neither the colours nor the examples change under the reader's eyes.

{
  const { dataset } = document.documentElement;
  const kept = (name: string): string | null => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // The browser keeps nothing for this page.
    }
  };
  dataset["script"] = "";
  dataset["language"] = kept("latchkey-docs-language") ?? "curl";
  const theme = kept("latchkey-docs-theme");
  if (theme) dataset["theme"] = theme;
}
