// Tables of what comes, what is kept and what is shown, and the books.

import { ago, brief, count, dot, h, rate, s, show, span, spark, table } from "./draw.js";
import { all, isMeasured, lagNow, lags, now, rateNow, rates } from "./measure.js";

const RECEIVED = "nearcopy_events_received_total";
const EVENTS = "nearcopy_events_total";
const FANNED = "nearcopy_fan_out_documents_total";
const COMPLETED = "nearcopy_hydrated_documents_total";
/** What becomes of events, in the order of the books. */
const OUTCOMES = ["applied", "stale", "duplicate", "ignored", "deferred", "parked", "abandoned"];

const flows = document.getElementById("flows");
const ledger = document.getElementById("ledger");

/** How a replica stands, in one word. */
export function standing(of) {
  if (!of) return "idle";
  if (of.parked > 0 || of.unanswered > 0) return "wrong";
  if (of.pending + of.owing + of.outdated + of.lacking > 0) return "busy";
  return "fine";
}

/** How a source stands, in one word. */
export function reached(name, inbound) {
  const connected = all("nearcopy_broker_connected").find((one) => one.labels.source === name);
  if (inbound?.error || inbound?.deadLetters > 0 || connected?.value === 0) return "wrong";
  return inbound?.kind === "queue" && inbound.messages > 0 ? "busy" : "fine";
}

/** Shows the tables. */
export function drawFlow(shape, status) {
  const found = (part, name) => status?.[part]?.find((one) => one.name === name);
  show(flows,
    group(sources(shape, status)),
    group(shape.replicas.length > 0 && replicas(shape, (name) => found("replicas", name))),
    group(shape.readModels.length > 0 && models(shape, (name) => found("readModels", name))),
    group(shape.embeds.length > 0 && embeds(shape)));
}

const group = (inside) => inside && h("div", { class: "group" }, inside);

function measured(name, labels, what) {
  return h("span", { class: "measured" }, spark(rates(name, labels), what), h("b", {}, rate(rateNow(name, labels))));
}

function delayed(name) {
  const [half, most] = [lagNow(name, 0.5), lagNow(name, 0.99)];
  const text = half == null ? "–" : [h("b", {}, span(half)), ` · ${span(most)}`];
  return h("span", { class: "measured wider" }, spark(lags(name, 0.99), `lag of ${name}, 99 of 100`), h("span", {}, text));
}

function sources(shape, status) {
  const rows = shape.sources.flatMap((of) => {
    const inbound = status?.sources?.filter((one) => one.source === of.name) ?? [];
    return (inbound.length ? inbound : [null]).map((one) => [
      [dot(reached(of.name, one)), of.name],
      measured(RECEIVED, { source: of.name }, `events of ${of.name} a second`),
      h("span", { class: "dim" }, `${of.kind} `, h("code", {}, one?.name ?? of.at)),
      queued(one, count(one?.messages)), queued(one, count(one?.readers)), queued(one, alarm(one?.deadLetters)),
    ]);
  });
  return table([["Source", ""], ["Events/s", "graph"], ["From", ""], ["Waiting", "n"], ["Readers", "n"], ["Dead letters", "n"]], rows, "");
}

/** Of a queue; what a stream has, stays there. */
const queued = (inbound, shown) => (inbound?.kind === "queue" ? shown : "–");

const alarm = (n) => (n > 0 ? h("span", { class: "wrong" }, count(n)) : count(n));
const gentle = (n) => (n > 0 ? h("span", { class: "look" }, count(n)) : count(n));

function replicas(shape, found) {
  const rows = shape.replicas.map((of) => {
    const seen = found(of.name);
    return [
      [dot(standing(seen)), of.name],
      measured(EVENTS, { replica: of.name, outcome: "applied" }, `events applied to ${of.name} a second`),
      delayed(of.name),
      count(seen?.live), gentle(seen?.pending), count(seen?.gone), gentle(seen?.owing),
      gentle(seen && seen.outdated + seen.lacking), alarm(seen?.parked),
    ];
  });
  return table([["Replica", ""], ["Applied/s", "graph"], ["Lag, half · 99 %", "graph last"], ["Live", "n"], ["Pending", "n"],
    ["Gone", "n"], ["Owing", "n"], ["Outdated", "n"], ["Parked", "n"]], rows, "");
}

