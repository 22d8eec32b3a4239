import { dataTable, element } from "./element.js";
import { LEVELS } from "./levels.js";
import { busy, errorMessage, message } from "./messages.js";

/**
 * The scored archives: their calls by class, and on demand their comparison with the training set.
 *
 * @param {import("./main.js").Context} context
 * @param {any[]} archives
 */
export async function scoringReport(context, archives) {
  const { words } = context;
  const compared = new Map();
  return () => [element("section", { class: "panel" }, archiveTable(words, archives)), ...archives.map((counts) => comparison(context, counts.archive, compared))];
}

/** @param {import("./words.js").Words} words @param {any[]} archives */
function archiveTable(words, archives) {
  const head = ["archive", "calls", "levels", "abstained", "alarmed", "without_threshold", "rejected"];
  return dataTable(words.say("scoring.caption"), head.map((name) => words.say(`scoring.${name}`)), archives.map((counts) => [
    counts.archive, words.say("scoring.calls_of", { calls: words.count(counts.calls), recordings: words.count(counts.recordings) }),
    levelShares(words, counts.urgency, counts.calls), ...["abstained", "alarmed", "without_threshold"].map((name) => words.count(counts[name])),
    words.count(rejectedOf(counts.rejected)),
  ]), { numbers: false });
}

/** @param {Record<string, Record<string, number>>} rejected */
function rejectedOf(rejected) {
  return Object.values(rejected).flatMap((reasons) => Object.values(reasons)).reduce((total, count) => total + count, 0);
}

/** The calls of each level as a bar with its label and count. */
function levelShares(words, counts, calls) {
  return element("div", { class: "share-bar" }, ...LEVELS.map(({ label, colour }) => {
    const part = element("span", { class: `level-${colour}` }, `${words.name("level", label)} ${words.count(counts[label] ?? 0)}`);
    part.style.flexGrow = String((counts[label] ?? 0) / Math.max(calls, 1));
    return part;
  }));
}

/** @param {import("./main.js").Context} context @param {string} archive @param {Map<string, any>} compared answers by archive */
function comparison({ api, words }, archive, compared) {
  const place = element("div", {});
  const show = () => place.replaceChildren(...monitoring(words, compared.get(archive)));
  const compare = async () => {
    place.replaceChildren(busy(words.say("scoring.busy")));
    try {
      compared.set(archive, await api.report(`scoring/${archive}`));
      show();
    } catch (error) {
      place.replaceChildren(errorMessage(words, error));
    }
  };
  if (compared.has(archive)) show();
  return element("section", { class: "panel" }, element("div", { class: "panel-head" },
    element("h2", {}, words.say("scoring.compare_title", { archive })),
    element("button", { type: "button", class: "end", onclick: compare }, words.say("scoring.compare"))), place);
}

/** @param {import("./words.js").Words} words */
function monitoring(words, { drift, no_drift, shares }) {
  const table = dataTable(words.say("share.caption"), ["name", "archive", "validation", "differs"].map((name) => words.say(`share.${name}`)), shares.map((share) => [
    words.name("shared", share.name), shareText(words, share.archive, share.archive_interval),
    shareText(words, share.validation, share.validation_interval), words.say(share.apart ? "share.yes" : "share.no"),
  ]));
  return [driftMessage(words, drift, no_drift), table];
}

/** @param {import("./words.js").Words} words */
function driftMessage(words, drift, reason) {
  if (!drift) return message("note", words.say("drift.none"), element("span", { lang: "en" }, reason));
  const facts = { auroc: drift.auroc.toFixed(3), threshold: drift.threshold.toFixed(3) };
  return message(drift.drifted ? "abstain" : "note", words.say(drift.drifted ? "drift.yes" : "drift.no"), words.say("drift.auroc", facts));
}

/** @param {import("./words.js").Words} words */
function shareText(words, { calls, of }, [low, high]) {
  return element("span", {}, words.percent(calls / of), element("span", { class: "interval" }, `[${words.percent(low)}, ${words.percent(high)}]`));
}
