// Which samples are looked at: filters, order, list, and the keys that walk through it.

import { byId, fill, make, number } from "./dom.js";
import { on, state, tell } from "./state.js";

const LINE = 24;
const MOST_GROUPS = 500;

export function startBrowse(choose) {
  const form = byId("filters");
  const parts = state.samples.parts.filter(Boolean);
  fill(byId("filter-part"), make("option", { value: "", text: "all" }), ...parts.map((part) => make("option", { value: part, text: part })));
  fill(byId("groups"), ...state.samples.groups.slice(0, MOST_GROUPS).filter(Boolean).map((group) => make("option", { value: group })));
  byId("filter-group").disabled = state.samples.groups.every((group) => !group);
  byId("filter-outside").disabled = !state.info.intervals;
  form.addEventListener("input", sift);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(sift));
  byId("order").addEventListener("change", sift);
  byId("cohort-of-filtered").addEventListener("click", () => {
    state.cohort = Uint32Array.from(state.order);
    tell("cohort");
    byId("tab-cohort").click();
  });
  on("column", sift);
  on("visible row", drawList);
  const list = byId("list");
  list.addEventListener("scroll", drawList);
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) choose(Number(option.dataset.row));
  });
  document.addEventListener("keydown", (event) => walkByKey(event, choose));
  byId("previous").addEventListener("click", () => step(-1, choose));
  byId("next").addEventListener("click", () => step(1, choose));
}

function walkByKey(event, choose) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const { target } = event;
  const inList = target.id === "list";
  if (!inList && target.closest("input, select, textarea, audio, [role=tab], .scroll")) return;
  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  if (inList) Object.assign(steps, { ArrowUp: -1, ArrowDown: 1, PageUp: -8, PageDown: 8, Home: -Infinity, End: Infinity });
  if (!(event.key in steps)) return;
  event.preventDefault();
  step(steps[event.key], choose);
}

function step(by, choose) {
  const { order } = state;
  if (!order.length) return;
  const here = order.indexOf(state.row);
  const there = here < 0 ? 0 : Math.max(0, Math.min(order.length - 1, by === -Infinity ? 0 : by === Infinity ? order.length - 1 : here + by));
  if (order[there] !== state.row) choose(order[there]);
  bringIntoView();
}

function bringIntoView() {
  const list = byId("list");
  const top = state.order.indexOf(state.row) * LINE;
  if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - LINE) list.scrollTop = top - list.clientHeight / 2;
  drawList();
}

/** Find the rows that pass all filters, in the order that is asked for. */
function sift() {
  const { samples, column } = state;
  const wanted = {
    part: samples.parts.indexOf(byId("filter-part").value),
    group: byId("filter-group").value.trim(),
    id: byId("filter-id").value.trim().toLowerCase(),
    error: value("filter-error"), low: value("filter-low"), high: value("filter-high"),
    outside: byId("filter-outside").checked,
  };
  const anyPart = !byId("filter-part").value;
  const groups = wanted.group ? samples.groups.map((group) => group.toLowerCase().includes(wanted.group.toLowerCase())) : null;
  const rows = [];
  for (let row = 0; row < samples.ids.length; row++) {
    const error = Math.abs(column.predicted[row] - column.measured[row]);
    if (!anyPart && samples.arrays.part[row] !== wanted.part) continue;
    if (groups && !groups[samples.arrays.group[row]]) continue;
    if (wanted.id && !samples.ids[row].toLowerCase().includes(wanted.id)) continue;
    if (wanted.error !== null && !(error >= wanted.error)) continue;
    if (wanted.low !== null && !(column.measured[row] >= wanted.low)) continue;
    if (wanted.high !== null && !(column.measured[row] <= wanted.high)) continue;
    if (wanted.outside && !samples.outside[row]) continue;
    rows.push(row);
  }
  arrange(rows, byId("order").value);
  state.order = rows;
  const all = samples.ids.length;
  byId("filtered").textContent = rows.length === all ? "" : `: ${rows.length.toLocaleString("en")} of ${all.toLocaleString("en")}`;
  for (const unit of document.querySelectorAll("#filters .unit")) unit.textContent = column.unit === "1" ? "" : column.unit;
  byId("cohort-of-filtered").disabled = !rows.length || rows.length === all;
  tell("visible");
}

function value(id) {
  const text = byId(id).value;
  return text === "" ? null : Number(text);
}

function arrange(rows, order) {
  const { predicted, measured } = state.column;
  const p = state.samples.arrays.outside_p;
  const known = (number) => (Number.isFinite(number) ? number : -Infinity);
  const keys = {
    error: (row) => -known(Math.abs(predicted[row] - measured[row])),
    outside: (row) => (Number.isFinite(p[row]) ? p[row] : 2),
    low: (row) => predicted[row],
    high: (row) => -predicted[row],
  };
  const key = keys[order];
  if (key) rows.sort((one, other) => key(one) - key(other) || one - other);
}

/** Draw the lines of the list that can be seen: there may be 100,000. */
function drawList() {
  const list = byId("list");
  if (!state.order) return;
  const first = Math.max(0, Math.floor(list.scrollTop / LINE) - 5);
  const last = Math.min(state.order.length, first + Math.ceil(list.clientHeight / LINE) + 10);
  const { predicted, measured } = state.column;
  const space = (lines) => {
    const gap = make("div", { role: "presentation" });
    gap.style.height = `${lines * LINE}px`;
    return gap;
  };
  const lines = state.order.slice(first, last).map((row, place) => {
    const error = predicted[row] - measured[row];
    const said = Number.isFinite(error) ? `${error > 0 ? "+" : ""}${number(error, 3)}` : number(predicted[row]);
    return make("div", {
      role: "option", id: `sample-${row}`, "data-row": row, "aria-selected": row === state.row ? "true" : "false",
      "aria-posinset": first + place + 1, "aria-setsize": state.order.length, class: state.samples.outside[row] ? "outside" : "",
    }, make("span", { text: state.samples.ids[row] }), make("span", { text: said, title: "error, predicted − measured" }));
  });
  fill(list, space(first), ...lines, space(state.order.length - last));
  const chosen = document.getElementById(`sample-${state.row}`);
  if (chosen) list.setAttribute("aria-activedescendant", chosen.id);
  else list.removeAttribute("aria-activedescendant");
}
