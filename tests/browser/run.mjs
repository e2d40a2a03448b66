// The console in a real Chromium, on the demo organisation. Run by `cargo xtask test --only browser`.
//
// Each page, light and dark, wide and narrow: no accessibility violation that axe finds, nothing that
// overflows, no error or policy violation in the browser's console, and a screenshot to look at. Beyond
// that: the one-time link signs in once, pages are closed without a session, every link resolves, the
// policy header stands, and the little chat streams an answer.

import assert from "node:assert/strict";

import { check, count, links, openBrowser, pageReport, startPintle, stopAll, summary } from "./support.mjs";

const SCHEMES = ["light", "dark"];
const WIDTHS_PX = [1280, 390];
// A valid IBAN of a bank's own documentation, not a customer's.
const IBAN = "DE89370400440532013000";

let pintle;
let browser;
// Pages to visit, by the name of their screenshots. Those of one thing are found on the list of all.
const pages = new Map([
  ["overview", "/console"],
  ["use-cases", "/console/use-cases"],
  ["requests", "/console/requests"],
  ["try", "/console/try"],
  ["bans", "/console/bans"],
  ["rules", "/console/rules"],
  ["models", "/console/models"],
  // The demonstration's own model.
  ["model", "/console/models/nordwind-handbook"],
  ["version", "/console/models/nordwind-handbook/1"],
]);

// Sends a message in the little chat and waits for its receipt, which links to the request's page. Gives
// the text of the page before and after, and how many different texts were there in between.
async function ask(text) {
  const receipts = async () => (await links(browser, pintle.url)).filter((path) => /^\/console\/requests\/./.test(path));
  const before = await browser.text();
  const receiptsBefore = (await receipts()).length;
  const form = await browser.find("form:has(textarea)");
  const box = await browser.findIn(form, "textarea");
  await box.clear();
  await box.sendKeys(text);
  await (await browser.findIn(form, "button:not([type=button])")).click();
  const between = new Set();
  await browser.until("the receipt of an answer", async () => {
    between.add(await browser.text());
    return (await receipts()).length > receiptsBefore;
  });
  const after = await browser.text();
  assert.ok(after.includes(text), "the message stands in the conversation");
  assert.ok(count(after, /Answer of/gi) > count(before, /Answer of/gi), "the answer stands in the conversation");
  return { before, after, steps: between.size };
}

// Opens a page and judges it as it looks.
async function judge(name, path, scheme, width) {
  await browser.look(scheme, width);
  await browser.open(pintle.url + path);
  // First the picture: it helps most when the rest fails.
  await browser.screenshot(`${name}-${scheme}-${width}`);
  const report = await pageReport(browser);
  assert.ok(report.title.trim(), "the page has a title");
  assert.ok(report.overflow_px <= 0, `the page is ${report.overflow_px} px too wide`);
  assert.deepEqual(report.violations, [], "accessibility");
  browser.assertQuiet(await browser.complaints());
  return report;
}

// Asks a placement for what it may not take, and waits for the card that says why not.
async function askInVain(text, placement) {
  const form = await browser.find("form:has(textarea)");
  await (await browser.findIn(form, `option[value=${placement}]`)).click();
  await (await browser.findIn(form, "textarea")).sendKeys(text);
  await (await browser.findIn(form, "button:not([type=button])")).click();
  await browser.until("the refusal", () => browser.has("[role=alert] a[href^='/console/requests/']"));
  return browser.text();
}

