import { dataTable, element } from "./element.js";
import { foldedReport, readPictures } from "./report_pictures.js";
import { reportText } from "./report_text.js";

/** The sections of the metrics that the table compares, in its order. */
const SECTIONS = ["utterance", "text_only", "audio_only", "majority", "call", "text_only_call", "audio_only_call", "majority_call"];

/** The pictures, in the order of their weight. */
const PICTURES = [
  "confusion_urgency_call", "high_urgency", "coverage", "time_to_decision", "reliability_call", "reliability_utterance", "class_counts",
  "learning_curve", "confusion_urgency_utterance", "confusion_sentiment_call", "confusion_sentiment_utterance",
].map((name) => `${name}.png`);

/** The columns: task and score. */
const SCORES = [["urgency", "accuracy"], ["urgency", "f1_macro"], ["urgency", "recall_high"], ["sentiment", "accuracy"], ["sentiment", "f1_macro"]];

/**
 * The evaluation of the urgency model.
 *
 * @param {import("./main.js").Context} context
 * @param {{metrics: any, report: string, pictures: string[]}} report
 */
export async function urgencyReport(context, { metrics, report, pictures }) {
  const { words } = context;
  const shown = await readPictures(context, "urgency", PICTURES.filter((name) => pictures.includes(name)));
  return () => [
    element("section", { class: "panel" }, figures(words, metrics), scoreTable(words, metrics)),
    shown(),
    foldedReport(words.say("reports.whole"), reportText(report)),
  ];
}

/** @param {import("./words.js").Words} words */
function figures(words, metrics) {
  const call = metrics.call?.urgency ?? {};
  const shown = [["f1_macro", call], ["recall_high", call], ["high_read_as_low", call], ["f1_macro", metrics.majority_call?.urgency ?? {}, "majority"]];
  return element("div", { class: "figures" }, ...shown.map(([score, from, name = score]) =>
    element("p", { class: "figure" }, element("b", {}, decimal(from[score])), element("span", { class: "muted small" }, words.say(`figure.${name}`)))));
}

/** @param {import("./words.js").Words} words */
function scoreTable(words, metrics) {
  const sections = SECTIONS.filter((section) => metrics[section]);
  const head = [words.say("metric.model"), words.say("metric.n"), ...SCORES.map(([task, score]) => words.say(`metric.${task}_${score}`))];
  const rows = sections.map((section) => [words.say(`section.${section}`), words.count(metrics[section].n), ...SCORES.map(([task, score]) => scoreWithInterval(metrics[section][task], score))]);
  return dataTable(words.say("metric.caption"), head, rows);
}

/** A score, and its 95 % interval if it has one. */
function scoreWithInterval(scores, name) {
  const interval = scores?.[`${name}_interval`];
  const between = interval ? element("span", { class: "interval" }, `[${interval.map(decimal).join(", ")}]`) : null;
  return element("span", {}, decimal(scores?.[name]), between);
}

/** @param {number | null | undefined} score */
function decimal(score) {
  return typeof score === "number" ? score.toFixed(3) : "–";
}
