import { Problem } from "./api.js";
import { element } from "./element.js";

/**
 * A message in a box.
 *
 * @param {"error" | "abstain" | "note" | "alarm"} kind
 * @param {string} title
 * @param {...(string|Node)} lines
 */
export function message(kind, title, ...lines) {
  const role = kind === "alarm" || kind === "error" ? "alert" : "status";
  return element("div", { class: `message message-${kind}`, role },
    element("strong", {}, title), ...lines.map((line) => element("span", {}, line)));
}

/**
 * An error in the words of the page. What the server says beyond them is in English, and marked so.
 *
 * @param {import("./words.js").Words} words
 * @param {unknown} error
 */
export function errorMessage(words, error) {
  if (error instanceof Problem) return problemMessage(words, error);
  if (error instanceof UnusableFile) return message("error", words.say(error.key, error.values));
  throw error;
}

/** A file that the page itself cannot read. */
export class UnusableFile extends Error {
  /** @param {string} key of the sentence that says why @param {Record<string, string|number>} [values] */
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** @param {import("./words.js").Words} words @param {Problem} problem */
function problemMessage(words, problem) {
  const named = words.name("problem", problem.kind);
  const title = named === problem.kind ? words.say("problem.other", { status: problem.status }) : named;
  const { detail, errors = [] } = problem.document;
  const places = errors.map((/** @type {any} */ fault) => `${fault.pointer ?? fault.parameter ?? ""} ${fault.detail}`);
  const said = [...new Set([...(detail ? [detail] : []), ...places])].slice(0, 4);
  return message("error", title, ...said.map((line) => element("span", { lang: "en", class: "small" }, line)));
}

/** Work in progress. @param {string} text */
export function busy(text) {
  return element("p", { class: "busy", role: "status" }, text);
}

/** A place where nothing is yet. @param {string} title @param {string} hint */
export function emptyPlace(title, hint) {
  return element("div", { class: "empty" }, element("strong", {}, title), hint);
}
