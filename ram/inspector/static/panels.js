// What is told beside the pictures, one tab each: regions, comparison, cohort, sound, files.

import { ask, latest, take } from "./api.js";
import { byId, complain, fill, make, menu, number, table } from "./dom.js";
import { Picture } from "./picture.js";
import { chooseRegion } from "./sample.js";
import { channelsShown, on, questionFor, state, tell } from "./state.js";
import { isSignal, mapView } from "./views.js";

const tabs = [];

/** Add a tab; `draw` is called when it is shown and when one of its events comes while it is. */
export function addTab(name, label, events, draw) {
  const panel = make("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true });
  const tab = make("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, text: label, onclick: () => select(name) });
  tabs.push({ name, tab, panel, draw });
  byId("tabs").append(tab);
  byId("panels").append(panel);
  on(events, () => { if (state.tab === name) draw(panel); });
  return panel;
}

export function select(name) {
  state.tab = name;
  for (const one of tabs) {
    const chosen = one.name === name;
    one.tab.setAttribute("aria-selected", chosen ? "true" : "false");
    one.tab.tabIndex = chosen ? 0 : -1;
    one.panel.hidden = !chosen;
    if (chosen) one.draw(one.panel);
  }
  tell("tab");
}

export function startPanels() {
  addTab("regions", "Regions", "map", drawRegions);
  addTab("compare", "Compare", "map kept", drawComparison);
  addTab("cohort", "Cohort", "cohort target", drawCohort);
  byId("tabs").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const here = tabs.findIndex((one) => one.name === state.tab);
    const next = tabs[(here + by + tabs.length) % tabs.length];
    select(next.name);
    next.tab.focus();
  });
}

export function startLastPanels() {
  if (state.info.spectrogram) addTab("sound", "Sound", "map", drawSound);
  addTab("files", "Download", "map cohort", drawFiles);
}

// --- regions

function largest(caption, boxes) {
  if (!boxes.length) return null;
  return table(caption, ["where", "carries", ""], boxes.map((one) => [one.where, one.carried,
    make("button", { type: "button", text: "show", "aria-label": `Show ${one.where}`, onclick: () => { state.bounds = one.bounds; tell("bounds"); } })]));
}

function drawRegions(panel) {
  if (!state.map) return fill(panel);
  const { head } = state.map;
  const known = head.regions.some((one) => one.physics !== "–");
  const card = make("div", { class: "card tables" });
  if (head.regions.length) {
    card.append(table("What each region carries", ["region", "net", ...(known ? ["physics"] : [])],
      head.regions.map((one) => [one.name, one.carried, ...(known ? [one.physics] : [])])));
  }
  const boxes = largest("The boxes that carry most", head.largest);
  if (boxes) card.append(boxes);
  if (head.parts.length) card.append(table("Parts", ["part", "carries"], head.parts.map((one) => [one.name, one.carried])));
  card.append(table("All targets of this sample", ["target", "predicted", "measured", "interval"],
    head.targets.map((one) => [one.name, one.predicted, one.measured, one.interval || "–"])));
  return fill(panel, card);
}

// --- comparison

/** Three maps in one scale: A, B and B - A. */
class Three {
  constructor() {
    this.host = make("div", { class: "pictures" });
    this.pictures = [0, 1, 2].map(() => new Picture(this.host, { region: (bounds) => state.map && chooseRegion(bounds), read: (text) => { byId("readout").textContent = text; } }));
    on("theme", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.host);
  }

  draw() { this.pictures.forEach((one) => one.draw()); }

  show(answer, titles) {
    const { head, arrays } = answer;
    this.host.className = isSignal(head) ? "pictures wide" : "pictures";
    const most = (values) => values.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
    const limit = Math.max(most(arrays.map_a), most(arrays.map_b), most(arrays.map)) || 1;
    [arrays.map_a, arrays.map_b, arrays.map].forEach((values, place) => {
      this.pictures[place].show(mapView(answer, values, { title: titles[place], limit }));
    });
  }
}

const comparing = {};

