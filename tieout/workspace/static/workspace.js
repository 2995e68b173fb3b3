// Progressive enhancement of pages that work without it: replaces only the parts of a page that differ, adds keyboard
// control of the grid, and resizes columns by dragging. Every state is an address.

const policy = window.trustedTypes?.createPolicy("tieout", { createHTML: (page) => page }) ?? { createHTML: (page) => page };
const root = document.documentElement;
root.classList.add("scripted");

let request = null;

/** Load the page of an address and replace the parts that differ; on failure, navigate to it. */
async function show(address, { remember = true } = {}) {
  request?.abort();
  request = new AbortController();
  root.classList.add("busy"); // until the last requested page is shown, replaced or loaded
  try {
    const answer = await fetch(address, { signal: request.signal, headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
    const again = remember && state(answer.url) === state(location.href);
    if (!swap(page, again)) {
      location.assign(address);
      return;
    }
    slash.show();
    document.title = page.title;
    if (remember && answer.url !== location.href) history.pushState(null, "", answer.url);
    if (!again) arrive();
    poll();
    root.classList.remove("busy");
  } catch (fault) {
    if (fault.name !== "AbortError") location.assign(address);
  }
}

// A page with progress is refreshed every few seconds while it is visible.
let timer = 0;
function poll() {
  clearTimeout(timer);
  const seconds = Number(document.querySelector("[data-poll]")?.dataset.poll);
  if (seconds) timer = setTimeout(() => refresh().then(poll), seconds * 1000);
}
async function refresh() {
  const address = location.href;
  if (document.hidden || root.classList.contains("busy")) return;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
    if (answer.ok && location.href === address && !root.classList.contains("busy")) swap(page, true);
  } catch {
    // The server is unavailable: keep the page, and try again.
  }
}
poll();

/** The state of an address; `was` is only the reference for changes. */
function state(address) {
  const found = new URL(address);
  found.searchParams.delete("was");
  found.hash = "";
  return found.href;
}

// A page restored from the back/forward cache has no pending request.
addEventListener("pageshow", () => root.classList.remove("busy"));

// Speech input can type `/` unintentionally, so the shortcut can be turned off permanently.
const storage = (() => {
  try {
    return localStorage ?? {};
  } catch {
    return {}; // storage is disabled
  }
})();
const slash = {
  on: () => storage.slash !== "off",
  show: () => document.querySelector("[data-slash]")?.setAttribute("aria-pressed", slash.on()),
  turn: () => {
    storage.slash = slash.on() ? "off" : "on";
    slash.show();
  },
};
slash.show();

/**
 * Make this page equal to another one; false if that is not a page of the workspace. Elements that both pages have are
 * reused, so that focus, scroll positions and open details survive. `again` is true for a reload of the same state: then
 * the field being edited keeps its text, and the grid its scroll position.
 */
function swap(page, again) {
  if (!page.getElementById("main")) return false;
  const opened = [...document.querySelectorAll("details[open]")];
  const rows = document.querySelector("#grid tbody")?.textContent;
  for (const part of opened) part.open = false; // an open state must not count as a difference
  become(document.body, page.body);
  for (const part of opened) part.open = true;
  for (const form of document.forms) {
    if (!again || !document.activeElement?.form || document.activeElement.form !== form) form.reset();
  }
  const grid = document.querySelector(".grid-scroll");
  // New rows start at the top; the same rows keep their position.
  if (grid && !again && document.querySelector("#grid tbody")?.textContent !== rows) grid.scrollTop = 0;
  return true;
}

/** Make an element equal to another one of the same name with few changes. */
function become(here, there) {
  if (here.isEqualNode(there)) return;
  if (here.nodeType !== Node.ELEMENT_NODE) {
    here.nodeValue = there.nodeValue;
    return;
  }
  for (const { name } of [...here.attributes]) if (!there.hasAttribute(name)) here.removeAttribute(name);
  for (const { name, value } of there.attributes) if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  const spare = Map.groupBy([...here.childNodes], identity);
  const wanted = [...there.childNodes].map((part) => [spare.get(identity(part))?.shift(), part]);
  for (const parts of spare.values()) for (const part of parts) part.remove();
  let next = here.firstChild;
  for (const [kept, part] of wanted) {
    if (kept && kept === next) next = next.nextSibling;
    else here.insertBefore(kept ?? document.adoptNode(part), next); // moving an element would lose its focus
    if (kept) become(kept, part);
  }
}

/** Identity of an element across pages: its kind with its id or key, its row header or classes. */
function identity(part) {
  if (part.nodeType !== Node.ELEMENT_NODE) return part.nodeName;
  const header = part.matches("tr") ? part.querySelector(":scope > th[scope=row]")?.textContent : null;
  return `${part.nodeName} ${part.id || part.dataset.key || header || part.getAttribute("class") || ""}`;
}

/** Move the focus to an invalid field, the opened drawer, or the row that was opened last. */
function arrive() {
  const wrong = document.querySelector("[aria-invalid]");
  const drawer = document.getElementById("drawer");
  if (wrong) {
    wrong.focus();
  } else if (drawer) {
    drawer.focus();
  } else if (left) {
    rows().find((row) => row.textContent === left)?.focus();
  }
}

let left = "";
const rows = () => [...document.querySelectorAll("#grid a.row")];

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  if (event.target.closest("[data-slash]")) slash.turn();
  const link = event.target.closest("a[data-go]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (link.matches(".row")) left = link.textContent;
  show(link.href);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-go]")) return;
  event.preventDefault();
  left = "";
  const given = [...new FormData(form, event.submitter)].filter(([, text]) => text !== "");
  const address = new URL(form.action);
  address.search = new URLSearchParams(given);
  show(address.href);
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

window.addEventListener("popstate", () => show(location.href, { remember: false }));

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  const writing = event.target.closest("input, select, textarea");
  if (event.key === "Escape") {
    const opened = document.querySelector(".menu[open]");
    if (opened) {
      opened.open = false;
      opened.querySelector("summary").focus();
    }
    else if (!writing || document.getElementById("drawer")) document.querySelector("[data-close]")?.click();
    return;
  }
  if (writing) return;
  if (event.key === "/" && slash.on()) {
    const search = document.getElementById("search");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
    return;
  }
  if (document.querySelector("#grid") && !event.target.closest(".drawer")) move(event);
});

