// What a page must be for everybody to use it.
import assert from "node:assert/strict";

/** No rule of axe is broken. */
export async function accessible(page, axe, name) {
  // The page's policy keeps foreign scripts out; those of the debugger may pass.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  const said = violations.map((v) => `${v.id} (${v.impact}): ${v.help}; ${v.nodes.length} places, the first ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`);
  assert.deepEqual(said, [], `${name}: axe`);
}

/** Every text has a contrast of 4.5 to what is behind it; the edge of a control, and its ring in focus, one of 3. */
export async function contrast(page, name) {
  const low = await page.evaluate(() => {
    const channels = (color) => {
      const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
      return { r, g, b, a };
    };
    const luminance = ({ r, g, b }) => {
      const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ratio = (a, b) => {
      const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
      return (high + 0.05) / (low + 0.05);
    };
    const behind = (element) => {
      for (let e = element; e; e = e.parentElement) {
        const color = channels(getComputedStyle(e).backgroundColor);
        if (color.a === 1) return color;
        if (color.a !== 0) throw new Error(`${e.outerHTML.slice(0, 80)} is half transparent`);
      }
      return { r: 255, g: 255, b: 255 };
    };
    const accent = document.createElement("i");
    accent.style.setProperty("color", "var(--accent)");
    document.body.append(accent);
    const ring = channels(getComputedStyle(accent).color);
    accent.remove();
    const low = [];
    for (const e of document.body.querySelectorAll("*")) {
      if (!e.checkVisibility() || e.matches(":disabled, script")) continue;
      const own = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
      const texts = own || e.matches("input, select, textarea") ? [getComputedStyle(e).color] : [];
      if (e.matches("[placeholder]")) texts.push(getComputedStyle(e, "::placeholder").color);
      const back = behind(e);
      for (const color of texts) {
        const found = ratio(channels(color), back);
        if (found < 4.5) low.push(`${found.toFixed(2)}: ${e.outerHTML.slice(0, 100)}`);
      }
      if (!e.matches("button, input, select, textarea")) continue;
      const [around, edge] = [behind(e.parentElement), channels(getComputedStyle(e).borderTopColor)];
      for (const [part, color] of [["ring", ring], ["edge", edge]]) {
        if (ratio(color, around) < 3) low.push(`${part} ${ratio(color, around).toFixed(2)}: ${e.outerHTML.slice(0, 100)}`);
      }
    }
    return low;
  });
  assert.deepEqual(low, [], `${name}: contrast`);
}

/** Every control has a name for those who do not see it, and the status and the alert are such. */
export async function named(page, name) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  await session.detach();
  const seen = nodes.filter((node) => !node.ignored).map((node) => ({ role: node.role.value, name: node.name?.value ?? "" }));
  const controls = ["button", "textbox", "combobox", "slider", "spinbutton", "checkbox", "group", "log", "table"];
  const nameless = seen.filter((node) => controls.includes(node.role) && !node.name.trim());
  assert.deepEqual(nameless, [], `${name}: controls without a name`);
  const roles = new Set(seen.map((node) => node.role));
  for (const role of [...controls.slice(0, 6), "status", "alert", "log", "main", "heading"]) assert(roles.has(role), `${name}: no ${role}`);
}
