// The sample that is shown: its numbers, menus, pictures, and what a region of its map carries.

import { ask, latest } from "./api.js";
import { byId, complain, fill, make, menu, number } from "./dom.js";
import { Picture } from "./picture.js";
import { channelsShown, methodShown, on, questionFor, state, tell } from "./state.js";
import { channelOf, inputView, isSignal, isVolume, mapView, overView, sliceOf } from "./views.js";

const REFERENCES = { "train-mean": "training mean", "train-mean-design": "mean training input", baseline: "the net's own zero", "file-design": "mean design, as physics" };
const pictures = {};
const limits = new Map();

export function startSample() {
  const host = byId("pictures");
  const listeners = { region: (bounds) => chooseRegion(bounds), read: (text) => { byId("readout").textContent = text; } };
  pictures.input = new Picture(host, { ...listeners, stroke: (path, done) => tellStroke(path, done) });
  for (const name of ["map", "over", "physics"]) pictures[name] = new Picture(host, listeners);
  on("row target choices edits", load);
  on("kept", drawChoices);
  on("target choices", drawChoices);
  on("map", () => {
    if (isVolume(state.map.head) && !byId("choices").querySelector("input")) drawChoices();
  });
  on("map", () => { drawFacts(); drawPictures(); drawRegionForm(); askRegion(); });
  on("view", drawPictures);
  on("theme", () => Object.values(pictures).forEach((one) => one.draw()));
  on("bounds", () => { drawBounds(); drawRegionForm(); askRegion(); });
  on("brush", () => pictures.input.paint(state.brush));
  new ResizeObserver(() => Object.values(pictures).forEach((one) => one.draw())).observe(host);
  byId("region").addEventListener("submit", (event) => { event.preventDefault(); readRegionForm(); });
}

let strokes = () => {};
/** Hand strokes of the brush on the input to `act(path, done)`, in the data's units. */
export function onStroke(act) { strokes = act; }
function tellStroke(path, done) {
  const { head } = state.map;
  const [y, x] = head.grid.slice(-2);
  const first = isVolume(head) ? [middle(head.grid[0], sliceOf(state.map)) * head.grid[0].factor] : [];
  strokes(path.map((point) => [...first, point[0] * y.factor, point[1] * x.factor]), done);
}
const middle = (axis, cell) => 0.5 * (axis.edges[cell] + axis.edges[cell + 1]);

const fetchMap = latest(async (signal) => {
  const host = byId("pictures");
  const busy = setTimeout(() => { host.setAttribute("aria-busy", "true"); host.classList.add("busy"); }, 120);
  try {
    const answer = await ask("map", questionFor(state.row), signal);
    complain(byId("message"), null);
    state.map = answer;
    tell("map");
  } catch (error) {
    if (error.name === "AbortError") throw error;
    state.map = null;
    complain(byId("message"), error);
    byId("map-title").textContent = "";
    byId("sample-title").textContent = state.samples.ids[state.row];
    fill(byId("facts"));
    for (const one of Object.values(pictures)) one.show(null);
    tell("nomap");
  } finally {
    clearTimeout(busy);
    if (!signal.aborted) {
      host.setAttribute("aria-busy", "false");
      host.classList.remove("busy");
    }
  }
});

const fetchPainted = latest(async (signal) => {
  try {
    state.map = await ask("map", questionFor(state.row, [...state.edits, ...(state.stroke ? [state.stroke] : [])]), signal);
    complain(byId("message"), null);
    tell("map");
  } catch (error) {
    if (error.name === "AbortError") throw error;
    complain(byId("message"), error);
  }
}, { hurry: false });

function load() {
  if (state.stroke || state.painting) fetchPainted();
  else fetchMap();
}

