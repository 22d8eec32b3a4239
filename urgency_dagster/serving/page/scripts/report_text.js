import { element } from "./element.js";

/**
 * A report in Markdown as elements: headings, tables, lists and paragraphs. Every text is set as text. Pictures are
 * left out, because the view shows them beside the report.
 *
 * @param {string} markdown
 */
export function reportText(markdown) {
  const blocks = markdown.split(/\n{2,}/).map((block) => block.trim()).filter((block) => block && !block.startsWith("!["));
  return element("div", { class: "report-text", lang: "en" }, ...blocks.map(blockOf));
}

/** @param {string} block */
function blockOf(block) {
  const lines = block.split("\n").filter((line) => !line.startsWith("!["));
  if (/^#{1,6} /.test(block)) return element("h3", {}, block.replace(/^#+ /, ""));
  if (lines[0].startsWith("|")) return tableOf(lines);
  if (/^[-*] /.test(lines[0])) return listOf(lines);
  return element("p", {}, ...inline(lines.join(" ")));
}

/** @param {string[]} lines */
function tableOf(lines) {
  const [head, , ...rows] = lines.map((line) => line.replace(/^\|\s?|\s?\|$/g, "").split("|").map((cell) => cell.trim()));
  const cells = (tag) => (row) => element("tr", {}, ...row.map((cell) => element(tag, {}, ...inline(cell))));
  return element("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": head.filter(Boolean).join(", ") || "table" },
    element("table", {}, element("thead", {}, headOf(head)), element("tbody", {}, ...rows.map(cells("td")))));
}

/** The head; an empty first cell is no heading. @param {string[]} cells */
function headOf(cells) {
  return element("tr", {}, ...cells.map((cell) => (cell ? element("th", { scope: "col" }, ...inline(cell)) : element("td"))));
}

/** @param {string[]} lines */
function listOf(lines) {
  const items = lines.reduce((found, line) => {
    if (/^[-*] /.test(line)) found.push(line.slice(2));
    else found.push(`${found.pop() ?? ""} ${line.trim()}`);
    return found;
  }, /** @type {string[]} */ ([]));
  return element("ul", {}, ...items.map((item) => element("li", {}, ...inline(item))));
}

/** Code between backticks, and the text of links. @param {string} text @returns {(Node|string)[]} */
function inline(text) {
  return text.replace(/\[([^\]]+)\]\([^)\s]+\)/g, "$1").split(/(`[^`]+`)/).filter(Boolean)
    .map((part) => (part.startsWith("`") && part.length > 2 ? element("code", {}, part.slice(1, -1)) : part));
}
