// Starts the demo and the browser for `run.mjs`, and stops both, whatever happens.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { By, logging } from "selenium-webdriver";
import chrome from "selenium-webdriver/chrome.js";

const PATIENCE_MS = 20_000;
// All checks together; a hang must not become a hung build.
const LIMIT_MS = 600_000;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core"), "utf8");
const counts = { passed: 0, failed: 0 };
// What must be stopped before this process ends, latest first.
const running = [];

function needed(variable) {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} must be set; \`cargo xtask test --only browser\` does`);
  return value;
}

async function until(what, probe) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
    const answer = await probe();
    if (answer) return answer;
    await delay(30);
  }
  throw new Error(`${what} did not come within ${PATIENCE_MS} ms`);
}

// Runs one check, prints its line, and says whether it passed.
export async function check(name, act) {
  const begin = Date.now();
  try {
    await act();
  } catch (error) {
    counts.failed += 1;
    console.log(`FAIL ${name}\n${error.stack}`);
    return false;
  }
  counts.passed += 1;
  console.log(`ok   ${name} (${Date.now() - begin} ms)`);
  return true;
}

// Prints the summary line; gives how many failed.
export function summary() {
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed;
}

export const count = (text, pattern) => [...text.matchAll(pattern)].length;

// Pintle in demo mode, on a free port and a fresh folder, without a terminal.
export async function startPintle() {
  const binary = needed("PINTLE_BIN");
  const home = await mkdtemp(join(tmpdir(), "pintle-browser-"));
  const data = join(home, "data");
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const log = await open(join(home, "server.log"), "w");
  const flags = ["--listen", `127.0.0.1:${port}`, "--data", data, "--demo"];
  const child = spawn(binary, flags, { cwd: home, stdio: ["ignore", log.fd, log.fd] });
  await log.close();
  const ended = once(child, "exit");
  process.on("exit", () => child.kill("SIGKILL"));
  const said = () => readFile(join(home, "server.log"), "utf8");
  const stop = async () => {
    child.kill("SIGTERM");
    const stubborn = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    await ended;
    clearTimeout(stubborn);
    if (counts.failed > 0) console.log(`the server said:\n${(await said()).slice(-8000)}`);
    await rm(home, { recursive: true });
  };
  try {
    await until("the server's readiness", async () => {
      if (child.exitCode !== null) throw new Error(`the server ended; it said:\n${await said()}`);
      return fetch(`${url}/readyz`).then((answer) => answer.ok, () => false);
    });
  } catch (error) {
    counts.failed += 1;
    await stop();
    throw error;
  }
  const setupLink = async () => {
    const file = join(data, "setup-link");
    const { mode } = await until("the set-up link", () => stat(file).catch(() => null));
    if ((mode & 0o077) !== 0) throw new Error("the set-up link can be read by others");
    return (await readFile(file, "utf8")).trim();
  };
  running.unshift({ stop });
  return { url, setupLink };
}

async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// Chromium with a fresh profile that talks to nobody but the page.
export async function openBrowser() {
  const profile = await mkdtemp(join(tmpdir(), "pintle-chromium-"));
  const shots = needed("PINTLE_SHOTS");
  await mkdir(shots, { recursive: true });
  const options = new chrome.Options();
  options.setChromeBinaryPath(needed("PINTLE_CHROMIUM"));
  options.addArguments(
    "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", `--user-data-dir=${profile}`,
  );
  // Chromium's sandbox does not start as root.
  if (process.getuid() === 0) options.addArguments("--no-sandbox");
  const preferences = new logging.Preferences();
  preferences.setLevel(logging.Type.BROWSER, logging.Level.ALL);
  options.setLoggingPrefs(preferences);
  const service = new chrome.ServiceBuilder(needed("PINTLE_CHROMEDRIVER")).build();
  const driver = chrome.Driver.createSession(options, service);
  try {
    await driver.getSession();
  } catch (error) {
    await service.kill();
    throw error;
  }
  const browser = new Browser(driver, profile, shots);
  running.unshift(browser);
  return browser;
}

