// Predicted against measured values of all samples that pass the filters: click one, frame some.

import { themed } from "./colours.js";
import { Scale, drawAxes, ready } from "./axes.js";
import { byId, number } from "./dom.js";
import { on, state, tell } from "./state.js";

const HEIGHT = 300;
const MOST_INTERVALS = 400;
let picture = null; // scales of what is drawn
let frame = null;
let below = null; // all but what is chosen: 100,000 points are drawn once, not with every step

export function startScatter(choose) {
  const canvas = byId("scatter");
  on("column visible cohort theme", () => { below = null; draw(); });
  on("row kept", draw);
  let from = null;
  const place = (event) => [picture.x.back(event.offsetX), picture.y.back(event.offsetY)];
  canvas.style.touchAction = "pan-y";
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || !picture) return;
    canvas.setPointerCapture(event.pointerId);
    from = { at: place(event), x: event.offsetX, y: event.offsetY };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    frame = [from.at, place(event)];
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!from) return;
    const drawn = Math.hypot(event.offsetX - from.x, event.offsetY - from.y) > 5;
    if (drawn) gather(from.at, place(event));
    else {
      const row = nearest(event.offsetX, event.offsetY);
      if (row >= 0) choose(row);
    }
    from = frame = null;
    draw();
  });
  canvas.addEventListener("pointercancel", () => { from = frame = null; draw(); });
  new ResizeObserver(draw).observe(canvas.parentElement);
}

/** Where a sample stands across: its measured value, or its number where nothing was measured. */
function across(row) {
  return picture.measured ? state.column.measured[row] : row;
}

function gather(one, other) {
  const [left, right] = [Math.min(one[0], other[0]), Math.max(one[0], other[0])];
  const [low, high] = [Math.min(one[1], other[1]), Math.max(one[1], other[1])];
  const rows = state.order.filter((row) => {
    const [x, y] = [across(row), state.column.predicted[row]];
    return x >= left && x <= right && y >= low && y <= high;
  });
  state.cohort = rows.length ? Uint32Array.from(rows) : null;
  tell("cohort");
}

function nearest(x, y) {
  let [best, least] = [-1, 144];
  for (const row of state.order) {
    const away = (picture.x.at(across(row)) - x) ** 2 + (picture.y.at(state.column.predicted[row]) - y) ** 2;
    if (away < least) [best, least] = [row, away];
  }
  return best;
}

/** Return the span of all samples, so that the picture stands still while filters change. */
function spans() {
  const { measured, predicted } = state.column;
  let [low, high, known] = [Infinity, -Infinity, 0];
  for (let row = 0; row < predicted.length; row++) {
    low = Math.min(low, predicted[row]);
    high = Math.max(high, predicted[row]);
    if (measured[row] === measured[row]) {
      known++;
      low = Math.min(low, measured[row]);
      high = Math.max(high, measured[row]);
    }
  }
  const margin = 0.04 * (high - low) || 1;
  return { low: low - margin, high: high + margin, known };
}

function draw() {
  if (!state.column || !state.order) return;
  const canvas = byId("scatter");
  const { context, width } = ready(canvas, HEIGHT);
  if (!below || below.width !== canvas.width || below.height !== canvas.height) drawBelow(canvas, context, width);
  else context.drawImage(below, 0, 0, width, HEIGHT);
  clipped(context, () => drawChosen(context, picture.x, picture.y));
}

function clipped(context, act) {
  const { box } = picture;
  context.save();
  context.beginPath();
  context.rect(box.left, box.top, box.width, box.height);
  context.clip();
  act();
  context.restore();
}

function drawBelow(canvas, context, width) {
  const { low, high, known } = spans();
  const box = { left: 54, top: 6, width: width - 54 - 12, height: HEIGHT - 6 - 38 };
  const x = known ? new Scale(low, high, box.left, box.left + box.width) : new Scale(-0.5, state.samples.ids.length - 0.5, box.left, box.left + box.width);
  const y = new Scale(low, high, box.top + box.height, box.top);
  picture = { x, y, box, measured: known > 0 };
  const unit = state.column.unit === "1" ? "" : ` (${state.column.unit})`;
  clipped(context, () => {
    if (known) {
      context.strokeStyle = themed("--line");
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x.at(low), y.at(low));
      context.lineTo(x.at(high), y.at(high));
      context.stroke();
    }
    if (state.order.length <= MOST_INTERVALS) drawIntervals(context, x, y);
    drawPoints(context, x, y);
  });
  drawAxes(context, box, x, y, known ? `measured${unit}` : "sample", `predicted${unit}`);
  byId("scatter-title").textContent = headline(known);
  canvas.setAttribute("aria-label", `Predicted against measured values. ${headline(known)}`);
  below = new OffscreenCanvas(canvas.width, canvas.height);
  below.getContext("2d").drawImage(canvas, 0, 0);
}

function drawIntervals(context, x, y) {
  const { lower, upper } = state.column;
  context.strokeStyle = themed("--line");
  context.lineWidth = 1;
  context.beginPath();
  for (const row of state.order) {
    if (!Number.isFinite(lower[row])) continue;
    const at = x.at(across(row));
    context.moveTo(at, y.at(lower[row]));
    context.lineTo(at, y.at(upper[row]));
  }
  context.stroke();
}

/** Draw points: the fewer, the larger; of very many the dense places are darker. */
function drawPoints(context, x, y) {
  const rows = state.order;
  const size = rows.length > 20000 ? 1.5 : rows.length > 2000 ? 2.5 : 5;
  const inCohort = new Uint8Array(state.samples.ids.length);
  for (const row of state.cohort || []) inCohort[row] = 1;
  const groups = [[themed("--point"), (row) => !inCohort[row] && !state.samples.outside[row]],
    [themed("--outside"), (row) => !inCohort[row] && state.samples.outside[row]],
    [themed("--cohort"), (row) => inCohort[row]]];
  context.globalAlpha = rows.length > 20000 ? 0.3 : rows.length > 2000 ? 0.55 : 0.85;
  for (const [colour, belongs] of groups) {
    context.fillStyle = colour;
    for (const row of rows) {
      if (belongs(row)) context.fillRect(x.at(across(row)) - size / 2, y.at(state.column.predicted[row]) - size / 2, size, size);
    }
  }
  context.globalAlpha = 1;
}

function drawChosen(context, x, y) {
  const rings = [[state.row, themed("--ink")]];
  if (state.kept !== null) rings.push([state.kept, themed("--accent")]);
  for (const [row, colour] of rings) {
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x.at(across(row)), y.at(state.column.predicted[row]), 6, 0, 2 * Math.PI);
    context.stroke();
  }
  if (frame) {
    const [one, other] = frame;
    context.strokeStyle = themed("--accent");
    context.setLineDash([4, 3]);
    context.strokeRect(x.at(one[0]), y.at(one[1]), x.at(other[0]) - x.at(one[0]), y.at(other[1]) - y.at(one[1]));
    context.setLineDash([]);
  }
}

function headline(known) {
  const { measured, predicted, unit } = state.column;
  const shown = unit === "1" ? "" : ` ${unit}`;
  const many = `${state.order.length.toLocaleString("en")} of ${state.samples.ids.length.toLocaleString("en")} samples`;
  if (!known) return `${state.target}: ${many}, nothing was measured`;
  let [sum, count] = [0, 0];
  for (const row of state.order) {
    if (measured[row] === measured[row]) {
      sum += Math.abs(predicted[row] - measured[row]);
      count++;
    }
  }
  return `${state.target}: ${many}, mean error ${count ? number(sum / count, 3) : "–"}${count ? shown : ""}`;
}
