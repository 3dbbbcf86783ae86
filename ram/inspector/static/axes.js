// Axes of pictures: from data to pixels and back, ticks, labels.

import { themed } from "./colours.js";

export const FONT = '11px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

/** Whether bands grow with their frequency: then a logarithm gives them about the same height. */
export function growing(axis) {
  const { edges } = axis;
  const last = edges.length - 1;
  return axis.unit.endsWith("Hz") && edges[0] > 0 && edges[last] - edges[last - 1] > 4 * (edges[1] - edges[0]);
}

/** A scale from data to pixels; `flip`: upwards. */
export class Scale {
  constructor(low, high, begin, end, { log = false } = {}) {
    Object.assign(this, { low, high, begin, end, log });
  }

  at(value) {
    const share = this.log ? Math.log(value / this.low) / Math.log(this.high / this.low) : (value - this.low) / (this.high - this.low || 1);
    return this.begin + share * (this.end - this.begin);
  }

  back(pixel) {
    const share = (pixel - this.begin) / (this.end - this.begin || 1);
    return this.log ? this.low * (this.high / this.low) ** share : this.low + share * (this.high - this.low);
  }

  ticks(most) {
    if (this.log) {
      const found = [];
      for (let power = Math.floor(Math.log10(this.low)); power <= Math.log10(this.high); power++) {
        for (const step of [1, 2, 5]) found.push(step * 10 ** power);
      }
      return found.filter((tick) => tick >= this.low && tick <= this.high);
    }
    const tried = [most, 4, 6].map((count) => ticksBetween(this.low, this.high, count));
    return tried.find((ticks) => ticks.length > 2) || tried[2];
  }
}

export function ticksBetween(low, high, most) {
  const raw = (high - low) / Math.max(1, most) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((one) => one * power >= raw * 0.999) * power;
  const found = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9 * step; tick += step) {
    found.push(Math.abs(tick) < 1e-9 * step ? 0 : tick);
  }
  return found;
}

/** Return ticks as texts, with as many decimals as their distance asks for. */
export function texts(ticks) {
  if (ticks.length < 2) return ticks.map((tick) => String(Number(tick.toPrecision(3))).replace("-", "−"));
  const step = Math.min(...ticks.slice(1).map((tick, number) => tick - ticks[number]));
  const size = Math.max(...ticks.map(Math.abs));
  if (size >= 1e5 || size < 1e-3) return ticks.map((tick) => (tick ? tick.toExponential(1).replace("e+", "e") : "0").replace("-", "−"));
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return ticks.map((tick) => (Number.isInteger(tick) && step >= 1 ? String(tick) : tick.toFixed(decimals)).replace("-", "−"));
}

/** Return a canvas' context in CSS pixels, cleared, with the size that its place has. */
export function ready(canvas, height) {
  const width = Math.max(120, Math.floor(canvas.parentElement.clientWidth - padding(canvas.parentElement)));
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  context.clearRect(0, 0, width, height);
  Object.assign(context, { font: FONT, lineWidth: 1, lineCap: "butt", lineJoin: "miter", globalAlpha: 1 });
  return { context, width, ratio };
}

export function innerWidth(element) {
  return Math.max(120, Math.floor(element.clientWidth - padding(element)));
}

function padding(element) {
  const style = getComputedStyle(element);
  return parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
}

/** Draw frame, ticks and labels around a box. */
export function drawAxes(context, box, x, y, xLabel, yLabel) {
  const ink = themed("--ink");
  const soft = themed("--soft");
  context.save();
  context.strokeStyle = soft;
  context.lineWidth = 1;
  context.strokeRect(box.left + 0.5, box.top + 0.5, box.width - 1, box.height - 1);
  context.fillStyle = soft;
  context.textAlign = "center";
  context.textBaseline = "top";
  const across = x.ticks(Math.max(2, box.width / 55));
  texts(across).forEach((text, number) => {
    const at = x.at(across[number]);
    context.fillRect(Math.round(at), box.top + box.height, 1, 4);
    context.fillText(text, at, box.top + box.height + 6);
  });
  context.textAlign = "right";
  context.textBaseline = "middle";
  const up = y ? y.ticks(Math.max(2, box.height / 30)) : [];
  texts(up).forEach((text, number) => {
    const at = y.at(up[number]);
    context.fillRect(box.left - 4, Math.round(at), 4, 1);
    context.fillText(text, box.left - 6, at);
  });
  context.fillStyle = ink;
  context.textAlign = "center";
  context.textBaseline = "top";
  context.fillText(xLabel, box.left + box.width / 2, box.top + box.height + 21);
  if (yLabel) {
    context.translate(1, box.top + box.height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(yLabel, 0, 0);
  }
  context.restore();
}

/** Draw a colour bar below a picture, with its label in as many lines as it needs. */
export function drawBar(context, left, top, width, colours, low, high, label) {
  context.save();
  for (let step = 0; step < width; step++) {
    const at = 3 * Math.round((255 * step) / Math.max(1, width - 1));
    context.fillStyle = `rgb(${colours[at]},${colours[at + 1]},${colours[at + 2]})`;
    context.fillRect(left + step, top, 1.5, 9);
  }
  context.strokeStyle = themed("--soft");
  context.strokeRect(left + 0.5, top + 0.5, width - 1, 8);
  context.fillStyle = themed("--soft");
  context.textBaseline = "top";
  context.textAlign = "center";
  const scale = new Scale(low, high, left, left + width);
  const ticks = scale.ticks(Math.max(2, width / 60));
  texts(ticks).forEach((text, number) => {
    const at = scale.at(ticks[number]);
    const half = context.measureText(text).width / 2;
    context.fillRect(Math.round(at), top + 9, 1, 3);
    context.fillText(text, Math.min(Math.max(at, left - 20 + half), left + width + 6 - half), top + 13);
  });
  context.fillStyle = themed("--ink");
  lines(context, label, width + 40).forEach((line, number) => context.fillText(line, left + width / 2 - 10, top + 28 + 13 * number));
  context.restore();
}

export function lines(context, text, width) {
  const found = [""];
  for (const word of text.split(" ")) {
    const longer = found[found.length - 1] ? `${found[found.length - 1]} ${word}` : word;
    if (context.measureText(longer).width > width && found[found.length - 1]) found.push(word);
    else found[found.length - 1] = longer;
  }
  return found.slice(0, 3);
}
