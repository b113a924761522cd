// Uses the page of a running server in a real Chromium, by the keyboard alone: light, dark and on a phone.
//
//   node check.mjs URL [SCREENSHOT_DIR]
//
// QUESTION and TEMPERATURE are what is asked, STIR_API_KEY is the key if there is one; LOCKED is the address of a second
// server, whose key is `secret`. Needs `playwright-core` and `axe-core` (npm) where node finds them, and a Chromium:
// CHROMIUM names it, /usr/bin/chromium where it is not set.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { accessible, contrast, named } from "./access.mjs";

const require = createRequire(join(process.cwd(), "check.mjs"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [url, shots] = process.argv.slice(2);
assert(url, "usage: node check.mjs URL [SCREENSHOT_DIR]");
const { QUESTION = "A farmer has 17 sheep and buys 5 times as many. How many are there now?" } = process.env;
const { TEMPERATURE = "0", STIR_API_KEY: key, LOCKED: locked } = process.env;
/** The most milliseconds that an answer may take. */
const PATIENCE = Number(process.env.PATIENCE ?? 120_000);
const CTRL_ENTER = "Control+Enter";
if (shots) mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

for (const [name, colorScheme, width, height] of [
  ["light", "light", 1280, 900], ["dark", "dark", 1280, 900], ["phone", "light", 375, 740], ["phone-dark", "dark", 375, 740],
]) {
  const { page, trouble } = await open(url, { colorScheme, viewport: { width, height } });
  const model = await until(page, () => document.getElementById("tokens").max && document.getElementById("model").textContent);
  const look = async (state) => {
    await accessible(page, axe, `${name}, ${state}`);
    await contrast(page, `${name}, ${state}`);
    await named(page, `${name}, ${state}`);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(overflow <= 0, `${name}, ${state}: the page is ${overflow} px too wide`);
    if (shots) await page.screenshot({ path: join(shots, `${name}-${state}.png`), fullPage: true });
  };
  assert.equal(await page.isVisible("#key"), Boolean(key), `${name}: the field of the key shows where there is one`);
  await look("begin");
  await decides(page, name, await asks(page, name, model));
  await look("answered");
  await stops(page, name);
  assert.deepEqual(trouble, [], `${name}: console, dialogs or requests`);
  await refuses(page, name);
  await look("refused");
  await themes(page, name);
  await confined(page, name);
  await page.context().close();
  console.log(`ok ${name}`);
}
if (locked) await unlocks();
await browser.close();

/** Opens the page of a server, and notes what it should not do. */
async function open(address, options) {
  const page = await (await browser.newContext(options)).newPage();
  const trouble = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) trouble.push(message.text()); });
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("dialog", (dialog) => { trouble.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== "data:" && origin !== new URL(address).origin) trouble.push(`request: ${request.url()}`);
  });
  await page.goto(address, { waitUntil: "load" });
  if (key && address === url) {
    await until(page, () => !document.getElementById("key-field").hidden);
    await page.fill("#key", key);
    await page.keyboard.press("Tab");
    // The browser tells of what was refused.
    trouble.length = 0;
  }
  return { page, trouble };
}

/** Waits for a value of the page that is true. It is asked from here: the page's policy lets nothing wait inside it. */
async function until(page, what, argument) {
  for (const start = Date.now(); ;) {
    const value = await page.evaluate(what, argument);
    if (value) return value;
    assert(Date.now() - start < PATIENCE, `this did not come to be: ${what}`);
  }
}

/** Presses a key until `goal` holds of the element that has the focus, which must be seen to have it. */
async function reach(page, goal, press = "Tab") {
  for (let i = 0; i < 300; i++) {
    await page.keyboard.press(press);
    const here = await page.evaluate(() => {
      const element = document.activeElement, style = getComputedStyle(element);
      const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
      return { id: element.id, tag: element.tagName, classes: element.className, value: element.value, ring };
    });
    if (here.tag !== "BODY") assert(here.ring, `the focus of ${JSON.stringify(here)} does not show`);
    if (goal(here)) return;
  }
  assert.fail(`${goal} was not reached by ${press}`);
}

function to(page, id, press) {
  return reach(page, (here) => here.id === id, press);
}

function text(page, id) {
  return page.textContent(`#${id}`);
}

