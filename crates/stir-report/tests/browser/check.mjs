// Opens a written report in a real Chromium, as a reader would: from disk, light, dark and on a phone.
//
//   node check.mjs REPORT_DIR [SCREENSHOT_DIR]
//
// Needs `playwright-core` and `axe-core` (npm) where node finds them, and a Chromium: CHROMIUM names it, /usr/bin/chromium
// where it is not set.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.cwd(), "check.mjs"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [dir, shots] = process.argv.slice(2);
assert(dir, "usage: node check.mjs REPORT_DIR [SCREENSHOT_DIR]");
if (shots) mkdirSync(shots, { recursive: true });
const page_url = pathToFileURL(resolve(dir, "report.html")).href;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

const views = [
  { name: "light", colorScheme: "light", width: 1200, height: 900 },
  { name: "dark", colorScheme: "dark", width: 1200, height: 900 },
  { name: "phone", colorScheme: "light", width: 375, height: 740 },
  { name: "phone-dark", colorScheme: "dark", width: 375, height: 740 },
];
for (const { name, colorScheme, width, height } of views) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height } });
  const page = await context.newPage();
  const trouble = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) trouble.push(message.text()); });
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("dialog", (dialog) => { trouble.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (request.url() !== page_url) trouble.push(`request: ${request.url()}`); });
  await page.goto(page_url, { waitUntil: "load" });
  assert.deepEqual(trouble, [], `${name}: console, dialogs or requests`);
  await structure(page, name);
  if (shots) await screenshots(page, name, width);
  await page.evaluate(() => document.querySelectorAll("details").forEach((d, i) => { if (i < 60) d.open = true; }));
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert(overflow <= 0, `${name}: the page is ${overflow} px too wide`);
  await accessible(page, name);
  await keyboard(page, name);
  assert.deepEqual(trouble, [], `${name}: console, dialogs or requests`);
  await context.close();
  console.log(`ok ${name}`);
}
await withoutScript();
await figures();
await browser.close();

async function structure(page, name) {
  const found = await page.evaluate(() => {
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    const named = (e) => (e.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent.trim()).join("");
    return {
      doubled: ids.filter((id, i) => ids.indexOf(id) !== i),
      nameless: [...document.querySelectorAll("svg")].filter((e) => e.getAttribute("role") !== "img" || !named(e)).length,
      figures: document.querySelectorAll("svg").length,
      images: [...document.querySelectorAll("img:not([alt])")].length,
      captionless: [...document.querySelectorAll("table")].filter((t) => !t.caption?.textContent.trim()).length,
      unscoped: document.querySelectorAll("th:not([scope])").length,
      dangling: [...document.querySelectorAll("a[href^='#']")].filter((a) => !document.querySelector(a.getAttribute("href"))).length,
      h1: document.querySelectorAll("h1").length,
    };
  });
  assert(found.figures > 0, `${name}: no figures`);
  const { figures: _, ...rest } = found;
  assert.deepEqual(rest, { doubled: [], nameless: 0, images: 0, captionless: 0, unscoped: 0, dangling: 0, h1: 1 }, name);
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  const said = violations.map((v) => `${v.id} (${v.impact}): ${v.help}; ${v.nodes.length} places, the first ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`);
  assert.deepEqual(said, [], `${name}: axe`);
}

