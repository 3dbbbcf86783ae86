// What is shown, and who wants to know when it changes.

export const state = {
  info: null, // what the menus hold
  samples: null, // ids, part, group, outside of all samples
  column: null, // measured and predicted values of the target
  target: null,
  row: 0,
  order: null, // rows that pass the filters, in the order of the list
  passes: null, // Uint8Array: whether a row passes the filters
  cohort: null, // Uint32Array of rows
  kept: null, // row of sample A
  choices: { method: null, reference: "", layer: "", channel: "", side: "", resolution: 1, shown: null, slice: null, scale: "shared" },
  edits: [],
  map: null, // {head, arrays} of the sample that is shown
  bounds: null, // region, in the data's units
  painting: false,
};

const listeners = new Map();

export function on(events, act) {
  for (const event of events.split(" ")) {
    if (!listeners.has(event)) listeners.set(event, []);
    listeners.get(event).push(act);
  }
}

export function tell(event) {
  for (const act of listeners.get(event) || []) act();
}

/** Return the question for the map of a sample, as the menus stand. */
export function questionFor(row, edits = state.edits) {
  const { choices, info } = state;
  const question = { sample: row, target: state.target };
  if (choices.method && choices.method !== info.own_method) question.method = choices.method;
  if (choices.reference === "kept" && state.kept !== null) question.reference_sample = state.kept;
  else if (choices.reference && choices.reference !== "kept") question.reference = choices.reference;
  if (choices.layer && methodShown().layer) question.layer = choices.layer;
  if (choices.channel && methodShown().kind === "input") question.channel = choices.channel;
  if (choices.side === "signal") question.of = "signal";
  if (choices.resolution > 1 && methodShown().name === "ram") question.resolution = choices.resolution;
  if (edits.length) question.edits = edits;
  return question;
}

export function methodShown() {
  const name = state.choices.method || state.info.own_method;
  return state.info.methods.find((one) => one.name === name);
}

/** Return name -> unit of the channels that are drawn. */
export function channelsShown() {
  const { info, choices } = state;
  return info.channels[choices.side || (info.spectrogram ? "spectrogram" : "input")];
}
