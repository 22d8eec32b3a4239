/**
 * Creates an element. Text is always set as text, never as HTML.
 *
 * @param {string} tag name of the element
 * @param {Record<string, unknown>} [properties] attributes; `on…` are listeners; null, undefined and false are left out
 * @param {...(Node|string|number|null|undefined)} children
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) created.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else created.setAttribute(name, value === true ? "" : String(value));
  }
  created.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return created;
}

/** @param {Node|string|number} child */
function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/**
 * A horizontal bar with the share of a probability. Its value is written beside it by the caller.
 *
 * @param {number} share from 0 to 1
 * @param {string} label its accessible name
 * @param {string} [fill] class of the colour
 */
export function shareBar(share, label, fill = "") {
  const bar = element("span", {
    class: `share ${fill}`, role: "meter", "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": share.toFixed(3),
    "aria-label": label,
  });
  bar.style.setProperty("--share", String(share));
  return bar;
}

/**
 * A table with a caption, from its head and its rows.
 *
 * @param {string} caption
 * @param {string[]} head
 * @param {(Node|string|number)[][]} rows the first cell of each is its heading
 * @param {{numbers?: boolean}} [options] whether all cells but the first are numbers
 */
export function dataTable(caption, head, rows, { numbers = true } = {}) {
  const kind = (/** @type {number} */ column) => (numbers && column ? "number" : null);
  const cell = (/** @type {Node|string|number} */ content, /** @type {number} */ column) =>
    column ? element("td", { class: kind(column) }, content) : element("th", { scope: "row" }, content);
  return element("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": caption },
    element("table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head.map((name, column) =>
        element("th", { scope: "col", class: kind(column) }, name)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell))))));
}
