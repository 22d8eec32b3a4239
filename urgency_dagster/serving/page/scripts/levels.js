import { element } from "./element.js";

/** The urgency levels, highest first: the label of the data, and the name of its colour. */
export const LEVELS = [
  { label: "상", colour: "high" },
  { label: "중", colour: "mid" },
  { label: "하", colour: "low" },
];

export const HIGH = "상";

/** The name of the colour of a level. @param {string | undefined} label */
export function colourOf(label) {
  return LEVELS.find((level) => level.label === label)?.colour ?? "none";
}

/**
 * A level as its colour and its label. The Korean label stands in both languages, because the data has it.
 *
 * @param {import("./words.js").Words} words
 * @param {{label: string} | null} answer
 */
export function levelBadge(words, answer) {
  if (!answer) return element("span", { class: "level level-none" }, words.say("none"));
  const text = words.name("level", answer.label);
  return element("span", { class: `level level-${colourOf(answer.label)}` }, text);
}