class Browser {
  constructor(driver, profile, shots) {
    Object.assign(this, { driver, profile, shots, until });
  }

  open = (url) => this.driver.get(url);
  path = async () => new URL(await this.driver.getCurrentUrl()).pathname;
  find = (selector) => this.driver.findElement(By.css(selector));
  findIn = (element, selector) => element.findElement(By.css(selector));
  has = async (selector) => (await this.driver.findElements(By.css(selector))).length > 0;
  // In one step: an element that is found first may be replaced before it is read.
  text = () => this.driver.executeScript(`return document.querySelector("main")?.innerText ?? ""`);
  cookies = () => this.driver.manage().getCookies();

  async cookieHeader() {
    return { cookie: (await this.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ") };
  }

  // Colour scheme and width, as the page's media queries see them.
  async look(scheme, width) {
    await this.driver.sendDevToolsCommand("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }],
    });
    const metrics = { width, height: 900, deviceScaleFactor: 1, mobile: false };
    await this.driver.sendDevToolsCommand("Emulation.setDeviceMetricsOverride", metrics);
  }

  async withoutScripts(act) {
    await this.driver.sendDevToolsCommand("Emulation.setScriptExecutionDisabled", { value: true });
    try {
      await act();
    } finally {
      await this.driver.sendDevToolsCommand("Emulation.setScriptExecutionDisabled", { value: false });
    }
  }

  async screenshot(name) {
    const shot = await this.driver.sendAndGetDevToolsCommand("Page.captureScreenshot", { captureBeyondViewport: true });
    await writeFile(join(this.shots, `${name}.png`), Buffer.from(shot.data, "base64"));
  }

  // What the browser's console said since it was last asked.
  complaints = () => this.driver.manage().logs().get(logging.Type.BROWSER);

  assertQuiet(entries) {
    const bad = entries.filter(
      ({ level, message }) => level.value >= logging.Level.WARNING.value || /content.security.policy/i.test(message),
    );
    if (bad.length > 0) throw new Error(`the browser complains:\n${bad.map((entry) => entry.message).join("\n")}`);
  }

  async stop() {
    try {
      await this.driver.quit();
    } finally {
      await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
    }
  }
}

// Paths (with query) on this server that the open page refers to.
export async function links(browser, origin) {
  const all = await browser.driver.executeScript(`
    const elements = document.querySelectorAll("a[href], link[href], script[src], img[src], source[src]");
    return Array.from(elements, (element) => element.href || element.src);
  `);
  const own = all.map((link) => new URL(link)).filter((link) => link.origin === origin);
  return [...new Set(own.map((link) => link.pathname + link.search))];
}

// What axe and a ruler find on the open page.
export async function pageReport(browser) {
  await browser.driver.executeScript(axe);
  const [error, violations] = await browser.driver.executeAsyncScript(`
    const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ["violations"] }).then(
      ({ violations }) => done([null, violations]),
      (error) => done([String(error), []]),
    );
  `);
  if (error) throw new Error(`axe could not run: ${error}`);
  const rest = await browser.driver.executeScript(`
    return {
      title: document.title,
      overflow_px: document.documentElement.scrollWidth - window.innerWidth,
      background: getComputedStyle(document.body).backgroundColor + getComputedStyle(document.documentElement).backgroundColor,
    };
  `);
  const shown = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target).join(", ")}`);
  return { ...rest, violations: shown };
}

// Stops what runs, once. Errors are shown but stop nothing else from being stopped.
let stopping = null;
export function stopAll() {
  stopping ??= (async () => {
    clearTimeout(limit);
    for (const one of running) {
      await one.stop().catch((error) => console.log(`could not stop: ${error.message}`));
    }
  })();
  return stopping;
}

async function giveUp() {
  // Stopping may hang for the reason that made it necessary.
  await Promise.race([stopAll(), delay(PATIENCE_MS)]);
  process.exit(1);
}

const limit = setTimeout(() => {
  console.log(`the checks did not end within ${LIMIT_MS} ms`);
  giveUp();
}, LIMIT_MS);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, giveUp);
// Nobody reads on.
process.stdout.on("error", giveUp);