async function main() {
  pintle = await startPintle();
  browser = await openBrowser();

  await check("pages are closed without a session", async () => {
    for (const path of pages.values()) {
      const answer = await fetch(pintle.url + path, { redirect: "manual" });
      assert.notEqual(answer.status, 200, path);
      assert.ok(answer.status < 500, `${path} answers ${answer.status}`);
    }
  });

  await check("what is not there is not there for anybody", async () => {
    for (const path of ["/nowhere", "/console/nothing", "/admin/nothing", "/admin/api/nothing"]) {
      const answer = await fetch(pintle.url + path, { redirect: "manual" });
      assert.equal(answer.status, 404, path);
      assert.doesNotMatch(await answer.text(), /Nordwind/, `${path} says whose this is`);
    }
  });

  const outside = async (name, path) => {
    for (const scheme of SCHEMES) {
      for (const width of WIDTHS_PX) {
        await check(`${name}, ${scheme}, ${width} px`, () => judge(name, path, scheme, width));
      }
    }
  };
  await outside("sign-in", "/console/sign-in");

  const signedIn = await check("the one-time link signs in, once", async () => {
    const link = await pintle.setupLink();
    await browser.open(link);
    if (!(await browser.path()).startsWith("/console") || (await browser.has("input[name=token]"))) {
      // The link may ask for one press of a button, so that a preview of it does not use it up.
      await (await browser.find("form button:not([type=button])")).click();
    }
    await browser.until("the console", async () => (await browser.path()).startsWith("/console"));
    assert.equal((await fetch(`${pintle.url}/console`, { headers: await browser.cookieHeader() })).status, 200);
    const again = await fetch(link, { redirect: "manual" });
    assert.equal(again.headers.get("set-cookie"), null, "a used link gives no session");
    for (const cookie of await browser.cookies()) {
      assert.ok(cookie.httpOnly, `${cookie.name} is closed to scripts`);
      assert.ok(["Strict", "Lax"].includes(cookie.sameSite), `${cookie.name} stays on this site`);
    }
  });
  // Without a session every further check would only repeat the failure.
  if (!signedIn) return;

  await check("the chat streams an answer and shows what was found", async () => {
    await browser.open(`${pintle.url}/console/try`);
    const { steps } = await ask("Good morning. Who are you, in one sentence?");
    assert.ok(steps >= 3, `the answer came in ${steps} steps, so it was not streamed`);
    const { before, after } = await ask(`Please check whether ${IBAN} is written correctly.`);
    assert.ok(count(after, /IBAN/g) > count(before, /IBAN/g), "the page names what was found");
    await browser.screenshot("try-answered");
    browser.assertQuiet(await browser.complaints());
  });

  await check("the chat says why something was stopped, and what to do", async () => {
    await browser.open(`${pintle.url}/console/try`);
    const said = await askInVain(`Refund ${IBAN}, please.`, "cloud-mini");
    for (const part of ["Stopped by a rule", "IBAN", "clearance", "You can:", "onprem-assistant"]) {
      assert.ok(said.includes(part), `the refusal says "${part}"`);
    }
    await browser.screenshot("try-refused");
    // The refusal is an answer with an error's status, which the browser notes.
    await browser.complaints();
  });

  await check("lists lead to their items", async () => {
    for (const name of ["use-cases", "requests"]) {
      await browser.open(pintle.url + pages.get(name));
      const paths = (await links(browser, pintle.url)).filter((path) => path.startsWith(`/console/${name}/`));
      assert.ok(paths.length > 0, `/console/${name} lists nothing`);
      pages.set(`${name}-one`, paths[0]);
      // Of requests the newest was stopped and the oldest answered: two different pages.
      if (name === "requests") pages.set("requests-answered", paths.at(-1));
    }
  });

  const backgrounds = new Map();
  for (const [name, path] of pages) {
    for (const scheme of SCHEMES) {
      for (const width of WIDTHS_PX) {
        await check(`${path}, ${scheme}, ${width} px`, async () => {
          backgrounds.set(scheme, (await judge(name, path, scheme, width)).background);
        });
      }
    }
  }

  await check("dark differs from light", async () => {
    assert.notEqual(backgrounds.get("dark"), backgrounds.get("light"));
  });

  await check("every link resolves", async () => {
    const seen = new Set();
    const broken = [];
    for (const path of pages.values()) {
      await browser.open(pintle.url + path);
      for (const link of await links(browser, pintle.url)) {
        if (seen.has(link)) continue;
        seen.add(link);
        const answer = await fetch(pintle.url + link, { headers: await browser.cookieHeader() });
        if (answer.status >= 400) broken.push(`${link} on ${path}: ${answer.status}`);
        await answer.arrayBuffer();
      }
    }
    assert.deepEqual(broken, []);
    assert.ok(seen.size >= pages.size, "links were found");
  });

  await check("the policy header stands on every page", async () => {
    for (const path of pages.values()) {
      const answer = await fetch(pintle.url + path, { headers: await browser.cookieHeader() });
      const policy = answer.headers.get("content-security-policy") ?? "";
      assert.match(policy, /default-src '(none|self)'/, path);
      assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|https?:|\*/, path);
    }
  });

  await check("the console works without JavaScript", async () => {
    await browser.withoutScripts(async () => {
      for (const path of pages.values()) {
        await browser.open(pintle.url + path);
        assert.ok((await browser.text()).trim(), `${path} is empty`);
      }
    });
  });
}

try {
  await main();
} catch (error) {
  console.log(`FAIL the tests could not go on\n${error.stack}`);
  process.exitCode = 1;
} finally {
  await stopAll();
  if (summary() > 0) process.exitCode = 1;
}