/** Asks by keys, and watches both answers grow; returns what was decided in the steered one, as the server sent it. */
async function asks(page, name, model) {
  await to(page, "question");
  await page.keyboard.type(QUESTION);
  await to(page, "unit");
  await page.keyboard.press("ArrowDown");
  await to(page, "strength");
  await page.keyboard.press("ArrowRight");
  assert.equal(await text(page, "shown"), "0.32", `${name}: the unit has a range of its own`);
  await to(page, "temperature");
  await page.keyboard.press("Control+a");
  await page.keyboard.type(TEMPERATURE);
  const sent = [];
  const note = (request) => sent.push({ path: new URL(request.url()).pathname, body: request.postDataJSON() });
  page.on("request", note);
  const streamed = page.waitForResponse((response) => Boolean(response.request().postDataJSON()?.stir), { timeout: PATIENCE });
  await page.keyboard.press(CTRL_ENTER);
  const grown = (least) => until(page, (least) => {
    const [plain, steered] = ["plain", "steered"].map((id) => document.getElementById(id).textContent.length);
    return plain > least[0] && steered > least[1] && [plain, steered, document.getElementById("status").textContent];
  }, least);
  const [plain, steered, status] = await grown([0, 0]);
  assert.equal(status, "Both answers are being generated.", `${name}: ${model} streams`);
  await grown([plain, steered]);
  await until(page, () => /^Plain: \d+ tokens\. Steered: \d+ tokens\.$/.test(document.getElementById("status").textContent));
  page.off("request", note);
  for (const id of ["plain", "steered"]) assert.match(await text(page, `${id}-numbers`), /^\d+ tokens( \+ \d+ for probes)?, [\d.]+ s/);
  const max_tokens = Number(await page.inputValue("#tokens"));
  const body = {
    stream: true, stream_options: { include_usage: true }, seed: 0, temperature: Number(TEMPERATURE), max_tokens,
    messages: [{ role: "user", content: QUESTION }],
  };
  const library = await page.inputValue("#library");
  assert.deepEqual(sent, [
    { path: "/v1/chat/completions", body },
    { path: "/v1/chat/completions", body: { ...body, stir: { library, strength: "relative:0.32" } } },
  ], name);
  const chunks = (await (await streamed).text()).split("\n\n").filter((event) => event.startsWith("data: {"));
  return chunks.flatMap((event) => JSON.parse(event.slice(6)).choices[0]?.stir?.step ?? []);
}

/** Opens a decision by keys, and compares what it says with what the server sent. */
async function decides(page, name, steps) {
  const marks = await page.evaluate(() => {
    const back = (selector) => [...document.querySelectorAll(selector)].map((e) => getComputedStyle(e).backgroundColor);
    return { plain: back("#plain .steered").length, steered: back("#steered .steered"), box: back("#steered").concat(back("#steered span:not(.steered)")) };
  });
  assert(marks.plain === 0 && marks.steered.length > 0, `${name}: segments of the steered answer are marked, and no others`);
  assert(!marks.box.includes(marks.steered[0]), `${name}: the mark is seen`);
  await reach(page, (here) => /commits/.test(here.classes));
  const open = () => page.evaluate(() => document.activeElement.getAttribute("aria-expanded"));
  for (const [press, expected] of [["Enter", "true"], ["Space", "false"], ["Space", "true"]]) {
    await page.keyboard.press(press);
    assert.equal(await open(), expected, `${name}: ${press} opens and closes`);
  }
  const shown = await page.evaluate(() => {
    const box = document.activeElement.nextElementSibling;
    const cells = (row) => [...row.cells].map((cell) => cell.textContent);
    return {
      words: [...box.querySelectorAll("p")].map((words) => words.textContent),
      head: cells(box.querySelector("thead tr")), rows: [...box.querySelectorAll("tbody tr")].map(cells),
      chosen: [...box.querySelectorAll("tr.chosen")].map((row) => cells(row)[0]),
      points: [...document.querySelectorAll("#steered .point")].map((point) => Number(point.textContent)),
      point: Number(document.activeElement.textContent),
    };
  });
  const step = steps.find((step) => step.segment === shown.point + 1);
  const number = (value, digits = 3) => (value === null ? "–" : value.toFixed(digits).replace("-0.000", "0.000"));
  assert.deepEqual(shown.head, ["Entry", "Similarity", "Probe gain", "Advantage", "Score"]);
  assert(shown.rows.length > 0, `${name}: candidates are shown`);
  assert.deepEqual(shown.rows, step.candidates.map((it) => [`${it.entry}`, ...[it.similarity, it.gain, it.advantage, it.score].map((value) => number(value))]));
  assert.deepEqual(shown.chosen, [`${step.chosen}`], `${name}: the chosen entry is marked`);
  assert.deepEqual(shown.words, [
    `Entry ${step.chosen} was added to the output of layer ${step.layer}, ${number(step.scale)} times. Its score is ` +
      `${number(step.score)}, that of doing nothing ${number(step.null_score)}.`,
    `Nearest entries, with similarity: ${step.retrieved.slice(0, 8).map((it) => `${it.entry} (${number(it.similarity, 2)})`).join(", ")}`,
  ]);
  assert.deepEqual(shown.points, steps.map((step) => step.segment - 1), `${name}: every control point is there`);
}

