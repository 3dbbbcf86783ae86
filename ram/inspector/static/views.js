// From answers to what pictures show: an input, a map, a map over an input; planes, signals, volumes.

import { COLOURS } from "./picture.js";
import { state } from "./state.js";

const lastTwo = (axes) => axes.slice(-2);

/** Return the last axes of an answer: a volume is shown as sums over its first axis, its input as one slice. */
export const isSignal = (head) => head.cells.length === 1;
export const isVolume = (head) => head.cells.length === 3;

/** Return one channel of the input, as it is drawn. */
export function channelOf({ head, arrays }, name = state.choices.shown) {
  const names = Object.keys(head.channels);
  const number = Math.max(0, names.includes(name) ? names.indexOf(name) : names.length - 1);
  const size = arrays.input.length / names.length;
  const whole = arrays.input.subarray(number * size, (number + 1) * size);
  const label = head.channels[names[number]] === "1" ? names[number] : `${names[number]} (${head.channels[names[number]]})`;
  if (!isVolume(head)) return { values: whole, label, unit: head.channels[names[number]] };
  const [, rows, columns] = arrays.input.shape.slice(1);
  const slice = sliceOf({ head, arrays });
  return { values: whole.subarray(slice * rows * columns, (slice + 1) * rows * columns), label, unit: head.channels[names[number]] };
}

export function sliceOf({ arrays }) {
  const count = arrays.input.shape[1];
  return Math.min(count - 1, state.choices.slice ?? Math.floor(count / 2));
}

function spanOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low < high ? [low, high] : [low - 0.5, low + 0.5];
}

const widened = ([low, high]) => [low - 0.05 * (high - low), high + 0.05 * (high - low)];

/** Return where the design is, of the slice that is drawn; null where all is. */
function solidOf(answer) {
  const { head, arrays } = answer;
  if (!arrays.solid) return null;
  if (!isVolume(head)) return arrays.solid;
  const size = arrays.solid.length / arrays.solid.shape[0];
  return arrays.solid.subarray(sliceOf(answer) * size, (sliceOf(answer) + 1) * size);
}

/** Return values without those in voids. */
function inside(values, solid) {
  return solid ? Float32Array.from(values, (value, at) => (solid[at] ? value : NaN)) : values;
}

export function inputView(answer) {
  const { head } = answer;
  const { values, label, unit } = channelOf(answer);
  const words = `Input of ${head.id}: ${label}`;
  if (isSignal(head)) {
    return { title: `Input: ${label}`, words, axes: head.grid, curves: [{ values, colour: "#1a1a1a", thick: 0.8 }], range: widened(spanOf(values)),
      yLabel: label, end: head.end, read: { axes: head.grid, values, unit } };
  }
  const solid = solidOf(answer);
  const kept = inside(values, solid);
  const [low, high] = spanOf(kept);
  const axes = lastTwo(head.grid);
  const at = isVolume(head) ? `, ${head.grid[0].name} ${Number(middle(head.grid[0], sliceOf(answer)).toPrecision(3))} ${head.grid[0].unit}` : "";
  return { title: `Input: ${label}${at}`, words, axes, end: head.end, layers: [{ axes, values: kept, colours: COLOURS.input, low, high }],
    bar: { colours: COLOURS.input, low, high, label }, read: { axes, values, unit } };
}

const middle = (axis, cell) => 0.5 * (axis.edges[cell] + axis.edges[cell + 1]);

/** Return a map alone: `values` on the cells of an answer, coloured from -limit to limit. */
export function mapView(answer, values, { title, limit, disputed = null, outlined = null }) {
  const { head } = answer;
  const axes = lastTwo(head.cells);
  const unit = head.label.split(" per cell")[0].replace(/^.* in /, "");
  const read = { axes, values, unit };
  const words = `${title}. ${head.label}, from ${-limit} to ${limit}`;
  if (isSignal(head)) {
    const [low, high] = widened([Math.min(0, ...spanOf(values)), Math.max(0, ...spanOf(values))]);
    const range = state.choices.scale === "shared" ? [-limit * 1.05, limit * 1.05] : [low, high];
    return { title, words, axes: head.grid, bars: { values, axis: head.cells[0], limit, disputed }, range, yLabel: unit, end: head.end, read };
  }
  return { title, words, axes: lastTwo(head.grid), end: head.end, read,
    layers: [{ axes, values, colours: COLOURS.map, low: -limit, high: limit, disputed }],
    solid: outlined ? solidOf(outlined) : null, grid: lastTwo(head.grid),
    bar: { colours: COLOURS.map, low: -limit, high: limit, label: head.label } };
}

/** Return a map over the input: the stronger a cell, the more it covers. */
export function overView(answer, values, { limit, disputed = null }) {
  const { head } = answer;
  const input = channelOf(answer);
  const read = { axes: lastTwo(head.cells), values, unit: head.label.split(" per cell")[0].replace(/^.* in /, "") };
  const title = isSignal(head) ? "Map behind the signal" : "Map over the input";
  const bar = { colours: COLOURS.map, low: -limit, high: limit, label: head.label };
  const words = `${title}: ${head.title}`;
  if (isSignal(head)) {
    return { title, words, axes: head.grid, bands: { values, axis: head.cells[0], limit, disputed }, end: head.end, bar, read,
      curves: [{ values: input.values, colour: "#1a1a1a", thick: 0.9 }], range: widened(spanOf(input.values)), yLabel: input.label };
  }
  const solid = solidOf(answer);
  const kept = inside(input.values, solid);
  const [low, high] = spanOf(kept);
  const axes = lastTwo(head.grid);
  return { title, words, axes, end: head.end, bar, read, solid, grid: axes, layers: [
    { axes, values: kept, colours: COLOURS.below, low, high },
    { axes: lastTwo(head.cells), values, colours: COLOURS.map, low: -limit, high: limit, over: true, disputed }] };
}
