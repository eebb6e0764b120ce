// The leaderboard's controls: chooses among numbers that the site's builder computed.
(() => {
  const form = document.getElementById("controls");
  const table = document.getElementById("leaderboard");
  const status = document.getElementById("status");
  const UNITS = { bpb: "bits per byte", rate: "compression rate %", gap: "difference in bits per byte" };
  const HEAT_LIMITS = [0.01, 0.05, 0.15, 0.4];
  const SIZE_LIMITS = [2e8, 5e8, 1e9, 1.6e9, 3.5e9, 8.5e9, 1.5e10, 4e10, 1e11];  // of the slider, which ends with no limit
  const OF_CORPUS = "corpus:";  // before the key of a corpus, in links that sort by it
  const BY_SCORE = { column: "score", descending: false };
  let data;
  let order = BY_SCORE;
  let reference = "";  // the key of a model; empty: the best
  let shownCsv;  // makes a file of the table as it is now
  const computed = new Map();  // views of corpora that the site has none of, by policy and corpora

  function settings() {
    const values = Object.fromEntries(new FormData(form));
    const limit = SIZE_LIMITS[Number(values.size)] ?? null;
    return { ...values, limit, columns: ticked("column"), source: ticked("source"), language: ticked("language"),
      compressors: form.elements.compressors.checked };
  }

  function boxes(name) {
    return [...form.querySelectorAll(`[name=${name}]`)];
  }

  function ticked(name) {
    return boxes(name).filter((box) => box.checked).map((box) => box.value);
  }

  // The corpora of the policy and month, of those sources and languages that are ticked.
  function corporaOf(chosen) {
    const choice = data.choices.find(([policy, source, month]) =>
      policy === chosen.policy && source === null && (month || "all") === chosen.month);
    const isChosen = (names, name) => !names.length || names.includes(name);
    const sources = data.sources.filter(({ key, language }) => isChosen(chosen.source, key) && isChosen(chosen.language, language));
    const labels = new Set(sources.map(({ label }) => label));
    return choice ? data.views[choice[3]].corpora.filter((corpus) => labels.has(data.corpora[corpus].source)) : [];
  }

  // The numbers over these corpora; undefined where their resamples must be loaded first.
  function viewOver(policy, corpora) {
    return data.views.find((view) => view.policy === policy && String(view.corpora) === String(corpora))
      ?? computed.get(`${policy} ${corpora}`);
  }

  function compute(policy, corpora) {
    return Promise.all(corpora.map((corpus) => load(`data/sums/${data.corpora[corpus].key}.js`))).then((sums) => {
      const compared = data.configurations.map((_, index) => index)
        .filter((index) => [null, policy].includes(data.configurations[index].policy));
      computed.set(`${policy} ${corpora}`, computedView(data, corpora, sums.map(decodedSums), compared));
    });
  }

  // The corpora that count: those newer than every model shown, or all where none is; as `counted` in
  // evalkit/analysis/rankings.py.
  function countedCorpora(corpora, shown, chosen) {
    const models = shown.filter((index) => data.configurations[index].policy !== null);
    const cutoffs = models.map((index) => data.configurations[index].cutoff_day).filter((day) => day !== null).sort();
    const latest = cutoffs.length ? cutoffs[cutoffs.length - 1] : null;
    const isNewer = (corpus) => latest === null || (data.corpora[corpus].first_day !== null && data.corpora[corpus].first_day > latest);
    const newer = corpora.filter(isNewer);
    const numUnknown = models.length - cutoffs.length;
    if (!corpora.length) return [corpora, ""];
    if (chosen.corpora === "all") return [corpora, "Every corpus counts, also what a model shown may have read: see the marks."];
    return [newer.length ? newer : corpora, countedWords(newer.length, corpora.length, latest, numUnknown)];
  }

  // As `counted_words` in evalkit/report/front_page.py.
  function countedWords(numNewer, numCorpora, latest, numUnknown) {
    const until = `(cutoffs and releases until ${latest})`;
    if (latest === null && numUnknown) return "Every corpus counts: of no model shown is it known when its training data end.";
    if (latest === null) return "Every corpus counts: compressors have read nothing.";
    const words = !numNewer ? `No corpus is newer than every model shown ${until}, so every corpus counts: see the marks.`
      : numNewer === numCorpora ? `Every corpus is newer than every model shown ${until}.`
      : `${numNewer} of ${numCorpora} corpora count: those newer than every model shown ${until}.`;
    if (!numUnknown) return words;
    const models = numUnknown === 1 ? "1 model does" : `${numUnknown} models do`;
    return `${words} ${models} not decide this, for it is not known when their training data end: ?.`;
  }

  function isShown(configuration, chosen) {
    if (configuration.policy === null) return chosen.compressors;
    if (configuration.policy !== chosen.policy) return false;
    if (chosen.limit !== null && !(configuration.num_parameters !== null && configuration.num_parameters <= chosen.limit)) return false;
    return !chosen.license || configuration.license === chosen.license;
  }

  // Of models that are too many for all pairs, the levels that speak for those that are not paired.
  function unpaired(levels) {
    return data.num_neighbors ? levels : null;
  }

  function ranksOf(pairs, levels, ranked) {
    const ranks = new Map();
    for (const index of ranked) {
      let better = 0, worse = 0;
      for (const rival of ranked) {
        const gap = index === rival ? null : difference(pairs, index, rival, unpaired(levels));
        if (gap !== null && sign(gap) > 0) better += 1;
        if (gap !== null && sign(gap) < 0) worse += 1;
      }
      ranks.set(index, [1 + better, ranked.length - worse]);
    }
    return ranks;
  }

  function bestOf(corpus, shown) {
    const levels = data.levels[corpus];
    const scored = shown.filter((index) => index in levels);
    const whole = scored.filter((index) => hasWhole(data, corpus, index));
    if (!whole.length) return { value: null, tied: new Set() };
    const leader = whole.reduce((a, b) => levels[b][0] < levels[a][0] ? b : a);
    const tied = new Set([leader]);
    for (const index of scored) {
      const gap = index === leader ? null : difference(data.pairs[corpus], index, leader, unpaired(levels));
      if (gap !== null && gap[1] !== null && sign(gap) === 0) tied.add(index);
    }
    return { value: levels[leader][0], tied };
  }

  function estimateNodes(estimate, places, unit, mark) {
    const factor = unit === "rate" ? 12.5 : 1;
    const digits = unit === "rate" ? Math.max(2, places - 1) : places;
    const half = halfWidth(estimate);
    const nodes = [element("span", { class: "value" }, fixed(factor * estimate[0], digits))];
    if (mark) nodes.push(element("sup", {}, mark));
    if (half !== null) nodes.push(" ", element("small", {}, `± ${fixed(factor * half, digits)}`));
    return nodes;
  }

  function header(columns, chosen) {
    const cells = [];
    const sortable = (key, name, attributes, ...below) => {
      const button = element("button", { type: "button", class: "sort", "data-sort": key }, name);
      const direction = order.column === key ? (order.descending ? "descending" : "ascending") : null;
      const head = element("th", { scope: "col", "aria-sort": direction, ...attributes }, button, ...below);
      button.addEventListener("click", () => {
        const descending = order.column === key && !order.descending;
        order = key === "score" && !descending ? BY_SCORE : { column: key, descending };
        draw();
        table.querySelector(`[data-sort="${CSS.escape(key)}"]`).focus();
      });
      cells.push(head);
    };
    cells.push(element("th", { scope: "col", class: "rank" }, "rank"));
    sortable("model", "model", { class: "model" });
    sortable("score", data.aggregates[chosen.aggregate], { class: "aggregate headline" });
    cells.push(element("td", { class: "forest-cell" }));
    for (const { name, heading } of optional(chosen)) sortable(name, heading, { class: name });
    for (const index of columns) {
      const corpus = data.corpora[index];
      sortable(`${OF_CORPUS}${corpus.key}`, corpus.label, { class: "corpus" },
        element("small", {}, element("a", { href: corpus.href }, corpus.dates)));
    }
    return element("thead", {}, element("tr", {}, ...cells));
  }

  function optional(chosen) {
    return data.optional_columns.filter(({ name }) => chosen.columns.includes(name));
  }

  function compare(a, b, aggregate) {
    const keys = { model: (row) => data.configurations[row].label.toLowerCase(), size: (row) => data.configurations[row].num_parameters };
    const score = (row) => row in aggregate.levels ? aggregate.levels[row][0] : null;
    const corpus = data.corpora.findIndex(({ key }) => order.column === OF_CORPUS + key);
    const key = order.column === "score" ? score
      : corpus >= 0 ? (row) => (data.levels[corpus][row] || [null])[0]
      : keys[order.column] || ((row) => data.configurations[row][order.column] ?? null);
    const [first, second] = [key(a), key(b)];
    if (first === null || second === null) return (first === null) - (second === null) || a - b;  // unknown: last
    const direction = order.descending ? -1 : 1;
    return (first < second ? -direction : first > second ? direction : a - b);
  }

  function draw({ isStep = true } = {}) {
    const chosen = settings();
    document.getElementById("size-limit").textContent = chosen.limit === null ? "any" : `${chosen.limit / 1e9} B`;
    const corpora = corporaOf(chosen);
    document.getElementById("reference-field").hidden = chosen.unit !== "gap";
    const all = data.configurations.map((_, index) => index);
    const possible = all.filter((index) => data.configurations[index].policy === null || data.configurations[index].policy === chosen.policy);
    const shown = possible.filter((index) => isShown(data.configurations[index], chosen)
      && corpora.some((corpus) => index in data.levels[corpus]));
    const [columns, counted] = countedCorpora(corpora, shown, chosen);
    const view = columns.length ? viewOver(chosen.policy, columns) : null;
    const changed = stateOf(chosen);
    writeHash(changed, isStep);
    document.getElementById("csv").disabled = view === undefined;
    if (view === undefined) {
      status.textContent = `Loading what ${columns.length} corpora have together …`;
      compute(chosen.policy, columns).then(() => draw({ isStep: false })).catch(complain);
      return;
    }
    document.getElementById("counted").textContent = counted;
    const aggregate = view ? view.aggregates[chosen.aggregate] : { levels: {}, pairs: {}, partial: {} };
    const pairs = aggregate.pairs || (view ? data.pairs[columns[0]] : {});
    const ranked = shown.filter((index) => index in aggregate.levels);
    const ranks = ranksOf(pairs, aggregate.levels, ranked);
    const gapOf = (row, reference) => difference(pairs, row, reference, unpaired(aggregate.levels));
    const references = drawReferences(ranked, aggregate);
    const minus = chosen.unit === "gap" ? references : null;
    const sought = chosen.q.trim().toLowerCase();
    const rows = shown.filter((index) => data.configurations[index].label.toLowerCase().includes(sought))
      .sort((a, b) => compare(a, b, aggregate));
    const best = new Map(columns.map((corpus) => [corpus, bestOf(corpus, shown)]));
    const levels = ranked.map((index) => aggregate.levels[index]);
    const places = decimals(levels.map(halfWidth));
    const models = ranked.filter((index) => data.configurations[index].policy !== null);
    const shownGaps = minus === null ? [] : (models.length ? models : ranked).map((row) => row === minus ? [0, 0, 0] : gapOf(row, minus)).filter((gap) => gap !== null);
    const setting = models.length ? models : ranked;
    const drawn = minus === null ? setting.map((index) => aggregate.levels[index]) : shownGaps;
    const low = Math.min(...drawn.map((estimate) => estimate[1] ?? estimate[0])), high = Math.max(...drawn.map((estimate) => estimate[2] ?? estimate[0]));
    const body = element("tbody");
    for (const row of rows) {
      const configuration = data.configurations[row];
      const level = aggregate.levels[row];
      const rank = ranks.get(row);
      const gap = minus === null || !level ? null : row === minus ? [0, 0, 0] : gapOf(row, minus);
      const part = level ? null : aggregate.partial[row];
      const mark = level || part ? markOf(data.cells, row, columns) : null;
      const score = minus !== null ? (row === minus ? ["reference"] : gapNodes(gap)) : level ? estimateNodes(level, places, chosen.unit, mark)
        : part ? [...estimateNodes(part, places, chosen.unit, mark), " ", element("small", { class: "part" }, partText(data, view, row))] : ["–"];
      const plotted = minus === null ? level : gap;
      const line = element("tr", { "data-configuration": row },
        element("td", { class: "rank" }, rank ? (rank[0] === rank[1] ? String(rank[0]) : `${rank[0]}–${rank[1]}`) : "–", rank && mark ? element("sup", {}, mark) : null),
        element("th", { scope: "row", class: "model" }, element("a", { href: configuration.href }, configuration.label), element("small", {}, configuration.details)),
        element("td", { class: "aggregate headline", "data-aggregate": chosen.aggregate }, ...score),
        element("td", { class: "forest-cell" }, plotted ? forest(plotted, low, high) : ""));
      for (const { name } of optional(chosen)) line.append(element("td", { class: name }, configuration[name] ?? "–"));
      for (const corpus of columns) line.append(cell(row, corpus, chosen, minus, best.get(corpus)));
      body.append(line);
    }
    const month = chosen.month === "all" ? "" : `, ${chosen.month}`;
    const caption = element("caption", {}, `${UNITS[chosen.unit]}${month}, policy `, element("b", {}, chosen.policy),
      minus === null ? "" : `: each model minus ${data.configurations[minus].label}, paired, with 95 % interval; negative is better`);
    table.dataset.policy = chosen.policy;
    table.replaceChildren(caption, header(columns, chosen), body);
    const noun = possible.length === 1 ? "model" : "models";
    status.textContent = view ? `${rows.length} of ${possible.length} ${noun} on ${columns.length} ${columns.length === 1 ? "corpus" : "corpora"}`
      : "No corpus fits these filters.";
    const active = ["aggregate", "policy", "source", "language", "size", "license", "columns", "compressors"].filter((name) => name in changed).length;
    document.getElementById("num-filters").textContent = active ? `(${active})` : "";
    shownCsv = () => csvOf({ rows, columns, ranks, aggregate, chosen, minus, gapOf });
  }

  // The index of the model that differences are to; the best where none was chosen, or it is not ranked.
  function drawReferences(ranked, aggregate) {
    const select = form.elements.reference;
    const sorted = [...ranked].sort((a, b) => aggregate.levels[a][0] - aggregate.levels[b][0] || a - b);
    const keys = sorted.map((index) => data.configurations[index].key);
    select.replaceChildren(...sorted.map((index, place) => element("option", { value: keys[place] }, data.configurations[index].label)));
    const place = Math.max(0, keys.indexOf(reference));
    select.selectedIndex = sorted.length ? place : -1;
    return sorted.length ? sorted[place] : null;
  }

  function cell(row, corpus, chosen, minus, best) {
    const level = data.levels[corpus][row];
    if (!level) return element("td", { class: "cell", "data-corpus": corpus }, element("span", { class: "none", title: "not scored" }, "–"));
    const [href, marks, title] = data.cells[corpus][row];
    const places = data.corpora[corpus].decimals;
    const factor = chosen.unit === "rate" ? 12.5 : 1;
    const digits = chosen.unit === "rate" ? Math.max(2, places - 1) : places;
    const heat = !hasWhole(data, corpus, row) ? HEAT_LIMITS.length : best.value > 0 ? HEAT_LIMITS.filter((limit) => level[0] / best.value - 1 > limit).length : 0;
    const node = element("td", { class: `cell h${heat}${best.tied.has(row) ? " best" : ""}`, "data-corpus": corpus });
    if (minus !== null) {
      const shown = row === minus ? ["reference"] : gapNodes(gapOn(corpus, row, minus));
      node.append(element("a", { href, title }, shown[0]), ...shown.slice(1));
      node.className = "cell";
    } else {
      node.append(element("a", { href, title }, fixed(factor * level[0], digits)));
      if (marks) node.append(element("sup", {}, marks));
      if (level[1] !== null) node.append(" ", element("small", {}, `± ${fixed(factor * halfWidth(level), digits)}`));
    }
    return node;
  }

  function gapOn(corpus, row, reference) {
    return difference(data.pairs[corpus], row, reference, unpaired(data.levels[corpus]));
  }

  // What differs from how the page opens, for links.
  function stateOf(chosen) {
    const state = {};
    for (const [key, value] of Object.entries(defaults())) {
      if (chosen[key] !== value) state[key] = chosen[key];
    }
    const usual = data.optional_columns.filter(({ is_shown }) => is_shown).map(({ name }) => name);
    if (String(chosen.columns) !== String(usual)) state.columns = chosen.columns.join(",") || "none";
    for (const name of ["source", "language"]) {
      if (chosen[name].length) state[name] = chosen[name].map(encodeURIComponent).join(",");
    }
    if (reference) state.reference = reference;
    if (order !== BY_SCORE) state.sort = (order.descending ? "-" : "") + order.column;
    return state;
  }

  function defaults() {
    return { aggregate: data.headline, unit: "bpb", corpora: "newer", policy: data.choices[0][0],
      month: data.default_month ?? "all", size: String(SIZE_LIMITS.length), license: "", q: "", compressors: true };
  }

  function recall() {
    const state = readHash();
    for (const [key, usual] of Object.entries(defaults())) {
      const control = form.elements[key];
      if (key === "compressors") control.checked = state[key] !== "false";
      else control.value = state[key] ?? usual;
      const isUnknown = control instanceof HTMLSelectElement ? control.selectedIndex < 0 : control instanceof RadioNodeList && !control.value;
      if (isUnknown) control.value = usual;
    }
    const names = state.columns === undefined ? null : state.columns.split(",");
    for (const name of ["source", "language"]) {
      const chosen = (state[name] ?? "").split(",");
      for (const box of boxes(name)) box.checked = chosen.includes(encodeURIComponent(box.value));
    }
    for (const box of boxes("column")) box.checked = names === null ? box.defaultChecked : names.includes(box.value);
    reference = state.reference ?? "";
    const column = (state.sort ?? "").replace(/^-/, "");
    const isKnown = column === "model" || data.optional_columns.some(({ name }) => name === column)
      || data.corpora.some(({ key }) => column === OF_CORPUS + key) || (column === "score" && state.sort !== column);
    order = isKnown ? { column, descending: state.sort.startsWith("-") } : BY_SCORE;
  }

  // What is shown, with all digits: levels in bits per byte, and where differences are shown these beside them. A
  // text that begins like a formula has an apostrophe before it, for the reasons in evalkit/spreadsheets.py.
  function csvOf({ rows, columns, ranks, aggregate, chosen, minus, gapOf }) {
    const text = (value) => {
      const plain = value === null || value === undefined ? "" : String(value);
      const safe = typeof value === "string" && /^(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])/.test(plain) ? `'${plain}` : plain;
      return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const three = (name) => [name, `${name} low`, `${name} high`];
    const unknown = [null, null, null];
    const against = minus === null ? null : data.configurations[minus].label;
    const both = (name) => against === null ? three(name) : [...three(name), ...three(`${name} minus ${against}`)];
    const withGap = (level, gap) => against === null ? level ?? unknown : [...level ?? unknown, ...gap ?? unknown];
    const facts = optional(chosen).map(({ name }) => name);
    const labels = columns.map((corpus) => data.corpora[corpus].label);
    const table = [["model", "policy", "rank from", "rank to", ...facts,
      ...both(chosen.aggregate), `${chosen.aggregate} corpora`, "corpora", ...labels.flatMap(both)]];
    for (const row of rows) {
      const configuration = data.configurations[row];
      const gap = (of) => minus === null || row === minus ? null : of();
      table.push([configuration.label, configuration.policy, ...(ranks.get(row) || [null, null]),
        ...facts.map((name) => name === "size" ? configuration.num_parameters : configuration[name]),
        ...withGap(aggregate.levels[row] ?? aggregate.partial[row], gap(() => row in aggregate.levels ? gapOf(row, minus) : null)),
        columns.filter((corpus) => hasWhole(data, corpus, row)).length, columns.length,
        ...columns.flatMap((corpus) => withGap(data.levels[corpus][row], gap(() => gapOn(corpus, row, minus))))]);
    }
    return table.map((line) => line.map(text).join(",") + "\r\n").join("");
  }

  function save(name, content) {
    const address = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
    element("a", { href: address, download: name }).click();
    URL.revokeObjectURL(address);
  }

  function step(by) {
    const select = form.elements.month;
    const last = select.options.length - 1;
    const from = select.selectedIndex === 0 && by < 0 ? last + 1 : select.selectedIndex;
    select.selectedIndex = Math.min(last, Math.max(1, from + by));
    draw();
  }

  load("data/leaderboard.js").then((value) => {
    data = value;
    if (!data.configurations.length) return;  // only probes
    form.hidden = false;
    form.elements.size.max = form.elements.size.defaultValue = SIZE_LIMITS.length;
    recall();
    form.addEventListener("input", (event) => {
      if (event.target.name === "q") draw({ isStep: false });
    });
    form.addEventListener("change", (event) => {
      if (event.target.name === "reference") reference = event.target.value;
      if (event.target.name !== "q") draw();
    });
    form.addEventListener("reset", () => setTimeout(() => {
      reference = "";
      order = BY_SCORE;
      draw();
    }));
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const button of form.querySelectorAll("[data-step]")) button.addEventListener("click", () => step(Number(button.dataset.step)));
    document.getElementById("csv").addEventListener("click", () => save("leaderboard.csv", shownCsv()));
    addEventListener("popstate", () => {
      recall();
      draw({ isStep: false });
    });
    draw({ isStep: false });
  }).catch(complain);
})();
