// The page of a run: asks what there is, and starts its parts.

import { ask, enter } from "./api.js";
import { startBrowse } from "./browse.js";
import { byId, complain, fill, make } from "./dom.js";
import { select, startLastPanels, startPanels } from "./panels.js";
import { startSample } from "./sample.js";
import { startScatter } from "./scatter.js";
import { state, tell } from "./state.js";
import { startWhatIf } from "./whatif.js";

function chooseRow(row) {
  if (row === state.row && state.map && !state.edits.length) return;
  state.row = row;
  state.edits = [];
  state.stroke = null;
  tell("row");
}

async function chooseTarget(name) {
  const { head, arrays } = await ask("column", { target: name });
  state.target = name;
  state.column = { ...arrays, unit: head.unit, decimals: head.decimals };
  tell("column");
  tell("target");
}

async function start() {
  await enter();
  const [info, samples] = await Promise.all([ask("run"), ask("samples")]);
  state.info = info.head;
  state.samples = { ...samples.head, arrays: samples.arrays, outside: samples.arrays.outside };
  state.choices.reference = state.info.usual_reference;
  byId("run").textContent = `ram · ${state.info.run}`;
  byId("about").textContent = `${state.info.samples.toLocaleString("en")} samples of ${state.info.file}`;
  document.title = `${state.info.run} · ram inspect`;
  fill(byId("target"), ...state.info.targets.map(({ name, unit }) => make("option", { value: name, text: unit === "1" ? name : `${name} (${unit})` })));
  byId("target").addEventListener("change", (event) => chooseTarget(event.target.value).catch((error) => complain(byId("message"), error)));
  byId("page").hidden = false;
  startBrowse(chooseRow);
  startScatter(chooseRow);
  startSample();
  startPanels();
  startWhatIf();
  startLastPanels();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => tell("theme"));
  await chooseTarget(state.info.targets[0].name);
  select("regions");
}

start().catch((error) => {
  complain(byId("closed"), error);
});
