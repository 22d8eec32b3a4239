/**
 * The probabilities of a call as its utterances end.
 *
 * The model takes the mean logit of the utterances, divided by the temperature of calls. The answer has the calibrated
 * probabilities of utterances instead, whose logarithms are the logits divided by another temperature, up to a
 * constant that cancels. The ratio of both temperatures follows from the answer for the whole call.
 */

/**
 * @typedef {{at_ms: number, probabilities: Record<string, number>}} Moment probabilities of the call at a time
 * @typedef {{end_ms: number, urgency: {probabilities: Record<string, number>} | null}} Utterance
 */

/**
 * @param {Utterance[]} utterances
 * @param {Record<string, number>} whole probabilities of the whole call
 * @returns {Moment[]} one for each utterance, in the order of their ends
 */
export function runningScore(utterances, whole) {
  const labels = Object.keys(whole);
  const scored = utterances.filter((utterance) => utterance.urgency).sort((one, other) => one.end_ms - other.end_ms);
  const ratio = temperatureRatio(meanLogs(scored, labels), labels.map((label) => Math.log(whole[label])));
  return scored.map((utterance, count) => {
    const logits = meanLogs(scored.slice(0, count + 1), labels).map((mean) => mean * ratio);
    return { at_ms: utterance.end_ms, probabilities: named(labels, softmax(logits)) };
  });
}

/** @param {Utterance[]} utterances @param {string[]} labels */
function meanLogs(utterances, labels) {
  const sum = (/** @type {string} */ label) =>
    utterances.reduce((total, utterance) => total + Math.log(utterance.urgency.probabilities[label]), 0);
  return labels.map((label) => sum(label) / utterances.length);
}

/** The factor between centred logarithms, by least squares. @param {number[]} from @param {number[]} to */
function temperatureRatio(from, to) {
  const [start, end] = [centred(from), centred(to)];
  const square = start.reduce((total, value) => total + value * value, 0);
  return square ? start.reduce((total, value, place) => total + value * end[place], 0) / square : 1;
}

/** @param {number[]} values */
function centred(values) {
  const mean = values.reduce((total, value) => total + value, 0) / values.length;
  return values.map((value) => value - mean);
}

/** @param {number[]} logits */
function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - highest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** @param {string[]} labels @param {number[]} values @returns {Record<string, number>} */
function named(labels, values) {
  return Object.fromEntries(labels.map((label, place) => [label, values[place]]));
}
