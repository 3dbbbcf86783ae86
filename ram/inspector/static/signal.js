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

/** Draw cells as bands over the whole height, or as bars as high as what they carry. */
export function drawBars(context, { x, y, box }, { values, axis, limit, disputed }, { full }) {
  const zero = y.at(0);
  for (let cell = 0; cell < values.length; cell++) {
    const left = x.at(axis.edges[cell]);
    const width = Math.max(0.75, x.at(axis.edges[cell + 1]) - left);
    context.fillStyle = disputed && disputed[cell] ? "#b4b4b4" : css(DIVERGING, 0.5 + (0.5 * values[cell]) / (limit || 1));
    if (full) context.fillRect(left, box.top, width + 0.3, box.height);
    else {
      const top = y.at(values[cell]);
      context.fillRect(left, Math.min(top, zero), width, Math.abs(top - zero));
    }
  }
  if (!full) {
    context.strokeStyle = "#1a1a1a";
    context.lineWidth = 0.8;
    context.beginPath();
    for (let cell = 0; cell < values.length; cell++) {
      context.lineTo(x.at(axis.edges[cell]), y.at(values[cell]));
      context.lineTo(x.at(axis.edges[cell + 1]), y.at(values[cell]));
    }
    context.moveTo(box.left, zero);
    context.lineTo(box.left + box.width, zero);
    context.stroke();
  }
}
