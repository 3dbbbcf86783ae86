// Signals: curves of any number of samples, and what each cell along time carries.

import { DIVERGING, css } from "./colours.js";

/** Draw a curve; of many samples a pixel, the lowest and the highest. */
export function drawCurve(context, { x, y, box, shown }, { values, colour, thick = 1 }) {
  const [axis] = shown.axes;
  const count = values.length;
  const low = axis.edges[0];
  const step = (axis.edges[axis.edges.length - 1] - low) / count;
  context.save();
  context.beginPath();
  context.rect(box.left, box.top, box.width, box.height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = thick;
  context.lineJoin = "round";
  context.beginPath();
  if (count <= 2 * box.width) {
    for (let place = 0; place < count; place++) {
      const point = [x.at(low + (place + 0.5) * step), y.at(values[place])];
      if (place) context.lineTo(...point);
      else context.moveTo(...point);
    }
  } else {
    for (let pixel = 0; pixel < box.width; pixel++) {
      const begin = Math.floor((pixel * count) / box.width);
      const end = Math.max(begin + 1, Math.floor(((pixel + 1) * count) / box.width));
      let [least, most] = [Infinity, -Infinity];
      for (let place = begin; place < end; place++) {
        if (values[place] < least) least = values[place];
        if (values[place] > most) most = values[place];
      }
      context.lineTo(box.left + pixel, y.at(most));
      context.lineTo(box.left + pixel + 0.5, y.at(least));
    }
  }
  context.stroke();
  context.restore();
}

/** Return cells as they are drawn: of many a pixel the one that carries most. */
function drawn(x, box, values, edges) {
  const found = [];
  for (let cell = 0; cell < values.length; cell++) {
    const left = x.at(edges[cell]);
    const last = found[found.length - 1];
    if (last && left - last.left < 0.75) {
      if (Math.abs(values[cell]) > Math.abs(values[last.cell])) last.cell = cell;
      last.right = x.at(edges[cell + 1]);
    } else found.push({ cell, left, right: x.at(edges[cell + 1]) });
  }
  return found;
}

/** Draw cells as bands over the whole height, or as bars as high as what they carry. */
export function drawBars(context, { x, y, box }, { values, axis, limit, disputed }, { full }) {
  const zero = y.at(0);
  const cells = drawn(x, box, values, axis.edges);
  for (const { cell, left, right } of cells) {
    context.fillStyle = disputed && disputed[cell] ? "#b4b4b4" : css(DIVERGING, 0.5 + (0.5 * values[cell]) / (limit || 1));
    const width = Math.max(0.75, right - left) + 0.3;
    const top = y.at(values[cell]);
    if (full) context.fillRect(left, box.top, width, box.height);
    else context.fillRect(left, Math.min(top, zero), width, Math.abs(top - zero));
  }
  if (full) return;
  context.strokeStyle = "#1a1a1a";
  context.lineWidth = 0.8;
  context.beginPath();
  if (cells.length === values.length) {
    for (const { cell, left, right } of cells) {
      context.lineTo(left, y.at(values[cell]));
      context.lineTo(right, y.at(values[cell]));
    }
  }
  context.moveTo(box.left, zero);
  context.lineTo(box.left + box.width, zero);
  context.stroke();
}
