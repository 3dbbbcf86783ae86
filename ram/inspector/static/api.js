// What the page asks its server: one key, one way to ask, one way to read what comes back.

const KEPT = "ram-inspect-token";
let token = null;

/** Take the key out of the address, where it would stay in the history, and keep it as long as the tab is open. */
export async function enter() {
  const given = location.hash.slice(1);
  if (given.length > 30) {
    history.replaceState(null, "", location.pathname);
    token = (await send("enter", { ticket: given })).token;
    sessionStorage.setItem(KEPT, token);
  } else {
    token = sessionStorage.getItem(KEPT);
  }
  if (!token) throw new Error("Open the address that 'ram inspect' printed: it holds the key to this page.");
}

async function post(kind, question, signal) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(`/api/${kind}`, { method: "POST", headers, body: JSON.stringify(question), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: was 'ram inspect' ended? Start it again and open the new address.");
  }
  if (answer.status === 499) throw new DOMException("left", "AbortError");
  if (answer.ok && !isJson(answer)) return answer;
  let said = {};
  try { said = await answer.json(); } catch { /* no JSON: the status has to do */ }
  if (answer.ok && !("error" in said)) return { json: () => said };
  throw new Error(said.error || `The server answered ${answer.status}.`);
}

const isJson = (answer) => (answer.headers.get("content-type") || "").startsWith("application/json");

export async function send(kind, question = {}, signal = undefined) {
  return (await post(kind, question, signal)).json();
}

/** Return {head, arrays} of an answer: see frames.py. */
export async function ask(kind, question = {}, signal = undefined) {
  const content = await (await post(kind, question, signal)).arrayBuffer();
  const size = new DataView(content).getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 8, size)));
  const types = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };
  const arrays = {};
  for (const [name, place] of Object.entries(head.arrays)) {
    const count = place.shape.reduce((product, length) => product * length, 1);
    arrays[name] = new types[place.type](content, 8 + size + place.begin, count);
    arrays[name].shape = place.shape;
  }
  return { head, arrays };
}

/** Hand a file on to the user. */
export async function take(kind, question) {
  const answer = await post(kind, question);
  const named = /filename\*=UTF-8''(.*)/.exec(answer.headers.get("content-disposition") || "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = named ? decodeURIComponent(named[1]) : "ram";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/**
 * Return a function that asks, and of many calls in a row answers the last one.
 *
 * `work(signal, ...words)` is called with what the newest call was given; `hurry`: an older call is given up at once,
 * else it may end before the newest one begins, so that a picture follows a brush that does not rest.
 */
export function latest(work, { hurry = true } = {}) {
  let running = null;
  let waiting = null;
  async function run(words) {
    const abort = new AbortController();
    running = abort;
    try {
      await work(abort.signal, ...words);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    } finally {
      if (running === abort) {
        running = null;
        if (waiting) {
          const next = waiting;
          waiting = null;
          run(next);
        }
      }
    }
  }
  return (...words) => {
    if (running && !hurry) {
      waiting = words;
      return Promise.resolve();
    }
    running?.abort();
    running = null;
    return run(words);
  };
}
