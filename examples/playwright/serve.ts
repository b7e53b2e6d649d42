// The app: a page, the package of the web client, and where Latchkey is. A stand-in for your own server.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const latchkey = process.env["LATCHKEY_URL"] ?? "http://127.0.0.1:3000";
const port = Number(process.env["PORT"] ?? 5173);
const host = process.env["HOST"] ?? "127.0.0.1";

const client = (name: string): URL => new URL(name, import.meta.resolve("latchkey-web/element"));
const files: Record<string, { type: string; file: URL }> = {
  "/": { type: "text/html", file: new URL("index.html", import.meta.url) },
  "/latchkey-web/element.js": { type: "text/javascript", file: client("element.js") },
  "/latchkey-web/index.js": { type: "text/javascript", file: client("index.js") },
};

const server = createServer((request, response) => {
  const found = files[request.url ?? ""];
  if (request.url === "/config.json") {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ latchkey }));
  } else if (found) {
    readFile(fileURLToPath(found.file)).then(
      (content) => response.writeHead(200, { "content-type": found.type }).end(content),
      () => response.writeHead(500).end("The web client is not built: npm run build in clients/web\n"),
    );
  } else {
    response.writeHead(404).end();
  }
});
server.listen(port, host, () => {
  console.log(`Acme is at http://${host}:${port}`);
});
