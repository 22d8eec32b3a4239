import uPlot from "../vendor/uPlot.esm.js";
import { colourOf, HIGH } from "./levels.js";
import { colour, onThemeChange } from "./preferences.js";

const HEIGHT = 210;
const AXIS_PX = 52;
const TIME_AXIS_PX = 30;
const TICKS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800];
const RIGHT_PX = 14;
const FONT = "13px system-ui, sans-serif";

/**
 * The probability of 상 over the time of a call.
 *
 * @typedef {object} Course
 * @property {number} duration_ms
 * @property {{start_ms: number, end_ms: number, urgency: {label: string, probabilities: Record<string, number>} | null}[]} utterances
 * @property {{at_ms: number, high: number, abstain: boolean | null}[]} moments the score of the call at times
 * @property {number | null} alarmFrom probability of 상 from which there is an alarm
 */

/** Draws a course: a bar for each utterance, a line for the call, the times of abstention, the alarm threshold. */
export class UrgencyChart {
  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
    /** @type {Course | null} */
    this.course = null;
    this.time_ms = 0;
    this.plot = null;
    new ResizeObserver(() => this.#resize()).observe(container);
    onThemeChange(() => this.#draw());
  }

  /** @param {Course} course */
  show(course) {
    this.course = course;
    this.#draw();
  }

  /** Moves the line that shows where the recording plays. @param {number} time_ms */
  moveTo(time_ms) {
    this.time_ms = time_ms;
    this.plot?.redraw(false);
  }

  #draw() {
    if (!this.course) return;
    this.plot?.destroy();
    this.plot = new uPlot(this.#options(), steps(this.course), this.container);
  }

  #resize() {
    const width = this.container.clientWidth;
    if (this.plot && width) this.plot.setSize({ width, height: HEIGHT });
  }

  #options() {
    const axis = { stroke: colour("--muted"), font: FONT, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: this.container.clientWidth || 600, height: HEIGHT, padding: [10, RIGHT_PX, 0, 0],
      cursor: { show: false }, legend: { show: false },
      scales: { x: { time: false, range: () => [0, this.course.duration_ms / 1000] }, y: { range: () => [0, 1] } },
      axes: [
        { ...axis, size: TIME_AXIS_PX, incrs: TICKS_S, values: (_, ticks) => ticks.map(minutes) },
        { ...axis, size: AXIS_PX, splits: () => [0, 0.25, 0.5, 0.75, 1], values: (_, ticks) => ticks.map((tick) => `${tick * 100} %`) },
      ],
      series: [{}, { stroke: colour("--ink"), width: 2.5, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
      hooks: { drawAxes: [(plot) => this.#drawBelow(plot)], draw: [(plot) => this.#drawAbove(plot)] },
    };
  }

  #drawBelow(plot) {
    for (const [start, end] of abstentions(this.course)) drawSpan(plot, start, end);
    for (const utterance of this.course.utterances) drawUtterance(plot, utterance);
  }

  #drawAbove(plot) {
    if (this.course.alarmFrom !== null) drawThreshold(plot, this.course.alarmFrom);
    drawCursor(plot, this.time_ms);
  }
}

/** Minutes and seconds of a tick. @param {number} seconds */
function minutes(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;
}

/** The steps of the line: seconds, and the score that holds from then on. @param {Course} course */
function steps(course) {
  const last = course.moments.at(-1);
  const end = last ? [{ ...last, at_ms: course.duration_ms }] : [];
  const all = [...course.moments, ...end];
  return [all.map((moment) => moment.at_ms / 1000), all.map((moment) => moment.high)];
}

/** Start and end in milliseconds of the times at which the call abstains. @param {Course} course */
function abstentions(course) {
  return course.moments.flatMap((moment, place) =>
    moment.abstain ? [[moment.at_ms, course.moments[place + 1]?.at_ms ?? course.duration_ms]] : []);
}

function drawSpan(plot, start_ms, end_ms) {
  const [left, right] = [start_ms, end_ms].map((ms) => plot.valToPos(ms / 1000, "x", true));
  plot.ctx.save();
  plot.ctx.globalAlpha = 0.16;
  plot.ctx.fillStyle = colour("--abstain");
  plot.ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
  plot.ctx.restore();
}

function drawUtterance(plot, { start_ms, end_ms, urgency }) {
  if (!urgency) return;
  const high = urgency.probabilities[HIGH] ?? 0;
  const [left, right] = [start_ms, end_ms].map((ms) => plot.valToPos(ms / 1000, "x", true));
  const [top, bottom] = [high, 0].map((share) => plot.valToPos(share, "y", true));
  const level = colourOf(urgency.label);
  plot.ctx.save();
  plot.ctx.fillStyle = colour(`--${level}-wash`);
  plot.ctx.fillRect(left, top, right - left, bottom - top);
  plot.ctx.fillStyle = colour(`--${level}`);
  plot.ctx.fillRect(left, top - 2, right - left, 4);
  plot.ctx.restore();
}

function drawThreshold(plot, alarmFrom) {
  const height = plot.valToPos(alarmFrom, "y", true);
  line(plot, "--alarm", [8, 6], [plot.bbox.left, height], [plot.bbox.left + plot.bbox.width, height]);
}

function drawCursor(plot, time_ms) {
  if (!time_ms) return;
  const place = plot.valToPos(time_ms / 1000, "x", true);
  line(plot, "--accent", [], [place, plot.bbox.top], [place, plot.bbox.top + plot.bbox.height]);
}

function line(plot, name, dashes, from, to) {
  plot.ctx.save();
  plot.ctx.strokeStyle = colour(name);
  plot.ctx.lineWidth = 2 * devicePixelRatio;
  plot.ctx.setLineDash(dashes.map((dash) => dash * devicePixelRatio));
  plot.ctx.beginPath();
  plot.ctx.moveTo(...from);
  plot.ctx.lineTo(...to);
  plot.ctx.stroke();
  plot.ctx.restore();
}
