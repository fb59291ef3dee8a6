// The picture of what is declared: what events come from, what is kept of them, and where it is shown.

import { brief, rate, s, show } from "./draw.js";
import { all, rateNow } from "./measure.js";
import { reached, standing } from "./flow.js";

const [WIDE, HIGH, GAP, ROW, TOP] = [208, 54, 84, 70, 34];
const HEADS = ["Where events come from, and who is asked", "What is kept", "What shows it, or tells of it", "Where"];

/** Draws it all: the declared shape, and how each part stands. */
export function drawTopology(frame, shape, status) {
  const { columns, edges } = laid(parts(shape, status));
  const used = columns.filter((column) => column.length > 0);
  const width = used.length * WIDE + (used.length - 1) * GAP + 4;
  const height = TOP + Math.max(...used.map((column) => column.length)) * ROW;
  const spots = new Map();
  used.forEach((column, at) => {
    const down = TOP + (height - TOP - column.length * ROW) / 2;
    column.forEach((node, row) => spots.set(node.key, { x: 2 + at * (WIDE + GAP), y: down + row * ROW }));
  });
  const heads = used.map((column, at) => s("text", { class: "head", x: 2 + at * (WIDE + GAP), y: 14 }, HEADS[columns.indexOf(column)]));
  show(frame, s("svg", { class: "topology", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "What is declared" },
    heads, edges.map((edge) => line(edge, spots)), used.flat().map((node) => box(node, spots.get(node.key)))));
}

/** The nodes, each in its column, and the lines between them. */
function parts(shape, status) {
  const columns = [[], [], [], []];
  const edges = [];
  const known = new Set();
  const add = (at, key, node) => {
    if (!known.has(key)) columns[at].push({ key, ...node });
    known.add(key);
  };
  const link = (from, to, flow, asks) => edges.push({ from, to, flow, asks });
  const seen = (part, name) => status?.[part]?.find((one) => one.name === name);
  for (const of of shape.sources) {
    const inbound = status?.sources?.filter((one) => one.source === of.name) ?? [];
    const waits = inbound.reduce((n, one) => n + (one.messages ?? 0), 0);
    const states = inbound.length ? inbound.map((one) => reached(of.name, one)) : [reached(of.name)];
    const state = ["wrong", "busy", "fine"].find((one) => states.includes(one));
    const flow = rateNow("nearcopy_events_received_total", { source: of.name });
    const side = of.kind === "queue" && waits > 0 ? `${brief(waits)} wait` : flow > 0 ? `${rate(flow)}/s` : "";
    add(0, `source ${of.name}`, { title: of.name, under: `${of.kind} ${of.at}`, side, state });
  }
  for (const of of shape.replicas) replica(of, seen("replicas", of.name), add, link);
  for (const of of shape.readModels) model(of, seen("readModels", of.name), status, add, link);
  for (const of of shape.embeds) {
    const flow = rateNow("nearcopy_fan_out_documents_total", { embed: of.name }) + rateNow("nearcopy_hydrated_documents_total", { embed: of.name });
    const owes = seen("replicas", of.from)?.owing > 0;
    add(2, `embed ${of.name}`, { title: of.name, under: of.writes.join(", "), side: flow > 0 ? `${rate(flow)}/s` : "", state: owes ? "busy" : "fine", of: of.collection });
    add(3, `collection ${of.collection}`, { title: of.collection, under: "your collection", state: "idle", of: of.collection });
    link(`replica ${of.from}`, `embed ${of.name}`, flow);
    link(`embed ${of.name}`, `collection ${of.collection}`, flow);
  }
  return { columns, edges };
}