function drawComparison(panel) {
  if (!comparing.body) {
    comparing.message = make("p", { class: "message", role: "alert", hidden: true });
    comparing.title = make("p", { class: "number", role: "status" });
    comparing.three = new Three();
    comparing.tables = make("div", { class: "card tables" });
    comparing.body = make("div", { class: "stack", hidden: true }, comparing.title, comparing.three.host, comparing.tables);
    comparing.keep = make("button", { type: "button", class: "first", onclick: () => { state.kept = state.row; tell("kept"); } });
    comparing.hint = make("span", { class: "hint" });
    panel.append(make("div", { class: "card line" }, comparing.keep, comparing.hint), comparing.message, comparing.body);
  }
  const { ids } = state.samples;
  comparing.keep.textContent = `Keep ${ids[state.row]} as A`;
  comparing.keep.disabled = state.kept === state.row && !state.edits.length;
  const ready = state.kept !== null && (state.kept !== state.row || state.edits.length > 0) && state.map;
  comparing.hint.textContent = state.kept === null ? "Then go to another sample: why is it higher or lower?" : ready ? `A is ${ids[state.kept]}, B is ${ids[state.row]}.` : `A is ${ids[state.kept]}. Now go to another sample, B.`;
  comparing.body.hidden = !ready;
  complain(comparing.message, null);
  if (ready) fetchComparison();
}

const fetchComparison = latest(async (signal) => {
  try {
    const answer = await ask("comparison", { ...questionFor(state.row), other: state.kept }, signal);
    const { head } = answer;
    comparing.title.textContent = head.title;
    comparing.three.show(answer, [`A ${head.a.id}: ${head.a.said}`, `B ${head.b.id}: ${head.b.said}`, "B − A"]);
    fill(comparing.tables, head.regions.length ? table("Region by region", ["region", "A", "B", "B − A"], head.regions.map((one) => [one.name, one.a, one.b, one.difference])) : null,
      largest("Where the difference lies", head.largest));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    comparing.body.hidden = true;
    complain(comparing.message, error);
  }
});

// --- cohort

const gathered = {};

function drawCohort(panel) {
  if (!gathered.body) {
    gathered.message = make("p", { class: "message", role: "alert", hidden: true });
    gathered.hint = make("p", { class: "card hint" });
    gathered.title = make("p", { class: "number", role: "status" });
    gathered.three = new Three();
    gathered.tables = make("div", { class: "card tables" });
    gathered.body = make("div", { class: "stack", hidden: true }, gathered.title, gathered.three.host, gathered.tables);
    panel.append(gathered.hint, gathered.message, gathered.body);
  }
  complain(gathered.message, null);
  const { cohort } = state;
  gathered.body.hidden = !cohort;
  gathered.hint.textContent = cohort
    ? `${cohort.length.toLocaleString("en")} of ${state.samples.ids.length.toLocaleString("en")} samples; their mean map, that of all others, and the difference, by the net's own cells against the training mean.`
    : "Drag a frame over points of the scatter, or filter samples and press 'Cohort of these': their mean map stands here beside that of the rest.";
  if (cohort) fetchCohort();
}

const fetchCohort = latest(async (signal) => {
  gathered.body.classList.add("busy");
  gathered.title.textContent = "Computing the mean maps …";
  try {
    const answer = await ask("cohort", { rows: [...state.cohort], target: state.target }, signal);
    const { head } = answer;
    gathered.title.textContent = head.title;
    const of = (one) => `${one.count.toLocaleString("en")}${one.taken < one.count ? ` (maps of ${one.taken})` : ""}`;
    gathered.three.show(answer, [`The rest: ${of(head.rest)}`, `Cohort: ${of(head.cohort)}`, "Cohort − rest"]);
    fill(gathered.tables, table("On average", ["", "predicted", "measured", "error"], [["cohort", head.cohort.predicted, head.cohort.measured, head.cohort.error], ["rest", head.rest.predicted, head.rest.measured, head.rest.error]]),
      head.regions.length ? table("Region by region", ["region", "rest", "cohort", "cohort − rest"], head.regions.map((one) => [one.name, one.a, one.b, one.difference])) : null,
      largest("Where the difference lies", head.largest));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    gathered.body.hidden = true;
    complain(gathered.message, error);
  } finally {
    if (!signal.aborted) gathered.body.classList.remove("busy");
  }
});

// --- sound

const heard = { share: 0.8, sign: "both", slower: 1, channel: null, addresses: [] };

