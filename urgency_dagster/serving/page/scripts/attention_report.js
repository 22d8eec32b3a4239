import { dataTable, element } from "./element.js";
import { message } from "./messages.js";
import { foldedReport, readPictures } from "./report_pictures.js";
import { reportText } from "./report_text.js";

const SCORES = ["accuracy", "f1_macro", "roc_auc"];

/**
 * The leaderboard of the attention models, and the audit of their data.
 *
 * @param {import("./main.js").Context} context
 * @param {{leaderboard: any[], report: string, counts: Record<string, number> | null, audit: string, pictures: string[]}} report
 */
export async function attentionReport(context, { leaderboard, report, counts, audit, pictures }) {
  const { words } = context;
  const shown = await readPictures(context, "attention", pictures);
  return () => [
    element("section", { class: "panel" }, leaderboardTable(words, leaderboard)),
    element("section", { class: "panel" }, element("div", { class: "panel-head" }, element("h2", {}, words.say("audit.title"))), auditCounts(words, counts)),
    shown(),
    foldedReport(words.say("reports.whole"), reportText(report)),
    ...(audit ? [foldedReport(words.say("audit.whole"), reportText(audit))] : []),
  ];
}

/** @param {import("./words.js").Words} words */
function leaderboardTable(words, leaderboard) {
  const head = ["model", ...SCORES, "over_dummy"].map((name) => words.say(`leaderboard.${name}`));
  const rows = leaderboard.map((row) => [words.name("model", row.model), ...SCORES.map((score) => meanAndDeviation(row, score)), signed(row.f1_macro_vs_dummy)]);
  return dataTable(words.say("leaderboard.caption"), head, rows);
}

function meanAndDeviation(row, score) {
  return element("span", {}, row[`${score}_mean`].toFixed(3), element("span", { class: "interval" }, `± ${row[`${score}_sd`].toFixed(3)}`));
}

/** @param {number} value */
function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}

/** @param {import("./words.js").Words} words @param {Record<string, number> | null} counts */
function auditCounts(words, counts) {
  if (!counts) return message("note", words.say("audit.none"));
  return element("div", { class: "figures" }, ...["certain", "suspicion", "note"].map((level) =>
    element("p", { class: "figure" }, element("b", {}, words.count(counts[level] ?? 0)), element("span", { class: "muted small" }, words.say(`audit.${level}`)))));
}
