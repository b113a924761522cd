(() => {
  "use strict";
  const form = document.getElementById("filter");
  const field = (name) => document.getElementById("filter-" + name);
  const cases = [...document.querySelectorAll("details.case")];
  // What is searched: built once, when it is first needed.
  const text = new Map();
  const contains = (item, query) => {
    if (!text.has(item)) text.set(item, item.textContent.toLowerCase());
    return text.get(item).includes(query);
  };
  const right = (item, method) => item.querySelector(`.answer[data-method="${method}"][data-right="1"]`) !== null;
  const outcomes = {
    "": () => true,
    differ: (l, r) => l !== r,
    left: (l, r) => l && !r,
    right: (l, r) => !l && r,
    both: (l, r) => l && r,
    neither: (l, r) => !l && !r,
  };
  const apply = () => {
    const [task, left, other, outcome] = ["task", "left", "right", "outcome"].map((name) => field(name).value);
    const query = field("text").value.trim().toLowerCase();
    let shown = 0;
    for (const item of cases) {
      for (const part of item.querySelectorAll("[data-method]")) {
        part.hidden = part.dataset.method !== left && part.dataset.method !== other;
        part.style.order = part.dataset.method === left ? 0 : 1;
      }
      const fits = (task === "" || item.dataset.task === task)
        && outcomes[outcome](right(item, left), right(item, other))
        && (query === "" || contains(item, query));
      item.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    for (const block of document.querySelectorAll("section.block")) {
      block.hidden = !block.querySelector("details.case:not([hidden])");
    }
    field("count").textContent = `${shown} of ${cases.length} cases shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
