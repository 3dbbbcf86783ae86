// What if: paint on the input, or change a box of it, and see what the net makes of it, and what physics does.

import { ask, latest, send } from "./api.js";
import { complain, fill, make, menu, number, table } from "./dom.js";
import { addTab } from "./panels.js";
import { Picture } from "./picture.js";
import { onStroke } from "./sample.js";
import { on, questionFor, state, tell } from "./state.js";
import { isSignal, mapView } from "./views.js";

const tool = { do: "set", channel: null, value: null, radius: null, solid: true };
const solved = new Map(); // what the solver said, by sample and edits
const parts = {};

const planes = () => !state.info.spectrogram && state.info.axes.input.length > 1;

export function startWhatIf() {
  addTab("whatif", "What if", "map edits", draw);
  on("row", () => { state.edits = []; state.stroke = null; parts.solverMessage && complain(parts.solverMessage, null); });
  on("tab row target", setBrush);
  onStroke((path, done) => {
    const stroke = { do: tool.do, path: thinned(path), radius: tool.radius, solid: tool.solid && tool.do !== "copy" && tool.do !== "erase" };
    if (!["erase", "copy"].includes(tool.do)) Object.assign(stroke, { channel: tool.channel, value: tool.value });
    state.painting = true;
    if (done) change(stroke);
    else {
      state.stroke = stroke;
      tell("edits");
    }
    state.painting = false;
  });
}

const thinned = (path) => {
  const every = Math.ceil(path.length / 2000);
  return path.filter((_, place) => place % every === 0 || place === path.length - 1);
};

function change(edit) {
  state.stroke = null;
  state.edits = [...state.edits, edit];
  state.painting = true;
  tell("edits");
  state.painting = false;
}

function setBrush() {
  const painting = state.tab === "whatif" && planes();
  state.brush = painting ? { radius: (tool.radius ?? defaults().radius) / state.info.axes.input.at(-1).factor } : null;
  tell("brush");
}

/** Return a brush that suits the input: a twentieth of it wide, the largest value of the channel that is drawn. */
function defaults() {
  const axis = state.info.axes.input.at(-1);
  const channels = Object.keys(state.info.input_channels);
  tool.channel ??= channels[channels.length - 1];
  tool.radius ??= Number((0.04 * (axis.edges[axis.edges.length - 1] - axis.edges[0])).toPrecision(2));
  if (tool.value === null && state.map) {
    const most = state.map.arrays.input.reduce((size, value) => Math.max(size, value), 0);
    tool.value = Number((most || 1).toPrecision(2));
  }
  return tool;
}

function draw(panel) {
  if (planes()) defaults();
  if (!parts.body) build(panel);
  parts.undo.disabled = parts.again.disabled = !state.edits.length;
  if (!state.map) return;
  const { head } = state.map;
  const key = solvedKey();
  const [physics, before] = [solved.get(key), solved.get(solvedKey([]))];
  const heads = physics ? ["target", "net before", "net now", "net: change", "solver before", "solver now", "solver: change", "net − solver, now"] : ["target", "before", "now", "change"];
  const rows = head.targets.map((one) => {
    const known = physics?.[one.name];
    const old = before?.[one.name];
    if (!physics) return [one.name, one.before, one.predicted, one.change];
    if (!known) return [one.name, one.before, one.predicted, one.change, "–", "–", "–", "–"];
    const unit = one.unit === "1" ? "" : ` ${one.unit}`;
    const signed = (value) => `${value > 0 ? "+" : ""}${number(value, 3)}${unit}`;
    return [one.name, one.before, one.predicted, one.change, old ? old.said : "–", known.said, old ? signed(known.value - old.value) : "–", signed(one.value - known.value)];
  });
  const shown = head.targets.find((one) => one.name === state.target);
  parts.said.textContent = head.edited ? `${state.target}: ${shown.change} by the net, from ${shown.before} to ${shown.predicted}${shown.outside ? "; the edited input is unlike what the net was trained on" : ""}` : `${state.target}: ${shown.predicted}, not edited`;
  const stale = state.edits.length > 0 && !physics && [...solved.keys()].some((one) => one.startsWith(`${state.row}:`));
  fill(parts.table, table(stale ? "Net (the solver has not been asked about this edit)" : physics ? "Net against physics" : "What the net makes of it", heads, rows));
  parts.difference.hidden = !state.edits.length || state.stroke;
  if (state.edits.length && !state.stroke) fetchDifference();
}

const solvedKey = (edits = state.edits) => `${state.row}:${JSON.stringify(edits)}`;

function build(panel) {
  parts.said = make("p", { class: "number", role: "status" });
  parts.undo = make("button", { type: "button", text: "Undo", onclick: () => { state.edits = state.edits.slice(0, -1); tell("edits"); } });
  parts.again = make("button", { type: "button", text: "Start over", onclick: () => { state.edits = []; tell("edits"); } });
  parts.solve = make("button", { type: "button", class: "first", text: "Ask the solver", onclick: askSolver, disabled: !state.info.simulator });
  parts.solverMessage = make("p", { class: "message", role: "alert", hidden: true });
  parts.table = make("div");
  parts.difference = make("div", { class: "pictures narrow", hidden: true });
  parts.picture = new Picture(parts.difference, {});
  on("theme", () => parts.picture.draw());
  parts.message = make("p", { class: "message", role: "alert", hidden: true });
  const why = state.info.simulator ? `asks ${state.info.simulator}` : "start with --simulator MODULE:FUNCTION to hold the net against physics";
  parts.body = make("div", { class: "card stack" }, planes() ? brushTools() : boxTools(), parts.message,
    make("div", { class: "line" }, parts.undo, parts.again, parts.solve, make("span", { class: "hint", text: why })), parts.solverMessage, parts.said, parts.table);
  panel.append(parts.body, parts.difference);
}

