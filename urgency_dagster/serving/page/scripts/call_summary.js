import { clock } from "./clock.js";
import { element, shareBar } from "./element.js";
import { colourOf, HIGH, LEVELS } from "./levels.js";
import { message } from "./messages.js";

/**
 * @typedef {{label: string, probabilities: Record<string, number>}} ClassAnswer
 * @typedef {object} Call what is known of a call by now
 * @property {ClassAnswer | null} urgency
 * @property {ClassAnswer | null} sentiment
 * @property {boolean | null} abstain
 * @property {boolean | null} alarm
 * @property {string} listening
 * @property {number} duration_ms
 * @property {any[]} utterances
 * @property {any[]} rejected
 * @property {{sha256: string} | null} model
 */

/**
 * The answer for the whole call: urgency, sentiment, and the facts beside them.
 *
 * @param {import("./words.js").Words} words
 * @param {Call} call
 */
export function callSummary(words, call) {
  return element("div", { class: "verdict" },
    element("div", {}, element("h2", {}, words.say("summary.urgency")), urgencyOf(words, call.urgency)),
    element("div", {}, element("h2", {}, words.say("summary.sentiment")), sentimentOf(words, call.sentiment)),
    element("div", {}, element("h2", {}, words.say("summary.facts")), factsOf(words, call)));
}

/**
 * What the model decides, as messages: an alarm, or that a person should decide.
 *
 * @param {import("./words.js").Words} words
 * @param {Call} call
 */
export function decisions(words, call) {
  const found = [];
  if (call.alarm) found.push(message("alarm", words.say("alarm.title"), words.say("alarm.why", { share: words.percent(call.urgency.probabilities[HIGH]) })));
  if (call.abstain) found.push(message("abstain", words.say("abstain.title"), words.say("abstain.why")));
  if (call.abstain === null && call.alarm === null) found.push(message("note", words.say("thresholds.none"), words.say("thresholds.why")));
  return found;
}

/** @param {import("./words.js").Words} words @param {ClassAnswer | null} answer */
function urgencyOf(words, answer) {
  if (!answer) return element("p", { class: "muted" }, words.say("summary.not_trained"));
  const level = colourOf(answer.label);
  const shown = LEVELS.map(({ label, colour }) =>
    scoreLine(words, words.name("level", label), answer.probabilities[label] ?? 0, label === answer.label, `fill-${colour}`));
  return element("div", { class: "stack" },
    element("div", { class: "verdict-level" },
      element("span", { class: `mark level-${level}`, "aria-hidden": "true" }, answer.label),
      element("span", { class: "word" }, words.name("level_word", answer.label))),
    element("div", { class: "scores" }, ...shown));
}

/** @param {import("./words.js").Words} words @param {ClassAnswer | null} answer */
function sentimentOf(words, answer) {
  if (!answer) return element("p", { class: "muted" }, words.say("summary.not_trained"));
  const sorted = Object.entries(answer.probabilities).sort(([, one], [, other]) => other - one);
  return element("div", { class: "scores" }, ...sorted.map(([label, share]) =>
    scoreLine(words, words.name("sentiment", label), share, label === answer.label)));
}

/** @param {import("./words.js").Words} words */
function scoreLine(words, name, share, best, fill = "") {
  return element("div", { class: best ? "best" : "" }, element("span", {}, name), shareBar(share, name, fill),
    element("span", { class: "number" }, words.percent(share)));
}

/** @param {import("./words.js").Words} words @param {Call} call */
function factsOf(words, call) {
  const speakers = new Set(call.utterances.map(({ speaker }) => speaker).filter(Boolean));
  const facts = {
    length: clock(call.duration_ms),
    utterances: countText(words, call),
    speakers: [...speakers].map((speaker) => words.name("speaker", speaker)).join(", ") || words.say("none"),
    listening: words.name("listening", call.listening),
    decision: words.say(`decision.${decisionOf(call)}`),
    model: call.model ? call.model.sha256.slice(0, 12) : words.say("none"),
  };
  return element("dl", { class: "facts" }, ...Object.entries(facts).flatMap(([name, fact]) => [
    element("dt", {}, words.say(`fact.${name}`)), element("dd", { class: name === "model" ? "hash" : null }, fact)]));
}

/** @param {import("./words.js").Words} words @param {Call} call */
function countText(words, call) {
  const rejected = call.rejected?.length ?? 0;
  return words.count(call.utterances.length) + (rejected ? words.say("fact.rejected", { count: rejected }) : "");
}

/** @param {Call} call */
function decisionOf({ abstain, alarm }) {
  if (alarm) return "alarm";
  if (abstain) return "abstain";
  return abstain === null ? "none" : "answer";
}