// Everything by keys alone: skip link, filters, a case, a decision.
async function keyboard(page, name) {
  await page.reload({ waitUntil: "load" });
  const at = () => page.evaluate(() => {
    const e = document.activeElement;
    const style = getComputedStyle(e);
    return { id: e.id, tag: e.tagName, text: e.textContent.trim().slice(0, 40), ring: style.outlineStyle !== "none" };
  });
  await page.keyboard.press("Tab");
  assert.equal((await at()).text, "Skip to the results", `${name}: the skip link comes first`);
  await page.keyboard.press("Enter");
  const reach = async (goal, key = "Tab") => {
    for (let i = 0; i < 400; i++) {
      await page.keyboard.press(key);
      const here = await at();
      if (goal(here)) return here;
    }
    assert.fail(`${name}: ${goal} was not reached by ${key}`);
  };
  const count = () => page.textContent("#filter-count");
  const before = await count();
  assert.match(before, /^\d+ of \d+ cases shown$/);
  const select = await reach((e) => e.id === "filter-task");
  assert(select.ring, `${name}: focus shows`);
  if ((await page.locator("#filter-task option").count()) > 2) {
    await page.keyboard.press("ArrowDown");
    assert.notEqual(await count(), before, `${name}: the task filters`);
    await page.keyboard.press("ArrowUp");
  }
  await reach((e) => e.id === "filter-outcome");
  const outcomes = new Set();
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press("ArrowDown");
    outcomes.add(await count());
  }
  assert(outcomes.size > 1, `${name}: the outcome filters`);
  for (let i = 0; i < 5; i++) await page.keyboard.press("ArrowUp");
  await reach((e) => e.id === "filter-text");
  await page.keyboard.type("zzz-not-there");
  assert.match(await count(), /^0 of /, `${name}: the text filters`);
  for (let i = 0; i < "zzz-not-there".length; i++) await page.keyboard.press("Backspace");
  assert.equal(await count(), before, `${name}: all come back`);
  const summary = await reach((e) => e.tag === "SUMMARY");
  assert(summary.ring, `${name}: focus shows`);
  const open = () => page.evaluate(() => document.activeElement.parentElement.open);
  const was = await open();
  await page.keyboard.press("Enter");
  assert.notEqual(await open(), was, `${name}: Enter opens and closes a case`);
  if (was) await page.keyboard.press("Enter");
  const decision = await reach((e) => e.tag === "SUMMARY" && /^Segment \d/.test(e.text));
  await page.keyboard.press("Space");
  assert(await open(), `${name}: Space opens the decision ${decision.text}`);
}

async function screenshots(page, name, width) {
  await page.evaluate(() => document.querySelector("details.decision")?.setAttribute("open", ""));
  await page.screenshot({ path: join(shots, `${name}-top.png`) });
  for (const id of ["results", "cost", "lengths", "sensitivity", "transfer", "map", "library", "cases", "settings"]) {
    const section = page.locator(`section#${id}`);
    if (await section.count()) {
      const box = await section.boundingBox();
      const clip = { x: 0, y: box.y, width, height: Math.min(box.height, 2200) };
      await page.screenshot({ path: join(shots, `${name}-${id}.png`), fullPage: true, clip });
    }
  }
}

// Without JavaScript everything is there but the filter.
async function withoutScript() {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1000, height: 800 } });
  const page = await context.newPage();
  await page.goto(page_url);
  assert.equal(await page.locator("#filter").isVisible(), false, "no filter without JavaScript");
  const first = page.locator("details.case").first().locator(".answer");
  assert(await first.count() > 0, "answers without JavaScript");
  for (const answer of await first.all()) assert(await answer.isVisible(), "answers without JavaScript");
  await context.close();
  console.log("ok without JavaScript");
}

// Every figure as a file of its own is well-formed and drawn, in its own colours.
async function figures() {
  const files = readdirSync(resolve(dir, "figures")).filter((file) => file.endsWith(".svg"));
  assert(files.length > 0, "no figures");
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 460, height: 480 } });
    const page = await context.newPage();
    for (const file of files) {
      await page.goto(pathToFileURL(resolve(dir, "figures", file)).href);
      const found = await page.evaluate(() => ({
        error: document.querySelector("parsererror")?.textContent ?? null,
        root: document.documentElement.nodeName,
        fill: getComputedStyle(document.querySelector(".paper")).fill,
      }));
      assert.deepEqual(found, { error: null, root: "svg", fill: colorScheme === "light" ? "rgb(255, 255, 255)" : "rgb(20, 24, 29)" }, file);
      if (shots) await page.screenshot({ path: join(shots, `figure-${colorScheme}-${file.replace(".svg", ".png")}`) });
    }
    await context.close();
  }
  console.log(`ok ${files.length} figures`);
}