/** Tools for designs: a brush, which paints on the picture of the input. */
function brushTools() {
  const units = state.info.input_channels;
  const value = make("input", { type: "number", step: "any", value: tool.value, oninput: () => { if (value.value !== "") tool.value = Number(value.value); } });
  const unit = make("span", { class: "unit", text: unitOf(units[tool.channel]) });
  const radius = make("input", { type: "number", min: 0, step: "any", value: tool.radius, oninput: () => { tool.radius = Number(radius.value) || 0; setBrush(); } });
  const solid = make("input", { type: "checkbox", checked: tool.solid, onchange: () => { tool.solid = solid.checked; } });
  const valued = make("label", { text: "Value" }, make("span", { class: "with-unit" }, value, unit));
  const channel = menu("Channel", Object.keys(units).map((name) => [name, name]), tool.channel, (name) => { tool.channel = name; unit.textContent = tool.do === "times" ? "×" : unitOf(units[name]); });
  const material = make("label", { class: "check" }, solid, "only where there is material");
  const choose = menu("Brush", [["set", "sets to"], ["add", "adds"], ["times", "multiplies by"], ["erase", "takes material away"], ["copy", "puts what lies where the stroke begins"]], tool.do, (name) => {
    tool.do = name;
    const plain = !["erase", "copy"].includes(name);
    for (const one of [valued, channel, material]) one.hidden = !plain;
    unit.textContent = name === "times" ? "×" : unitOf(units[tool.channel]);
    const usual = { times: 1.2, add: Number((0.2 * (tool.value || 1)).toPrecision(1)) }[name];
    if (usual !== undefined) { tool.value = usual; value.value = usual; }
  });
  const axis = state.info.axes.input.at(-1);
  return make("div", {}, make("p", { class: "hint", text: "Paint on the input, above." }), make("div", { class: "line" }, choose, channel, valued,
    make("label", { text: "Radius" }, make("span", { class: "with-unit" }, radius, make("span", { class: "unit", text: axis.unit }))), material,
    make("button", { type: "button", text: "Do it in the whole region", title: "In the box whose bounds stand above", onclick: () => changeBox({ do: tool.do === "copy" ? "set" : tool.do, channel: tool.channel, value: tool.value, solid: tool.solid && tool.do !== "erase" }) })));
}

const unitOf = (unit) => (unit === "1" ? "" : unit);

/** Tools for signals and spectrograms: a box is muted, made louder, or all else is. */
function boxTools() {
  const channels = Object.keys(state.info.input_channels);
  const gain = make("input", { type: "number", step: "any", value: 0.5 });
  let channel = "";
  const edit = (words) => () => changeBox({ do: "times", ...(channel ? { channel } : {}), ...words });
  return make("div", {}, make("p", { class: "hint", text: "Drag a frame on a picture above, or write its bounds, then:" }), make("div", { class: "line" },
    channels.length > 1 ? menu("Sensor", [["", "all"], ...channels.map((name) => [name, name])], "", (value) => { channel = value; }) : null,
    make("button", { type: "button", text: "Mute the region", onclick: edit({ value: 0 }) }),
    make("button", { type: "button", text: "Keep only the region", onclick: edit({ value: 0, outside: true }) }),
    make("label", { text: "Times" }, gain), make("button", { type: "button", text: "Multiply the region", onclick: () => edit({ value: Number(gain.value) })() })));
}

function changeBox(edit) {
  if (!state.bounds) return complain(parts.message, new Error("First drag a frame on a picture, or write the bounds of a region above."));
  complain(parts.message, null);
  return change({ ...edit, bounds: state.bounds });
}

const fetchDifference = latest(async (signal) => {
  try {
    const answer = await ask("comparison", { ...questionFor(state.row), other: state.row }, signal);
    parts.difference.className = isSignal(answer.head) ? "pictures wide" : "pictures narrow";
    parts.picture.show(mapView(answer, answer.arrays.map, { title: "What changed on the map", limit: answer.head.limit || 1 }));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    parts.difference.hidden = true; // a method whose maps cannot be subtracted
  }
}, { hurry: false });

const fetchSolved = latest(async (signal) => {
  parts.solve.disabled = true;
  parts.solve.textContent = "The solver works …";
  try {
    for (const edits of [[], state.edits]) {
      const key = solvedKey(edits);
      if (!solved.has(key)) solved.set(key, (await send("solve", { sample: state.row, edits }, signal)).targets);
    }
    complain(parts.solverMessage, null);
    tell("map");
  } catch (error) {
    if (error.name === "AbortError") throw error;
    complain(parts.solverMessage, error);
  } finally {
    parts.solve.disabled = false;
    parts.solve.textContent = "Ask the solver";
  }
});

function askSolver() { fetchSolved(); }