function drawSound(panel) {
  if (!heard.body) {
    const channels = Object.keys(state.info.input_channels);
    heard.channel = channels[0];
    const percent = make("input", { type: "number", min: 1, max: 100, step: 1, value: 80, onchange: () => { heard.share = Math.min(100, Math.max(1, Number(percent.value))) / 100; fetchSound(); } });
    const slower = make("input", { type: "number", min: 0.01, step: "any", value: 1, onchange: () => { heard.slower = Number(slower.value) || 1; fetchSound(); } });
    heard.message = make("p", { class: "message", role: "alert", hidden: true });
    heard.title = make("p", { class: "number", role: "status" });
    heard.body = make("div", { class: "sounds" });
    heard.curve = make("div", { class: "pictures wide" });
    heard.picture = new Picture(heard.curve);
    on("theme", () => heard.picture.draw());
    panel.append(make("div", { class: "card line" }, menu("Sensor", channels.map((name) => [name, name]), heard.channel, (value) => { heard.channel = value; fetchSound(); }),
      make("label", { text: "Keep so much of what carries it (%)" }, percent),
      menu("What counts", [["both", "all"], ["raises", "what raises it"], ["lowers", "what lowers it"]], heard.sign, (value) => { heard.sign = value; fetchSound(); }),
      make("label", { text: "Times slower" }, slower)), heard.message, make("div", { class: "card" }, heard.title, heard.body), heard.curve);
  }
  if (state.map) fetchSound();
}

const fetchSound = latest(async (signal) => {
  try {
    const question = { ...questionFor(state.row), share: heard.share, sign: heard.sign, slower: heard.slower, heard: heard.channel };
    for (const word of ["method", "layer", "channel", "of"]) delete question[word];
    const { head, arrays } = await ask("sound", question, signal);
    complain(heard.message, null);
    heard.title.textContent = `What carries it: ${head.said}, ${head.energy} of the energy of ${head.channel}, from ${head.area} of the spectrogram`;
    heard.addresses.forEach((address) => URL.revokeObjectURL(address));
    heard.addresses = ["signal", "kept", "rest"].map((name) => URL.createObjectURL(new Blob([arrays[name]], { type: "audio/wav" })));
    const names = ["The signal", "What carries it", "The rest"];
    fill(heard.body, ...names.map((name, place) => make("div", {}, make("span", { text: name }), make("audio", { controls: true, preload: "metadata", src: heard.addresses[place], "aria-label": name }))));
    const edges = Float64Array.from({ length: arrays.curve.length + 1 }, (_, at) => head.start + (at - 0.5) * head.step);
    const axis = { name: "time", label: "time (s)", unit: "s", edges };
    const size = arrays.curve.reduce((most, value) => Math.max(most, Math.abs(value)), 0) * 1.05 || 1;
    heard.picture.show({ title: "The signal, and over it what carries it", words: heard.title.textContent, axes: [axis], range: [-size, size], yLabel: withUnit(head.channel),
      curves: [{ values: arrays.curve, colour: "#a0a0a0", thick: 0.7 }, { values: arrays.curve_kept, colour: "#0072b2", thick: 0.9 }] });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    fill(heard.body);
    heard.title.textContent = "";
    heard.picture.show(null);
    complain(heard.message, error);
  }
});

const withUnit = (name) => (state.info.input_channels[name] === "1" ? name : `${name} (${state.info.input_channels[name]})`);

// --- files

function drawFiles(panel) {
  const message = make("p", { class: "message", role: "alert", hidden: true });
  const button = (text, act) => make("button", { type: "button", text, onclick: async (event) => {
    event.target.disabled = true;
    try {
      await act();
      complain(message, null);
    } catch (error) { complain(message, error); } finally { event.target.disabled = false; }
  } });
  const channels = Object.keys(channelsShown());
  const of = (kind) => () => take("download", { ...questionFor(state.row), kind, ...(kind === "png" ? { shown: state.choices.shown ?? channels[channels.length - 1] } : {}) });
  const rows = state.cohort ? [...state.cohort] : [...state.order];
  const many = state.cohort ? `the cohort (${number(rows.length)})` : `the samples shown (${rows.length.toLocaleString("en")})`;
  fill(panel, make("div", { class: "card" }, make("h3", { text: "This map" }), make("div", { class: "line" },
    button("PNG picture", of("png")), button("CSV table", of("csv")), button("HDF5 (netCDF-4)", of("hdf5"))),
  make("h3", { text: "Predictions" }), make("div", { class: "line" }, button(`CSV of ${many}`, () => take("table", { rows }))), message));
}