function drawFacts() {
  const { head } = state.map;
  byId("sample-title").textContent = head.edited ? `${head.id}, edited` : head.id;
  document.title = `${head.id} · ${state.info.run}`;
  const of = head.targets.find((one) => one.name === state.target);
  const { samples } = state;
  const group = samples.groups[samples.arrays.group[state.row]];
  const part = samples.parts[samples.arrays.part[state.row]];
  const badge = (text, warn = false) => make("span", { class: warn ? "badge warn" : "badge", text });
  fill(byId("facts"),
    badge(`predicted ${of.predicted}`),
    of.measured === "–" ? null : badge(head.edited ? `measured before editing ${of.measured}` : `measured ${of.measured}, error ${of.error}`),
    of.interval ? badge(`${number(100 * state.info.level, 3)} % interval ${of.interval}`) : null,
    of.spread === "–" ? null : badge(`members ± ${of.spread}`),
    part ? badge(part) : null, group ? badge(`group ${group}`) : null,
    of.outside ? badge("unlike what the net was trained on: trust it less", true) : null);
  const residual = head.residual ? `; ${head.residual} not accounted for` : "";
  const agreed = head.members ? `; ${head.members} members agree on the sign of ${Math.round(100 * head.agreed)} % of it` : "";
  byId("map-title").textContent = `${head.title} (${head.method}, ${head.grade}${residual}${agreed})`;
}

/** Return the limit of the colours: the map's own, or one that all maps of this kind share. */
export function limitOf(head) {
  const { scale, ...asked } = state.choices;
  if (scale === "own") return head.limit || 1;
  const key = JSON.stringify([state.target, { ...asked, shown: null, slice: null }]);
  const known = head.limit_shared ?? limits.get(key);
  if (known === undefined || known === null || known === 0) limits.set(key, head.limit || 1);
  return head.limit_shared || limits.get(key) || 1;
}

function drawPictures() {
  const answer = state.map;
  if (!answer) return;
  const { head, arrays } = answer;
  const limit = limitOf(head);
  const { disputed = null } = arrays;
  byId("pictures").className = isSignal(head) ? "pictures wide" : "pictures";
  const views = {
    input: inputView(answer),
    map: mapView(answer, arrays.map, { title: `Net: ${head.title.split(" = ").pop() === head.title ? head.said : changeOf(head)}`, limit, disputed, outlined: answer }),
    over: overView(answer, arrays.map, { limit, disputed }),
    physics: arrays.physics ? physicsView(answer, limit) : null,
  };
  byId("pictures").classList.toggle("four", Boolean(arrays.physics));
  for (const [name, view] of Object.entries(views)) {
    if (view) view.bounds = shownBounds(head);
    pictures[name].show(view);
  }
}

/** Return what physics says, in the colours of the net's map where that is possible. */
function physicsView(answer, limit) {
  const { head, arrays } = answer;
  const most = arrays.physics.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
  const own = state.choices.scale === "own" || most > 4 * limit;
  return mapView(answer, arrays.physics, { title: head.physics + (own ? ", own colours" : ""), limit: own ? most || 1 : limit, outlined: answer });
}

/** Return what the map's title says of the change: "+11.3 Hz against train-mean". */
function changeOf(head) {
  const found = /= (.*?) (-?[\d.e]+)(\s\S+)? ([+\-x]) ([\d.e]+)(\s.*)?$/.exec(head.title);
  return found ? `${found[4].replace("-", "−").replace("x", "×")}${found[4] === "x" ? " " : ""}${found[5]}${found[6] || ""} against ${REFERENCES[found[1]] || found[1]}` : head.said;
}

// --- menus

function drawChoices() {
  const { info, choices } = state;
  const method = methodShown();
  const set = (name) => (value) => { choices[name] = value; tell("choices"); };
  const look = (name) => (value) => { choices[name] = value; tell("view"); drawChoices(); };
  const own = info.references.map((name) => [name, REFERENCES[name] || name]);
  const kept = state.kept === null ? [] : [["kept", `sample ${state.samples.ids[state.kept]}`]];
  const methods = info.methods.filter((one) => choices.side !== "signal" || one.signal).map((one) => [one.name, `${one.name} (${one.grade})`]);
  const channels = Object.keys(channelsShown());
  const menus = [menu("Method", methods, method.name, set("method"), method.summary),
    menu("Compared with", [["", "the usual for the method"], ...own, ...kept], choices.reference, set("reference"))];
  if (method.layer) menus.push(menu("Layer", [["", "where it is pooled"], ...info.layers.map((name) => [name, name])], choices.layer, set("layer")));
  if (method.kind === "input" && channels.length > 1) {
    menus.push(menu("Map of channel", [["", "all together"], ...channels.map((name) => [name, name])], choices.channel, set("channel")));
  }
  if (method.name === "ram") menus.push(menu("Cells", [["1", "the net's own"], ["2", "2 × finer"], ["4", "4 × finer"]], String(choices.resolution), (value) => { choices.resolution = Number(value); tell("choices"); }));
  if (info.spectrogram) {
    menus.push(menu("Map over", [["", "the spectrogram"], ["signal", "the signal"]], choices.side, (value) => {
      choices.side = value;
      if (value === "signal" && !methodShown().signal) choices.method = "integrated-gradients";
      choices.channel = "";
      state.bounds = null;
      tell("choices");
    }));
  }
  if (channels.length > 1) menus.push(menu("Input shown", channels.map((name) => [name, name]), choices.shown ?? channels[channels.length - 1], look("shown")));
  if (state.map && isVolume(state.map.head)) menus.push(sliceMenu());
  menus.push(menu("Colours", [["shared", "one scale for all samples"], ["own", "each map its own"]], choices.scale, look("scale")));
  const focused = [...byId("choices").querySelectorAll("select")].indexOf(document.activeElement);
  fill(byId("choices"), ...menus);
  if (focused >= 0) byId("choices").querySelectorAll("select")[focused]?.focus();
}

