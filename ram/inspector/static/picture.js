// A picture of a plane or of a signal, with axes in units, a colour bar, and a frame or a brush to draw on it.

import { DIVERGING, GREY, SEQUENTIAL, themed } from "./colours.js";
import { Scale, drawAxes, drawBar, growing, innerWidth, ready } from "./axes.js";
import { make, number } from "./dom.js";
import { drawBars, drawCurve } from "./signal.js";

const LEFT = 50;
const RIGHT = 14;
const TOP = 6;
const BELOW = 38;
const BAR = 58;
const TALLEST = 460;

export class Picture {
  /**
   * `listeners`: region(bounds) when a frame was drawn, in the shown units; stroke(path, done) while a brush is drawn;
   * read(text) what lies under the pointer.
   */
  constructor(host, listeners = {}) {
    this.title = make("figcaption");
    this.canvas = make("canvas", { role: "img" });
    this.figure = make("figure", { class: "card" }, this.title, this.canvas);
    this.listeners = listeners;
    this.brush = null;
    host.append(this.figure);
    this.listen();
  }

  /** Show something: {title, words, cells, axes: [y, x] or [x], layers, bar, length, curve...}; see sample.js. */
  show(shown) {
    this.shown = shown;
    this.figure.hidden = !shown;
    if (!shown) return;
    this.title.textContent = shown.title;
    this.canvas.setAttribute("aria-label", shown.words);
    this.draw();
  }

  draw() {
    if (!this.shown || this.figure.hidden) return;
    if (this.shown.axes.length === 1) this.drawSignal();
    else this.drawPlane();
    this.drawFrame();
  }

  drawPlane() {
    const [yAxis, xAxis] = this.shown.axes;
    const width = innerWidth(this.figure);
    const span = (axis) => axis.edges[axis.edges.length - 1] - axis.edges[0];
    let across = width - LEFT - RIGHT;
    let up = Math.round(0.95 * across);
    if (xAxis.unit === yAxis.unit) {
      up = Math.round((across * span(yAxis)) / span(xAxis));
      if (up > TALLEST) [across, up] = [Math.round((TALLEST * span(xAxis)) / span(yAxis)), TALLEST];
    } else up = Math.min(up, 320);
    const { context, ratio } = ready(this.canvas, TOP + up + BELOW + (this.shown.bar ? BAR : 0));
    this.context = context;
    this.box = { left: LEFT, top: TOP, width: across, height: up };
    const { left, top } = this.box;
    this.x = new Scale(xAxis.edges[0], xAxis.edges[xAxis.edges.length - 1], left, left + across);
    this.y = new Scale(yAxis.edges[0], yAxis.edges[yAxis.edges.length - 1], top + up, top, { log: growing(yAxis) });
    context.drawImage(this.image(Math.round(across * ratio), Math.round(up * ratio)), left, top, across, up);
    this.drawEnd();
    drawAxes(context, this.box, this.x, this.y, xAxis.label, yAxis.label);
    const { bar } = this.shown;
    if (bar) drawBar(context, left, top + up + BELOW, across, bar.colours, bar.low, bar.high, bar.label);
  }

