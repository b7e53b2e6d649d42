import { defineConfig } from "@playwright/test";

const port = Number(process.env["PORT"] ?? 5173);
// The browser of the system, if there is one. Otherwise `npx playwright install chromium` downloads one.
const executablePath = process.env["CHROMIUM"];

export default defineConfig({
  testDir: "tests",
  fullyParallel: true,
  reporter: "list",
  use: {
    baseURL: `http://127.0.0.1:${port}`,
    launchOptions: executablePath ? { executablePath, args: ["--no-sandbox"] } : {},
  },
  webServer: { command: "npm start", url: `http://127.0.0.1:${port}`, env: { PORT: String(port) } },
});