/** Asks for plain continuations, and stops them. */
async function stops(page, name) {
  await to(page, "unit", "Shift+Tab");
  await page.keyboard.press("ArrowUp");
  await to(page, "strength");
  await page.keyboard.press("ArrowLeft");
  await to(page, "raw");
  await page.keyboard.press("Space");
  const sent = [];
  const note = (request) => sent.push([new URL(request.url()).pathname, request.postDataJSON()]);
  page.on("request", note);
  const before = await metric("stir_cancelled_answers_total");
  await page.keyboard.press(CTRL_ENTER);
  await until(page, () => document.getElementById("plain").textContent && document.getElementById("steered").textContent);
  assert.equal(await metric("stir_running_answers"), 2);
  await page.keyboard.press("Escape");
  await until(page, () => document.getElementById("status").textContent === "Stopped.");
  const start = Date.now();
  while (await metric("stir_running_answers") !== 0) assert(Date.now() - start < 10_000, `${name}: the answers go on`);
  assert.equal(await metric("stir_cancelled_answers_total"), before + 2, `${name}: both answers end where they were`);
  page.off("request", note);
  assert.deepEqual(sent.map(([path, { prompt, stir }]) => [path, prompt, stir]), [
    ["/v1/completions", QUESTION, undefined],
    ["/v1/completions", QUESTION, { library: await page.inputValue("#library"), strength: "score", k_scale: 0.95 }],
  ], name);
  assert.deepEqual([await text(page, "plain-numbers"), await text(page, "steered-numbers")], ["stopped", "stopped"]);
  assert(await page.isEnabled("#ask") && !await page.isEnabled("#stop"), `${name}: it can be asked again`);
}

async function metric(name) {
  const response = await fetch(new URL("/metrics", url), { headers: key ? { authorization: `Bearer ${key}` } : {} });
  const line = (await response.text()).split("\n").find((line) => line.startsWith(`${name} `));
  return Number(line.split(" ")[1]);
}

/** Asks what is longer than the model's context. */
async function refuses(page, name) {
  const { data: [{ max_model_len }] } = await page.evaluate(async () => (await fetch("/v1/models")).json());
  await page.fill("#question", "a ".repeat(max_model_len + 1));
  await page.focus("#question");
  await page.keyboard.press(CTRL_ENTER);
  await until(page, () => document.getElementById("status").textContent === "An answer failed.");
  assert.match(await page.textContent("[role=alert]"), /prompt/, `${name}: the refusal is told`);
  await page.fill("#question", QUESTION);
}

/** Changes between light and dark, by keys. */
async function themes(page, name) {
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await paper();
  await to(page, "theme", "Shift+Tab");
  await page.keyboard.press("Enter");
  assert.notEqual(await paper(), before, `${name}: the theme changes`);
  await contrast(page, `${name}, the other theme`);
  await page.keyboard.press("Enter");
  assert.equal(await paper(), before, `${name}: and changes back`);
}

/** The policy holds: what is put into the page does not run, and nobody else is asked. */
async function confined(page, name) {
  const kept = await page.evaluate(async () => {
    const kept = [];
    document.addEventListener("securitypolicyviolation", (event) => kept.push(event.effectiveDirective));
    const script = document.createElement("script");
    script.textContent = "globalThis.foreign = true";
    document.head.append(script);
    await fetch("http://127.0.0.2:9/").catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 100));
    return [globalThis.foreign === true, ...kept];
  });
  assert.deepEqual(kept, [false, "script-src-elem", "connect-src"], name);
}

/** A server with a key asks for it, refuses a wrong one, and answers with the right one. */
async function unlocks() {
  const { page } = await open(locked, { viewport: { width: 1280, height: 900 } });
  const says = (message) => until(page, (message) => document.getElementById("error").textContent.includes(message), message);
  await says("key");
  assert(await page.isVisible("#key"), "the field of the key is there");
  await to(page, "question");
  await page.keyboard.type(QUESTION);
  for (const given of ["wrong", "secret"]) {
    await to(page, "key");
    await page.keyboard.type(given);
    await page.keyboard.press("Tab");
    if (given === "wrong") {
      await says("key");
      if (shots) await page.screenshot({ path: join(shots, "locked.png"), fullPage: true });
      await page.fill("#key", "");
      await page.focus("#question");
    }
  }
  await until(page, () => !document.getElementById("error").textContent && document.getElementById("library").value);
  await page.keyboard.press(CTRL_ENTER);
  await until(page, () => /^Plain: \d+ tokens\. Steered: \d+ tokens\.$/.test(document.getElementById("status").textContent));
  // The key may also come with the question.
  await page.reload();
  await page.fill("#question", QUESTION);
  await until(page, () => !document.getElementById("key-field").hidden);
  await page.fill("#key", "secret");
  await page.focus("#key");
  await page.keyboard.press(CTRL_ENTER);
  await until(page, () => /^Plain: \d+ tokens\. Steered: \d+ tokens\.$/.test(document.getElementById("status").textContent));
  await page.context().close();
  console.log("ok with a key");
}
