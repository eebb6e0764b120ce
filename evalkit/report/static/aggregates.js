// Aggregates, differences and what follows from them over any corpora, by the rules of evalkit/analysis/estimates.py
// and aggregates.py and from the same resamples. `sums` of a corpus are as evalkit/report/sums_data.py writes them.
const BYTES = -1;  // in place of a model
const KINDS = {
  macro: { term: (bits, bytes) => bits / bytes, end: (total, count) => total / count },
  geometric: { term: (bits, bytes) => Math.log(bits / bytes), end: (total, count) => Math.exp(total / count) },
  micro: null,  // all bits over all bytes: two sums
};

// The rows of a corpus's sums: what was measured, and behind it the resamples.
function decodedSums(sums) {
  const text = atob(sums.resamples);
  const bytes = Uint8Array.from({ length: text.length }, (_, place) => text.charCodeAt(place));
  const deviations = new Float32Array(bytes.buffer);  // both are little-endian
  const count = deviations.length / sums.rows.length;
  const rows = new Map(sums.rows.map(([set, model], place) => {
    const measured = sums.measured[place];
    const row = new Float64Array(1 + count).fill(measured);
    for (let draw = 0; draw < count; draw++) row[1 + draw] = measured * (1 + deviations[place * count + draw]);
    return [`${set} ${model}`, row];
  }));
  const places = new Map(sums.configurations.map((model, place) => [model, place]));
  const setOf = (first, second) => sums.common === null ? 0 : sums.common[places.get(first)][places.get(second)];
  return { rows, setOf, count, tails: sums.tails, num_clusters: sums.num_clusters, is_whole: sums.common === null };
}

// A view as the site's data have it, of two corpora or more; an aggregate is computed when it is looked at.
// `corpora`: their indices; `sums`: those of each, decoded; `configurations`: the models that are put side by side.
function computedView(data, corpora, sums, configurations) {
  const scored = (model) => corpora.map((corpus, place) => hasWhole(data, corpus, model) ? place : -1).filter((place) => place >= 0);
  const whole = configurations.filter((model) => scored(model).length === corpora.length);
  const aggregates = {};
  for (const kind of Object.keys(KINDS)) {
    let computed = null;
    Object.defineProperty(aggregates, kind, { enumerable: true, get: () => computed ??= aggregateOf(kind) });
  }
  return { corpora, aggregates };

  function aggregateOf(kind) {
    const levels = {}, partial = {}, pairs = {}, samples = new Map();
    for (const model of configurations) {
      const places = scored(model);
      if (!places.length) continue;
      if (places.length === 1) {
        partial[model] = data.levels[corpora[places[0]]][model];
        continue;
      }
      const parts = places.map((place) => sums[place]);
      samples.set(model, samplesOf(kind, parts, model, model));
      (places.length === corpora.length ? levels : partial)[model] = estimateOf(samples.get(model), parts);
    }
    const areWhole = sums.every(({ is_whole }) => is_whole);
    for (const [first, seconds] of pairings(whole, samples, data.num_neighbors)) {
      for (const second of seconds) {
        const [a, b] = areWhole ? [samples.get(first), samples.get(second)]
          : [samplesOf(kind, sums, first, second), samplesOf(kind, sums, second, first)];
        const gap = estimateOf(a.map((value, draw) => value - b[draw]), sums);
        if (Number.isFinite(gap[0])) (pairs[first] ??= {})[second] = gap;
      }
    }
    return { levels, pairs, partial };
  }
}

// A model's aggregate over what it has in common with another one, or with itself: all that it could represent.
function samplesOf(kind, sums, model, rival) {
  const parts = sums.map(({ rows, setOf }) => {
    const set = setOf(model, rival);
    return [rows.get(`${set} ${model}`), rows.get(`${set} ${BYTES}`)];
  });
  const lengths = new Set(parts.map(([bits]) => bits.length));
  const count = lengths.size === 1 ? parts[0][0].length : 1;
  return Float64Array.from({ length: count }, (_, draw) => {
    let total = 0, bytes = 0;
    for (const [bits, numBytes] of parts) {
      total += kind === "micro" ? bits[draw] : KINDS[kind].term(bits[draw], numBytes[draw]);
      bytes += numBytes[draw];
    }
    return kind === "micro" ? total / bytes : KINDS[kind].end(total, parts.length);
  });
}

// A value and its interval, as `estimates`: the tails are those of the corpus with the fewest clusters.
function estimateOf(samples, sums) {
  const value = roundedTo6(samples[0]);
  if (samples.length === 1 || !samples.subarray(1).every(Number.isFinite)) return [value, null, null];
  const { tails } = sums.reduce((fewest, part) => part.num_clusters < fewest.num_clusters ? part : fewest);
  const sorted = samples.slice(1).sort();
  return [value, ...tails.map((probability) => roundedTo6(quantile(sorted, probability)))];
}

function roundedTo6(value) {
  return Math.round(1e6 * value) / 1e6;
}

// As numpy interpolates: from the nearer of the two.
function quantile(sorted, probability) {
  const place = probability * (sorted.length - 1);
  const before = Math.floor(place), share = place - before;
  const low = sorted[before], high = sorted[Math.min(before + 1, sorted.length - 1)];
  return share >= 0.5 ? high - (high - low) * (1 - share) : low + (high - low) * share;
}

// Who is paired with whom: all, or of more than that many neighbors on both sides each with its neighbors in rank
// and all with the best; as `_pairings` in evalkit/analysis/estimates.py.
function pairings(models, samples, numNeighbors) {
  if (!numNeighbors || models.length <= 2 * numNeighbors + 1) {
    return models.map((model, place) => [model, models.slice(place + 1)]);
  }
  const order = [...models].sort((a, b) => samples.get(a)[0] - samples.get(b)[0] || a - b);
  const partners = new Map(models.map((model) => [model, new Set()]));
  order.forEach((model, rank) => {
    for (const rival of rank ? order.slice(rank + 1, rank + 1 + numNeighbors) : order.slice(1)) {
      partners.get(Math.min(model, rival)).add(Math.max(model, rival));
    }
  });
  return [...partners].map(([model, later]) => [model, [...later].sort((a, b) => a - b)]);
}
