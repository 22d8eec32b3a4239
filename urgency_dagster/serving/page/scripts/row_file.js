import { UnusableFile } from "./messages.js";

/** @typedef {Record<string, number|boolean|string>} Row */

/**
 * The rows of a file: CSV with a head, a JSON list of objects, or a JSON object of equally long lists.
 *
 * @param {File} file
 * @returns {Promise<Row[]>}
 */
export async function readRows(file) {
  const text = (await file.text()).replace(/^\uFEFF/, "");
  const rows = /^\s*[[{]/.test(text) ? jsonRows(text) : csvRows(text);
  if (!rows.length) throw new UnusableFile("rows.none");
  return rows;
}

/** @param {string} text @returns {Row[]} */
function jsonRows(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    throw new UnusableFile("rows.not_json");
  }
  const rows = Array.isArray(document) ? document : Array.isArray(document.rows) ? document.rows : fromColumns(document);
  if (!rows.every((row) => row && typeof row === "object" && !Array.isArray(row))) throw new UnusableFile("rows.not_objects");
  return rows;
}

/** @param {Record<string, any[]>} columns @returns {Row[]} */
function fromColumns(columns) {
  const names = Object.keys(columns);
  const lists = names.map((name) => (Array.isArray(columns[name]) ? columns[name] : [columns[name]]));
  if (new Set(lists.map((list) => list.length)).size > 1) throw new UnusableFile("rows.not_objects");
  return (lists[0] ?? []).map((_, row) => Object.fromEntries(names.map((name, column) => [name, lists[column][row]])));
}

/** @param {string} text @returns {Row[]} */
function csvRows(text) {
  const [head, ...lines] = records(text);
  if (!head || head.length < 2) throw new UnusableFile("rows.not_csv");
  return lines.map((line, row) => {
    if (line.length !== head.length) throw new UnusableFile("rows.ragged", { row: row + 1 });
    return Object.fromEntries(head.map((name, column) => [name, value(line[column])]));
  });
}

/** The records of a CSV (RFC 4180). @param {string} text @returns {string[][]} */
function records(text) {
  const found = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,"\r\n]*))(,|\r?\n|$)/g)) {
    found.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ",") found.push([]);
  }
  return found.filter((record) => record.length > 1 || (record.length === 1 && record[0] !== ""));
}

/** @param {string} field */
function value(field) {
  if (/^(true|false)$/i.test(field)) return field.toLowerCase() === "true";
  return field.trim() !== "" && Number.isFinite(Number(field)) ? Number(field) : field;
}