function sliceMenu() {
  const [axis] = state.map.head.grid;
  const range = make("input", { type: "range", min: 0, max: axis.edges.length - 2, value: sliceOf(state.map),
    oninput: () => { state.choices.slice = Number(range.value); tell("view"); } });
  return make("label", { text: `Input at ${axis.label}` }, range);
}

// --- regions

function shownBounds(head) {
  if (!state.bounds) return null;
  const axes = Object.fromEntries(head.grid.map((axis) => [axis.name, axis]));
  return Object.fromEntries(Object.entries(state.bounds).filter(([name]) => name in axes).map(([name, pair]) => [name, pair.map((end) => end / axes[name].factor)]));
}

/** Take a region in the shown units; null: none. */
export function chooseRegion(bounds) {
  const axes = Object.fromEntries(state.map.head.grid.map((axis) => [axis.name, axis]));
  state.bounds = bounds && Object.fromEntries(Object.entries(bounds).map(([name, pair]) => [name, pair.map((end) => end * axes[name].factor)]));
  tell("bounds");
}

function drawBounds() {
  for (const one of Object.values(pictures)) {
    if (!one.shown) continue;
    one.shown.bounds = shownBounds(state.map.head);
    one.draw();
  }
}

function drawRegionForm() {
  const { head } = state.map;
  const form = byId("region");
  if (form.contains(document.activeElement) && document.activeElement.tagName === "INPUT") return;
  const bounds = shownBounds(head) || {};
  const fields = [...head.grid].reverse().map((axis) => {
    const pair = bounds[axis.name] || [axis.edges[0], axis.edges[axis.edges.length - 1]];
    const end = (which) => make("input", { type: "number", step: "any", name: `${axis.name}:${which}`, value: Number(pair[which].toPrecision(4)), "aria-label": `${axis.name} ${which ? "to" : "from"}, ${axis.unit}` });
    return make("fieldset", {}, make("legend", { text: axis.label }), end(0), make("span", { text: "to" }), end(1));
  });
  fill(form, make("div", { class: "line" }, ...fields, make("button", { type: "submit", text: "What does it carry?" }),
    make("button", { type: "button", text: "Clear", onclick: () => { document.activeElement.blur(); chooseRegion(null); } })));
}

function readRegionForm() {
  const bounds = {};
  for (const axis of state.map.head.grid) {
    const pair = [0, 1].map((which) => Number(byId("region").elements.namedItem(`${axis.name}:${which}`).value));
    bounds[axis.name] = [Math.min(...pair), Math.max(...pair)];
  }
  chooseRegion(bounds);
}

const fetchRegion = latest(async (signal) => {
  const said = byId("region-said");
  try {
    const { head } = await ask("within", { ...questionFor(state.row, [...state.edits, ...(state.stroke ? [state.stroke] : [])]), bounds: state.bounds }, signal);
    said.textContent = `${head.said} from ${head.where}${head.spread ? ` (members ± ${head.spread})` : ""}`;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    said.textContent = error.message;
  }
}, { hurry: false });

function askRegion() {
  if (state.bounds) fetchRegion();
  else byId("region-said").textContent = "Drag a frame on a picture, or write its bounds: what does it carry?";
}

export { channelOf };
