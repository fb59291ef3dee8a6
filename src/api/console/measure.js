// What this pod has counted, sampled by this page: rates and lag of the last minutes.

const MOST = 150;
const WINDOW = 5;
const samples = [];

/** Takes note of a sample: a time, and `[name, labels, value]` for each number. */
export function note({ at, series }) {
  const named = new Map();
  for (const [name, labels, value] of series) {
    if (!named.has(name)) named.set(name, []);
    named.get(name).push({ labels, value });
  }
  samples.push({ at, named });
  if (samples.length > MOST) samples.shift();
}

/** Whether there is anything yet. */
export const isMeasured = () => samples.length > 0;

/** The sum of the numbers of this name that have these labels. */
export function now(name, labels = {}) {
  return samples.length ? sum(samples.at(-1), name, labels) : null;
}

/** All numbers of this name. */
export const all = (name) => samples.at(-1)?.named.get(name) ?? [];

/** So many a second, sample by sample. */
export function rates(name, labels = {}) {
  return samples.slice(1).map((sample, at) => perSecond(samples[at], sample, name, labels));
}

/** So many a second, over the last samples. */
export function rateNow(name, labels = {}) {
  const from = samples.at(-1 - WINDOW) ?? samples[0];
  return samples.length < 2 ? null : perSecond(from, samples.at(-1), name, labels);
}

/** The lag, in seconds, below which this share of changes stayed, over the samples before each; none where there were none. */
export function lags(replica, share) {
  return samples.slice(1).map((_, at) => lag(replica, share, at + 1));
}

/** The same, over the last samples. */
export const lagNow = (replica, share) => (samples.length < 2 ? null : lag(replica, share, samples.length - 1));

function perSecond(from, to, name, labels) {
  const more = sum(to, name, labels) - sum(from, name, labels);
  const seconds = (to.at - from.at) / 1000;
  return more > 0 && seconds > 0 ? more / seconds : 0;
}

function sum({ named }, name, labels) {
  const wanted = Object.entries(labels);
  const fits = (of) => wanted.every(([label, value]) => of[label] === value);
  return (named.get(name) ?? []).filter((one) => fits(one.labels)).reduce((total, one) => total + one.value, 0);
}

function lag(replica, share, at) {
  const [before, after] = [buckets(samples[Math.max(0, at - WINDOW)], replica), buckets(samples[at], replica)];
  const counts = after.map(([bound, n], which) => [bound, Math.max(0, n - (before[which]?.[1] ?? 0))]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total === 0) return null;
  const wanted = share * total;
  let [low, below] = [0, 0];
  for (const [bound, n] of counts) {
    if (n >= wanted) return bound === Infinity ? low : low + ((bound - low) * (wanted - below)) / Math.max(n - below, 1);
    [low, below] = [bound, n];
  }
  return low;
}

function buckets({ named }, replica) {
  const found = (named.get("nearcopy_lag_seconds_bucket") ?? []).filter((one) => one.labels.replica === replica);
  const bound = ({ le }) => (le === "+Inf" ? Infinity : Number(le));
  return found.map((one) => [bound(one.labels), one.value]).sort(([one], [other]) => one - other);
}