function replica(of, seen, add, link) {
  const under = !seen ? `keeps ${of.keep}` : [`${brief(seen.live ?? seen.records)} live`, seen.pending > 0 && `${brief(seen.pending)} pending`].filter(Boolean).join(" · ");
  const side = seen?.parked > 0 ? `${brief(seen.parked)} parked` : "";
  const flow = rateNow("nearcopy_events_total", { replica: of.name, outcome: "applied" });
  add(1, `replica ${of.name}`, { title: of.name, under, side, state: standing(seen), of: of.name });
  link(`source ${of.source}`, `replica ${of.name}`, flow);
  if (!of.asks) return;
  const rests = all("nearcopy_breaker_open").some((one) => one.labels.replica === of.name && one.value === 1);
  add(0, `owner ${of.asks}`, { title: of.owner, under: `asked at ${of.asks}`, side: rests ? "left in peace" : "", state: rests ? "look" : "fine" });
  link(`owner ${of.asks}`, `replica ${of.name}`, rateNow("nearcopy_fetches_total", { replica: of.name, result: "found" }), true);
}

function model(of, seen, status, add, link) {
  const state = !seen ? "idle" : seen.parked > 0 || seen.waiting > 0 ? "wrong" : seen.frozen || seen.rebuiltTo != null ? "busy" : "fine";
  const flow = rateNow("nearcopy_events_total", { replica: of.name, outcome: "applied" });
  add(1, `model ${of.name}`, { title: of.name, under: seen ? `${brief(seen.documents)} documents` : "read model", side: seen?.parked > 0 ? `${brief(seen.parked)} parked` : "", state, of: of.name });
  link(`source ${of.source}`, `model ${of.name}`, flow);
  for (const rule of of.rules) {
    const told = all("nearcopy_alerts_total").find((one) => one.labels.replica === of.name && one.labels.rule === rule.name)?.value ?? 0;
    const fires = rateNow("nearcopy_alerts_total", { replica: of.name, rule: rule.name });
    const key = `rule ${of.name} ${rule.name}`;
    add(2, key, { title: rule.name, under: "rule", side: told > 0 ? `${brief(told)} told` : "", state: status?.outbox?.oldestMs > 60_000 ? "wrong" : "fine" });
    add(3, `exchange ${rule.exchange}`, { title: rule.exchange, under: "exchange", state: "idle" });
    link(`model ${of.name}`, key, fires);
    link(key, `exchange ${rule.exchange}`, fires);
  }
}

/** Each column in the order of what leads there, so that lines cross little. */
function laid({ columns, edges }) {
  const rank = new Map(columns[0].map((node, at) => [node.key, at]));
  for (const column of columns.slice(1)) {
    const mean = (node) => {
      const from = edges.filter((edge) => edge.to === node.key).map((edge) => rank.get(edge.from)).filter((at) => at != null);
      return from.length ? from.reduce((sum, at) => sum + at, 0) / from.length : 0;
    };
    column.forEach((node) => { node.mean = mean(node); });
    column.sort((one, other) => one.mean - other.mean);
    column.forEach((node, at) => rank.set(node.key, at));
  }
  return { columns, edges };
}

function line({ from, to, flow, asks }, spots) {
  const [start, end] = [spots.get(from), spots.get(to)];
  if (!start || !end) return null;
  const [x, y, toX, toY] = [start.x + WIDE, start.y + HIGH / 2, end.x, end.y + HIGH / 2];
  const bend = (toX - x) / 2;
  const kind = ["edge", asks && "asks", flow > 0 && "flows"].filter(Boolean).join(" ");
  return s("path", { class: kind, d: `M${x} ${y}C${x + bend} ${y} ${toX - bend} ${toY} ${toX} ${toY}` });
}

function box({ key, title, under, side, state, of }, { x, y }) {
  const room = side ? 24 - side.length : 26;
  const inside = [
    s("title", {}, `${title}: ${under}${side ? `, ${side}` : ""}`),
    s("rect", { class: "box", width: WIDE, height: HIGH, rx: 9 }),
    s("circle", { class: `light ${state}`, cx: 17, cy: HIGH / 2 - 8, r: 4 }),
    s("text", { class: "title", x: 30, y: 23 }, cut(title, room)),
    s("text", { class: "under", x: 30, y: 40 }, cut(under, 28)),
    side && s("text", { class: `side ${state}`, x: WIDE - 12, y: 23 }, side),
  ];
  const place = { class: "node", transform: `translate(${x} ${y})`, "data-node": key };
  return of ? s("a", { ...place, href: "#lookup", "data-of": of, "aria-label": `Look something up in ${title}` }, inside) : s("g", place, inside);
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
