// Makes nodes, and brings what is shown in line with what is to be shown.

const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML. */
export const h = (name, attributes, ...children) => made(document.createElement(name), attributes, children);

/** An element of SVG. */
export const s = (name, attributes, ...children) => made(document.createElementNS(SVG, name), attributes, children);

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

/** Shows these instead of what is there; what is the same stays, so that focus and selection do. */
export function show(parent, ...children) {
  reconcile(parent, children.flat(Infinity).filter((child) => child != null && child !== false));
}

function reconcile(parent, wanted) {
  wanted.forEach((child, at) => {
    const node = typeof child === "object" ? child : document.createTextNode(child);
    const old = parent.childNodes[at];
    if (!old) parent.append(node);
    else if (old.nodeName !== node.nodeName || old.dataset?.key !== node.dataset?.key) old.replaceWith(node);
    else if (node.nodeType === Node.TEXT_NODE) { if (old.data !== node.data) old.data = node.data; }
    else { alike(old, node); reconcile(old, [...node.childNodes]); }
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}

function alike(old, node) {
  for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
}

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A number of things; what was not counted is a question mark. */
export const count = (n) => (n == null ? "?" : whole.format(n));

/** The same where there is little room. */
export const brief = (n) => (n == null ? "?" : n < 10_000 ? whole.format(n) : short.format(n));

/** So many a second. */
export const rate = (n) => (n == null ? "–" : n === 0 ? "0" : n < 10 ? n.toFixed(1) : brief(Math.round(n)));

/** A duration in seconds. */
export function span(seconds) {
  if (seconds == null) return "–";
  if (seconds < 0.995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** How long ago something was. */
export function ago(time) {
  if (!time) return "–";
  const text = `${span(Math.max(0, (Date.now() - Date.parse(time)) / 1000))} ago`;
  return h("time", { datetime: time, title: time }, text);
}

/** What a command says to a person: what stands between backticks is to be typed. */
export const said = (text) => text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));

/** A mark of how something stands: fine, look, wrong, busy. */
export const dot = (state, label) => h("span", { class: `dot ${state}`, role: "img", "aria-label": label ?? state, title: label ?? state });

/** A table whose columns are `[head, class]`; rows are lists of cells. */
export function table(columns, rows, empty) {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const head = columns.map(([text, kind]) => h("th", { scope: "col", class: kind }, text));
  const row = (cells) => h("tr", {}, cells.map((cell, at) => h(at ? "td" : "th", { class: columns[at][1], scope: at ? null : "row" }, cell)));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map(row))));
}

/** How many samples a line has room for at least: a minute of them. */
const LEAST = 30;

/** A line of what was measured, the newest at the right; where nothing was, there is a gap. */
export function spark(values, label) {
  const [width, height, most] = [132, 26, Math.max(...values.map((value) => value ?? 0), 1e-9)];
  const step = width / (Math.max(values.length, LEAST) - 1);
  const left = width - (values.length - 1) * step;
  const spot = (value, at) => `${(left + at * step).toFixed(1)} ${(height - 2 - (value / most) * (height - 5)).toFixed(1)}`;
  const lines = [];
  values.forEach((value, at) => {
    if (value == null) return;
    if (values[at - 1] == null) lines.push([]);
    lines.at(-1).push(spot(value, at));
  });
  const path = (points) => `M${points.join("L")}`;
  const area = (points) => `${path(points)}L${points.at(-1).split(" ")[0]} ${height}L${points[0].split(" ")[0]} ${height}Z`;
  const last = values.at(-1) == null ? null : spot(values.at(-1), values.length - 1).split(" ");
  return s("svg", { class: "spark", viewBox: `0 0 ${width + 3} ${height}`, width: width + 3, height, role: "img", "aria-label": label },
    s("path", { class: "ground", d: `M0 ${height - 0.5}H${width}` }),
    lines.map((points) => s("path", { class: "area", d: area(points) })),
    lines.map((points) => s("path", { class: "line", d: path(points) })),
    last && s("circle", { class: "last", cx: last[0], cy: last[1], r: 2 }));
}
