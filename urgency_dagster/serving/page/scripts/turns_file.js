import { UnusableFile } from "./messages.js";

/** Who speaks, as AI Hub writes it. */
const SPEAKERS = { 0: "call_taker", 1: "caller", 접수자: "call_taker", 수보자: "call_taker", 신고자: "caller" };

/**
 * @typedef {{start_ms: number, end_ms: number, text: string | null, speaker: string | null}} Turn
 */

/**
 * The turns of a file: a label of AI Hub 71768, a list of turns, or a document with `turns` or `utterances`. The
 * address and every other field of a label stay in the browser.
 *
 * @param {Blob} file
 * @returns {Promise<Turn[]>}
 */
export async function readTurns(file) {
  const entries = entriesOf(parsed(await file.text()));
  if (!entries.length) throw new UnusableFile("turns.none");
  return entries.map(turn).sort((one, other) => one.start_ms - other.start_ms);
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch {
    throw new UnusableFile("turns.not_json");
  }
}

/** @param {any} document @returns {any[]} */
function entriesOf(document) {
  const found = Array.isArray(document) ? document : document?.utterances ?? document?.turns;
  if (!Array.isArray(found)) throw new UnusableFile("turns.not_a_list");
  return found;
}

/** @param {any} entry @param {number} position @returns {Turn} */
function turn(entry, position) {
  const [start, end] = [entry?.start_ms ?? entry?.startAt, entry?.end_ms ?? entry?.endAt];
  if (!Number.isFinite(start) || !Number.isFinite(end)) throw new UnusableFile("turns.no_times", { position: position + 1 });
  const speaker = entry.speaker ?? null;
  return {
    start_ms: Math.round(start),
    end_ms: Math.round(end),
    text: typeof entry.text === "string" ? entry.text.trim() : null,
    speaker: speaker === null ? null : SPEAKERS[speaker] ?? String(speaker),
  };
}