/** Arrow keys select rows, Home and End the first and last row, page keys change the page. */
function move(event) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? all.length - 1 : at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    all[Math.max(0, Math.min(to, all.length - 1))]?.focus();
    return;
  }
  const page = { PageDown: "after", PageUp: "before" }[event.key];
  const link = page && document.querySelector(`[data-page=${page}]`);
  if (link) {
    event.preventDefault();
    left = "";
    show(link.href).then(() => rows()[0]?.focus());
  } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    const grid = document.getElementById("grid");
    event.preventDefault();
    grid.scrollLeft += event.key === "ArrowRight" ? 120 : -120;
  }
}

// Dragging the edge of a column changes its width; the address has it, and the server saves it for the next visit.
const CHARACTER = 7.5;
document.addEventListener("pointerdown", (event) => {
  const edge = event.target.closest(".resize");
  if (!edge) return;
  event.preventDefault();
  const header = edge.closest("th");
  const table = header.closest("table");
  const column = table.querySelectorAll("col")[header.cellIndex];
  const [width, whole, start] = [Number(column.width), Number(table.getAttribute("width")), event.clientX];
  const wide = (moved) => Math.max(48, Math.round(width + moved.clientX - start));
  const drag = (moved) => {
    column.width = wide(moved);
    table.setAttribute("width", whole + wide(moved) - width);
  };
  edge.classList.add("moving");
  edge.setPointerCapture(event.pointerId);
  edge.addEventListener("pointermove", drag);
  edge.addEventListener("pointerup", (end) => {
    edge.removeEventListener("pointermove", drag);
    edge.classList.remove("moving");
    const form = document.querySelector(".columns form");
    form.querySelector(`[name="width.${header.dataset.column}"]`).value = Math.min(80, Math.round((wide(end) - 22) / CHARACTER));
    form.requestSubmit(form.querySelector("button"));
  }, { once: true });
});
