// Elements are made of text and attributes alone: names from files are never read as HTML.

export const byId = (id) => document.getElementById(id);

/** Return an element: `make("p", {class: "hint", text: "a < b"}, child, ...)`; what begins with "on" is a listener. */
export function make(tag, words = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(words)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(host, ...children) {
  host.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

/** Return a labelled menu; options are [value, text] pairs. */
export function menu(label, options, chosen, onchange, title) {
  const select = make("select", { onchange: () => onchange(select.value), title });
  for (const [value, text] of options) select.append(make("option", { value, text, selected: value === chosen }));
  return make("label", { text: label }, select);
}

/** Return a table whose first column names the rows; rows are arrays of texts or elements. */
export function table(caption, heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })));
  const body = rows.map((row) => make("tr", {}, ...row.map((cell, number) => {
    const content = cell instanceof Node ? [cell] : [];
    const words = cell instanceof Node ? {} : { text: cell };
    return number ? make("td", words, ...content) : make("th", { scope: "row", ...words }, ...content);
  })));
  const whole = make("table", {}, make("caption", { text: caption }), make("thead", {}, head), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, whole);
}

/** Show what went wrong in its place, or hide the place. */
export function complain(place, error) {
  place.hidden = !error;
  place.textContent = error ? error.message : "";
}

export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}
