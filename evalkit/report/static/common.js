"use strict";
// Shared by all pages. Data come from scripts, for a page opened as a file may not fetch anything.
const pending = new Map();
const loaded = new Map();
const root = document.body.dataset.root;

function evalkitData(path, value) {
  loaded.set(path, value);
}

function load(path) {
  if (loaded.has(path)) return Promise.resolve(loaded.get(path));
  if (!pending.has(path)) {
    pending.set(path, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.charset = "utf-8";
      script.src = root + path.split("/").map(encodeURIComponent).join("/");
      script.onload = () => loaded.has(path) ? resolve(loaded.get(path)) : reject(new Error(`${path} holds no data`));
      script.onerror = () => reject(new Error(`${path} cannot be loaded`));
      document.head.append(script);
    }));
  }
  return pending.get(path);
}

// Elements are only ever made of text: nothing that a document or a name holds is parsed.
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// As Python rounds: of two texts that are equally near the even one, where toFixed takes the one further from 0.
function rounded(value, places) {
  const exact = value.toFixed(60);
  const [head, tail] = [exact.slice(0, places - 60), exact.slice(places - 60)];
  return /^50*$/.test(tail) && /[02468]$/.test(head) ? head : value.toFixed(places);
}

function fixed(value, places) {
  return value === null ? "–" : rounded(value, places).replace("-", "−");
}

function signed(value, places) {
  if (value === null) return "–";
  const text = rounded(value, places);
  if (Number(text) === 0) return (0).toFixed(places);
  return (value > 0 ? "+" : "") + text.replace("-", "−");
}

function commas(value) {
  return value.toLocaleString("en-US");
}

// As `decimals` in evalkit/report/text.py.
function decimals(halfWidths) {
  const positive = halfWidths.filter((width) => width !== null && width > 0);
  const least = positive.length ? Math.min(...positive) : 1;
  return least >= 1e-3 ? 3 : least >= 1e-4 ? 4 : 5;
}

function halfWidth(estimate) {
  return estimate[1] === null ? null : (estimate[2] - estimate[1]) / 2;
}

function negated(estimate) {
  return estimate[1] === null ? [0 - estimate[0], null, null] : [0 - estimate[0], 0 - estimate[2], 0 - estimate[1]];
}

function sign(estimate) {
  return estimate[1] === null ? 0 : (estimate[1] > 0) - (estimate[2] < 0);
}

// First minus second, whichever way round the pairs hold it; null where they do not. With levels, models that
// are too far apart to be paired have what their levels allow; as `unpaired` in evalkit/analysis/pair_table.py.
function difference(pairs, first, second, levels = null) {
  if (first in pairs && second in pairs[first]) return pairs[first][second];
  if (second in pairs && first in pairs[second]) return negated(pairs[second][first]);
  if (levels === null || !(first in levels && second in levels)) return null;
  const [a, b] = [levels[first], levels[second]];
  return a[1] === null || b[1] === null ? [a[0] - b[0], null, null] : [a[0] - b[0], a[1] - b[2], a[2] - b[1]];
}

// Behind ranks and aggregates of a model: the worst that dates say of one of the corpora.
function markOf(cells, row, corpora) {
  const marks = corpora.map((corpus) => (cells[corpus][row] || ["", ""])[1]).join("");
  return ["†", "?"].find((mark) => marks.includes(mark)) || null;
}

// Whether a model was scored on a whole corpus: aggregates are over such corpora alone.
function hasWhole(data, corpus, row) {
  return row in data.levels[corpus] && !data.in_part[corpus].includes(Number(row));
}

// Over how many of a view's corpora a model's aggregate is, where it lacks some; as `part_text` in
// evalkit/report/front_page.py.
function partText(data, view, row) {
  const numScored = view.corpora.filter((corpus) => hasWhole(data, corpus, row)).length;
  return numScored < view.corpora.length ? `${numScored} of ${view.corpora.length}` : "";
}

function gapNodes(gap) {
  if (gap === null) return ["–"];
  const places = Math.max(4, decimals([halfWidth(gap)]));
  const verdict = gap[1] === null ? "unknown" : ["better", "tie", "worse"][sign(gap) + 1];
  const range = gap[1] === null ? "no interval" : `${signed(gap[1], places)} to ${signed(gap[2], places)}`;
  return [element("span", { class: `gap ${verdict}` }, signed(gap[0], places)), " ", element("small", {}, range)];
}

// An estimate with its interval as a dot on a line between two numbers; beyond them an arrow.
function forest(estimate, low, high) {
  const place = (value) => (6 + 108 * (value - low) / (high - low || 1)).toFixed(1);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 120 16");
  svg.setAttribute("class", "forest");
  svg.setAttribute("aria-hidden", "true");
  const add = (name, attributes) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.append(part);
  };
  if (low <= 0 && high >= 0) add("line", { class: "zero", x1: place(0), x2: place(0), y1: 0, y2: 16 });
  if (estimate[0] < low) add("path", { class: "beyond", d: "M8 3 L1 8 L8 13 Z" });
  else if (estimate[0] > high) add("path", { class: "beyond", d: "M112 3 L119 8 L112 13 Z" });
  if (estimate[0] < low || estimate[0] > high) return svg;
  if (estimate[1] !== null) add("line", { x1: place(estimate[1]), x2: place(estimate[2]), y1: 8, y2: 8 });
  add("circle", { cx: place(estimate[0]), cy: 8, r: 3.4 });
  return svg;
}

function complain(error) {
  const status = document.getElementById("status");
  if (status) status.textContent = `${error.message}; is the site whole?`;
  else throw error;
}

function readHash() {
  const values = {};
  for (const part of location.hash.slice(1).split("&")) {
    const [key, value] = part.split("=", 2);
    try {
      if (key && value !== undefined) values[key] = decodeURIComponent(value);
    } catch (error) {
      if (!(error instanceof URIError)) throw error;  // a broken link opens the page as it is
    }
  }
  return values;
}

function writtenHash(values) {
  const parts = Object.entries(values).filter(([, value]) => value !== "" && value !== null);
  return parts.map(([key, value]) => `${key}=${encodeURIComponent(value).replace(/%2[CF]/g, decodeURIComponent)}`).join("&");
}

// With `isStep` the browser's Back leads to what was there before.
function writeHash(values, isStep = false) {
  const hash = writtenHash(values);
  if (location.hash === (hash && `#${hash}`)) return;
  const address = hash ? `#${hash}` : location.pathname + location.search;
  if (isStep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

// The form of a corpus's page on which two models are chosen, or one: drawn with the page's data, whether this is
// a step to which Back leads, then with every change.
function chooseTwo(form, path, draw) {
  load(path).then((data) => {
    const recall = () => {
      const hash = readHash();
      for (const name of ["a", "b"]) {
        if (data.configurations.some((configuration) => configuration.key === hash[name])) form.elements[name].value = hash[name];
      }
      if (hash.a && !hash.b) form.elements.b.value = "";
      draw(data, false);
    };
    form.hidden = false;
    form.addEventListener("change", () => draw(data, true));
    form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("popstate", recall);
    recall();
  }).catch(complain);
}

// Its name among a page's models.
function labelIn(data, key) {
  return data.configurations.find((configuration) => configuration.key === key).label;
}