function models(shape, found) {
  const rows = shape.readModels.map((of) => {
    const seen = found(of.name);
    const state = seen?.parked > 0 || seen?.waiting > 0 ? "wrong" : seen?.frozen ? "busy" : "fine";
    return [
      [dot(state), of.name],
      measured(EVENTS, { replica: of.name, outcome: "applied" }, `events folded into ${of.name} a second`),
      delayed(of.name),
      h("span", { class: "dim" }, seen?.standsAt ?? "–"), ago(seen?.lastTurn),
      count(seen?.documents), alarm(seen?.waiting), alarm(seen?.parked),
    ];
  });
  return table([["Read model", ""], ["Folded/s", "graph"], ["Lag, half · 99 %", "graph last"], ["Stands at", ""], ["Last turn", ""],
    ["Documents", "n"], ["Waiting", "n"], ["Parked", "n"]], rows, "");
}

function embeds(shape) {
  const rows = shape.embeds.map((of) => [
    of.name,
    measured(FANNED, { embed: of.name }, `documents of ${of.name} brought in line a second`),
    h("span", { class: "dim" }, h("code", {}, `${of.from} → ${of.collection}.${of.writes.join(", ")}`)),
    h("code", { class: "dim" }, of.by),
    count(now(FANNED, { embed: of.name })), count(now(COMPLETED, { embed: of.name })),
  ]);
  return table([["Embed", ""], ["Documents/s", "graph"], ["Shows", ""], ["By", ""], ["Refreshed", "n"], ["Completed", "n"]], rows, "");
}

/** Shows what became of all that was received. */
export function drawBooks() {
  if (!isMeasured()) return;
  const told = all(EVENTS);
  const names = [...new Set([...all(RECEIVED), ...told].map((one) => one.labels.source))].sort();
  show(ledger,
    names.length === 0 ? h("p", { class: "empty" }, "Nothing has been received yet.") : names.map((name) => book(name, told)),
    h("ul", { class: "legend" }, OUTCOMES.map((of) => h("li", {}, h("i", { class: of }), of))));
}

function book(source, told) {
  const mine = told.filter((one) => one.labels.source === source);
  const received = now(RECEIVED, { source });
  const settled = mine.reduce((total, one) => total + one.value, 0);
  const open = Math.max(0, received - settled);
  const closes = open === 0 ? h("span", { class: "fine" }, "closed") : h("span", { class: "look" }, `${count(open)} under way`);
  const replicas = [...new Set(mine.map((one) => one.labels.replica))].sort();
  const lines = replicas.map((replica) => line(replica, mine.filter((one) => one.labels.replica === replica)));
  return h("div", { class: "book", "data-source": source },
    h("h3", {}, source, h("span", { class: "sum" }, h("b", {}, count(received)), " received = ", h("b", {}, count(settled)), " told ", closes)),
    lines);
}

function line(replica, told) {
  const sum = (of) => told.filter((one) => one.labels.outcome === of).reduce((n, one) => n + one.value, 0);
  const parts = OUTCOMES.map((of) => [of, sum(of)]).filter(([, n]) => n > 0);
  return h("div", { class: "entry" },
    h("span", { class: "who" }, replica || h("em", {}, "nobody's")),
    stack(parts),
    h("span", { class: "parts" }, parts.map(([of, n]) => h("span", { "data-outcome": of, title: `${count(n)} ${of}` }, h("b", {}, brief(n)), ` ${of} `))));
}

function stack(parts) {
  const total = parts.reduce((sum, [, n]) => sum + n, 0);
  let at = 0;
  const part = ([of, n]) => {
    const width = (n / total) * 100;
    at += width;
    return s("rect", { class: of, x: at - width, y: 0, width: Math.max(width, 0.7), height: 8 });
  };
  return s("svg", { class: "stack", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, parts.map(part));
}