  /** Return the layers as one image: cells where they lie and as far as they extend, nothing interpolated. */
  image(width, height) {
    const image = new ImageData(width, height);
    const pixels = image.data;
    pixels.fill(255);
    for (const layer of this.shown.layers) {
      const [yAxis, xAxis] = layer.axes;
      const columns = xAxis.edges.length - 1;
      const xs = places(xAxis.edges, width, (pixel) => this.x.back(this.box.left + ((pixel + 0.5) * this.box.width) / width));
      const ys = places(yAxis.edges, height, (pixel) => this.y.back(this.box.top + ((pixel + 0.5) * this.box.height) / height));
      const size = layer.high - layer.low || 1;
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++) {
          const cell = ys[row] * columns + xs[column];
          const value = layer.values[cell];
          if (!(value === value)) continue;
          let cover = 1;
          if (layer.over) cover = 0.9 * Math.sqrt(Math.min(1, Math.abs(value) / layer.high));
          const at = 4 * (row * width + column);
          if (layer.disputed && layer.disputed[cell]) {
            const stripe = (row + column) % 8 < 3 ? 150 : 205;
            for (let part = 0; part < 3; part++) pixels[at + part] = stripe;
            continue;
          }
          const step = 3 * Math.max(0, Math.min(255, Math.round((255 * (value - layer.low)) / size)));
          for (let part = 0; part < 3; part++) {
            pixels[at + part] += cover * (layer.colours[step + part] - pixels[at + part]);
          }
        }
      }
    }
    if (this.shown.solid) outline(this.shown, pixels, width, height);
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  drawSignal() {
    const { shown } = this;
    const [xAxis] = shown.axes;
    const width = innerWidth(this.figure);
    const up = shown.height || 130;
    const { context } = ready(this.canvas, TOP + up + BELOW + (shown.bar ? BAR : 0));
    this.context = context;
    this.box = { left: LEFT, top: TOP, width: width - LEFT - RIGHT, height: up };
    this.x = new Scale(xAxis.edges[0], xAxis.edges[xAxis.edges.length - 1], LEFT, LEFT + this.box.width);
    const [low, high] = shown.range;
    this.y = new Scale(low, high, TOP + up, TOP);
    context.fillStyle = "#ffffff";
    context.fillRect(this.box.left, this.box.top, this.box.width, up);
    if (shown.bands) drawBars(context, this, shown.bands, { full: true });
    if (shown.bars) drawBars(context, this, shown.bars, { full: false });
    for (const curve of shown.curves || []) drawCurve(context, this, curve);
    this.drawEnd();
    drawAxes(context, this.box, this.x, this.y, xAxis.label, shown.yLabel);
    if (shown.bar) drawBar(context, LEFT, TOP + up + BELOW, this.box.width, shown.bar.colours, shown.bar.low, shown.bar.high, shown.bar.label);
  }

  /** Cover what lies behind the end of a padded sample. */
  drawEnd() {
    const { end } = this.shown;
    if (end === null || end === undefined) return;
    const from = this.x.at(end);
    this.context.fillStyle = "rgba(225,225,225,.8)";
    this.context.fillRect(from, this.box.top, this.box.left + this.box.width - from, this.box.height);
  }

  drawFrame() {
    const bounds = this.shown.bounds;
    const { context } = this;
    if (bounds) {
      const axes = this.shown.axes;
      const xs = bounds[axes[axes.length - 1].name] || [this.x.low, this.x.high];
      const ys = (axes.length === 2 && bounds[axes[0].name]) || null;
      const left = Math.max(this.box.left, this.x.at(xs[0]));
      const right = Math.min(this.box.left + this.box.width, this.x.at(xs[1]));
      const top = ys ? Math.max(this.box.top, this.y.at(ys[1])) : this.box.top;
      const bottom = ys ? Math.min(this.box.top + this.box.height, this.y.at(ys[0])) : this.box.top + this.box.height;
      for (const [colour, thick] of [["#ffffff", 4], ["#000000", 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = thick;
        context.strokeRect(left, top, right - left, bottom - top);
      }
    }
    if (this.path) {
      context.strokeStyle = "rgba(255,190,0,.8)";
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = Math.max(2, 2 * Math.abs(this.x.at(this.brush.radius) - this.x.at(0)));
      context.globalAlpha = 0.5;
      context.beginPath();
      this.path.forEach(([y, x], place) => (place ? context.lineTo(this.x.at(x), this.y.at(y)) : context.moveTo(this.x.at(x), this.y.at(y))));
      if (this.path.length === 1) context.lineTo(this.x.at(this.path[0][1]) + 0.1, this.y.at(this.path[0][0]));
      context.stroke();
      context.globalAlpha = 1;
    }
  }

  /** Paint with a brush of this radius in place of drawing frames; null: frames again. */
  paint(brush) {
    this.brush = brush;
    this.canvas.style.touchAction = brush ? "none" : "pan-y";
  }

  listen() {
    const { canvas } = this;
    canvas.style.touchAction = "pan-y";
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.shown || event.button || !this.isInside(event)) return;
      canvas.setPointerCapture(event.pointerId);
      this.from = this.place(event);
      if (this.brush && this.shown.axes.length === 2) this.path = [this.from];
      if (this.path) this.listeners.stroke?.(this.path, false);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.shown) return;
      this.read(event);
      if (!this.from) return;
      const here = this.place(event);
      if (this.path) {
        const last = this.path[this.path.length - 1];
        if (Math.hypot(here[0] - last[0], here[1] - last[1]) < this.brush.radius / 4) return;
        this.path.push(here);
        this.draw();
        this.listeners.stroke?.(this.path, false);
      } else {
        this.shown.bounds = this.bounds(this.from, here);
        this.draw();
      }
    });
    const end = (event) => {
      if (!this.from) return;
      const from = this.from;
      this.from = null;
      if (this.path) {
        const path = this.path;
        this.path = null;
        this.draw();
        this.listeners.stroke?.(path, true);
        return;
      }
      const here = this.place(event);
      const wide = Math.abs(this.x.at(here[1]) - this.x.at(from[1])) > 3;
      if (wide) this.listeners.region?.(this.bounds(from, here));
      else this.listeners.region?.(null);
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", () => { this.from = this.path = null; this.draw(); });
    canvas.addEventListener("pointerleave", () => this.listeners.read?.(""));
  }

  isInside(event) {
    const { left, top, width, height } = this.box;
    const { offsetX, offsetY } = event;
    return offsetX >= left - 4 && offsetX <= left + width + 4 && offsetY >= top - 4 && offsetY <= top + height + 4;
  }

  /** Return [y, x] under the pointer, in the shown units, within the axes. */
  place(event) {
    const clip = (scale, value) => Math.min(scale.high, Math.max(scale.low, value));
    return [clip(this.y, this.y.back(event.offsetY)), clip(this.x, this.x.back(event.offsetX))];
  }

  bounds(from, to) {
    const axes = this.shown.axes;
    const found = { [axes[axes.length - 1].name]: [Math.min(from[1], to[1]), Math.max(from[1], to[1])] };
    if (axes.length === 2) found[axes[0].name] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
    return found;
  }

  read(event) {
    if (!this.listeners.read || !this.isInside(event)) return;
    const [y, x] = this.place(event);
    const { axes } = this.shown;
    const words = [`${axes[axes.length - 1].name} ${number(x, 3)} ${axes[axes.length - 1].unit}`];
    if (axes.length === 2) words.push(`${axes[0].name} ${number(y, 3)} ${axes[0].unit}`);
    const layer = this.shown.read;
    if (layer) {
      const at = layer.axes.map((axis, place) => cellOf(axis.edges, place === layer.axes.length - 1 ? x : y));
      const cell = at.length === 2 ? at[0] * (layer.axes[1].edges.length - 1) + at[1] : at[0];
      words.push(`${number(layer.values[cell], 3)} ${layer.unit}`);
    }
    this.listeners.read(words.join(", "));
  }
}

function cellOf(edges, value) {
  let low = 0;
  let high = edges.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edges[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

function places(edges, count, back) {
  const found = new Uint32Array(count);
  for (let pixel = 0; pixel < count; pixel++) found[pixel] = cellOf(edges, back(pixel));
  return found;
}

/** Draw the border between material and void. */
function outline({ solid, grid }, pixels, width, height) {
  const columns = grid[1].edges.length - 1;
  const rows = grid[0].edges.length - 1;
  const at = (row, column) => solid[Math.min(rows - 1, Math.floor(((height - 1 - row) * rows) / height)) * columns + Math.floor((column * columns) / width)];
  for (let row = 0; row < height - 1; row++) {
    for (let column = 0; column < width - 1; column++) {
      const here = at(row, column);
      if (here !== at(row + 1, column) || here !== at(row, column + 1)) {
        const place = 4 * (row * width + column);
        pixels[place] = pixels[place + 1] = pixels[place + 2] = 60;
      }
    }
  }
}

export const COLOURS = { map: DIVERGING, input: SEQUENTIAL, below: GREY };
export const soft = () => themed("--soft");
