// The leaderboard's controls: chooses among numbers that the site's builder computed.
(() => {
  const form = document.getElementById("controls");
  const table = document.getElementById("leaderboard");
  const status = document.getElementById("status");
  const UNITS = { bpb: "bits per byte", rate: "compression rate %", gap: "difference in bits per byte" };
  const HEAT_LIMITS = [0.01, 0.05, 0.15, 0.4];
  let data;
  let order = { column: "score", descending: false };

  function settings() {
    const values = Object.fromEntries(new FormData(form));
    return { ...values, compressors: form.elements.compressors.checked };
  }

  function viewOf(chosen) {
    const choice = data.choices.find(([policy, source, month]) =>
      policy === chosen.policy && (source || "") === chosen.source && (month || "") === chosen.month);
    return choice ? data.views[choice[3]] : null;
  }

  // The corpora that count: those newer than every model shown, or all where none is; as `counted` in
  // evalkit/analysis/rankings.py.
  function countedView(view, shown, chosen) {
    const models = shown.filter((index) => data.configurations[index].policy !== null);
    const cutoffs = models.map((index) => data.configurations[index].cutoff_day).filter((day) => day !== null).sort();
    const latest = cutoffs.length ? cutoffs[cutoffs.length - 1] : null;
    const isNewer = (corpus) => latest === null || (data.corpora[corpus].first_day !== null && data.corpora[corpus].first_day > latest);
    const newer = view.corpora.filter(isNewer);
    const numUnknown = models.length - cutoffs.length;
    if (chosen.corpora === "all") return [view, "Every corpus counts, also what a model shown may have read: see the marks."];
    const words = countedWords(newer.length, view.corpora.length, latest, numUnknown);
    if (!newer.length) return [view, words];
    return [data.views.find((candidate) => candidate.policy === chosen.policy && String(candidate.corpora) === String(newer)), words];
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

  // Behind ranks and aggregates: the worst that dates say of one of the corpora.
  function markOf(row, columns) {
    const marks = columns.map((corpus) => (data.cells[corpus][row] || ["", ""])[1]).join("");
    return ["†", "?"].find((mark) => marks.includes(mark)) || null;
  }

  function isShown(configuration, chosen) {
    if (configuration.policy === null) return chosen.compressors;
    if (configuration.policy !== chosen.policy) return false;
    if (chosen.size && !(configuration.num_parameters !== null && configuration.num_parameters <= Number(chosen.size))) return false;
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
    if (!scored.length) return { value: null, tied: new Set() };
    const leader = scored.reduce((a, b) => levels[b][0] < levels[a][0] ? b : a);
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
        order = { column: key, descending: order.column === key && !order.descending };
        draw();
        table.querySelector(`[data-sort="${CSS.escape(key)}"]`).focus();
      });
      cells.push(head);
    };
    cells.push(element("th", { scope: "col", class: "rank" }, "rank"));
    sortable("model", "model", { class: "model" });
    sortable("size", "size", { class: "size" });
    sortable("score", data.aggregates[chosen.aggregate], { class: "aggregate" });
    cells.push(element("td", { class: "forest-cell" }));
    if (chosen.unit === "bpb") cells.push(element("th", { scope: "col" }, "rate %"));
    for (const index of columns) {
      const corpus = data.corpora[index];
      sortable(`corpus-${index}`, corpus.label, { class: "corpus" },
        element("small", {}, element("a", { href: corpus.href }, corpus.dates)));
    }
    return element("thead", {}, element("tr", {}, ...cells));
  }

  function compare(a, b, aggregate, view) {
    const keys = { model: (row) => data.configurations[row].label.toLowerCase(), size: (row) => data.configurations[row].num_parameters };
    const score = (row) => row in aggregate.levels ? aggregate.levels[row][0] : null;
    const key = order.column === "score" ? score
      : keys[order.column] || ((row) => (data.levels[order.column.slice(7)] || {})[row]?.[0] ?? null);
    const [first, second] = [key(a), key(b)];
    if (first === null || second === null) return (first === null) - (second === null) || a - b;  // unknown: last
    const direction = order.descending ? -1 : 1;
    return (first < second ? -direction : first > second ? direction : a - b);
  }

  function draw() {
    const chosen = settings();
    const choice = viewOf(chosen);
    document.getElementById("reference-field").hidden = chosen.unit !== "gap";
    const all = data.configurations.map((_, index) => index);
    const possible = all.filter((index) => data.configurations[index].policy === null || data.configurations[index].policy === chosen.policy);
    const shown = choice ? possible.filter((index) => isShown(data.configurations[index], chosen)
      && choice.corpora.some((corpus) => index in data.levels[corpus])) : [];
    const [view, counted] = choice ? countedView(choice, shown, chosen) : [null, ""];
    document.getElementById("counted").textContent = counted;
    const columns = view ? view.corpora : [];
    const aggregate = view ? view.aggregates[chosen.aggregate] : { levels: {}, pairs: {} };
    const pairs = aggregate.pairs || (view ? data.pairs[columns[0]] : {});
    const ranked = shown.filter((index) => index in aggregate.levels);
    const ranks = ranksOf(pairs, aggregate.levels, ranked);
    const gapOf = (row, reference) => difference(pairs, row, reference, unpaired(aggregate.levels));
    const references = drawReferences(chosen, ranked, aggregate);
    const reference = chosen.unit === "gap" ? references : null;
    const rows = [...shown].sort((a, b) => compare(a, b, aggregate, view));
    const best = new Map(columns.map((corpus) => [corpus, bestOf(corpus, shown)]));
    const levels = ranked.map((index) => aggregate.levels[index]);
    const places = decimals(levels.map(halfWidth));
    const models = ranked.filter((index) => data.configurations[index].policy !== null);
    const shownGaps = reference === null ? [] : (models.length ? models : ranked).map((row) => row === reference ? [0, 0, 0] : gapOf(row, reference)).filter((gap) => gap !== null);
    const setting = models.length ? models : ranked;
    const drawn = reference === null ? setting.map((index) => aggregate.levels[index]) : shownGaps;
    const low = Math.min(...drawn.map((estimate) => estimate[1] ?? estimate[0])), high = Math.max(...drawn.map((estimate) => estimate[2] ?? estimate[0]));
    const body = element("tbody");
    for (const row of rows) {
      const configuration = data.configurations[row];
      const level = aggregate.levels[row];
      const rank = ranks.get(row);
      const gap = reference === null || !level ? null : row === reference ? [0, 0, 0] : gapOf(row, reference);
      const mark = rank ? markOf(row, columns) : null;
      const score = reference !== null ? (row === reference ? ["reference"] : gapNodes(gap)) : level ? estimateNodes(level, places, chosen.unit, mark) : ["–"];
      const plotted = reference === null ? level : gap;
      const line = element("tr", { "data-configuration": row },
        element("td", { class: "rank" }, rank ? (rank[0] === rank[1] ? String(rank[0]) : `${rank[0]}–${rank[1]}`) : "–", mark && element("sup", {}, mark)),
        element("th", { scope: "row", class: "model" }, element("a", { href: configuration.href }, configuration.label), element("small", {}, configuration.details)),
        element("td", { class: "size" }, configuration.size),
        element("td", { class: "aggregate", "data-aggregate": chosen.aggregate }, ...score),
        element("td", { class: "forest-cell" }, plotted ? forest(plotted, low, high) : ""));
      if (chosen.unit === "bpb") line.append(element("td", {}, level ? fixed(12.5 * level[0], 2) : "–"));
      for (const corpus of columns) line.append(cell(row, corpus, chosen, reference, best.get(corpus)));
      body.append(line);
    }
    const caption = element("caption", {}, `${UNITS[chosen.unit]}, policy `, element("b", {}, chosen.policy),
      reference === null ? "" : `: each model minus ${data.configurations[reference].label}, paired, with 95 % interval; negative is better`);
    table.dataset.policy = chosen.policy;
    table.replaceChildren(caption, header(columns, chosen), body);
    const noun = shown.length === 1 ? "model" : "models";
    status.textContent = view ? `${shown.length} of ${possible.length} ${noun} on ${columns.length} ${columns.length === 1 ? "corpus" : "corpora"}`
      : "No corpus fits these filters.";
    const active = ["source", "month", "size", "license"].filter((name) => chosen[name]).length + (chosen.compressors ? 0 : 1)
      + (chosen.policy === data.choices[0][0] ? 0 : 1);
    document.getElementById("num-filters").textContent = active ? `(${active})` : "";
    remember(chosen);
  }

  function drawReferences(chosen, ranked, aggregate) {
    const select = form.elements.reference;
    const sorted = [...ranked].sort((a, b) => aggregate.levels[a][0] - aggregate.levels[b][0] || a - b);
    const before = select.value;
    select.replaceChildren(...sorted.map((index) => element("option", { value: index }, data.configurations[index].label)));
    if (sorted.some((index) => String(index) === before) && select.dataset.touched) select.value = before;
    return sorted.length ? Number(select.value) : null;
  }

  function cell(row, corpus, chosen, reference, best) {
    const level = data.levels[corpus][row];
    if (!level) return element("td", { class: "cell", "data-corpus": corpus }, element("span", { class: "none", title: "not scored" }, "–"));
    const [href, marks, title] = data.cells[corpus][row];
    const places = data.corpora[corpus].decimals;
    const factor = chosen.unit === "rate" ? 12.5 : 1;
    const digits = chosen.unit === "rate" ? Math.max(2, places - 1) : places;
    const heat = best.value > 0 ? HEAT_LIMITS.filter((limit) => level[0] / best.value - 1 > limit).length : 0;
    const node = element("td", { class: `cell h${heat}${best.tied.has(row) ? " best" : ""}`, "data-corpus": corpus });
    if (reference !== null) {
      const gap = row === reference ? null : difference(data.pairs[corpus], row, reference, unpaired(data.levels[corpus]));
      const shown = row === reference ? ["reference"] : gapNodes(gap);
      node.append(element("a", { href, title }, shown[0]), ...shown.slice(1));
      node.className = "cell";
    } else {
      node.append(element("a", { href, title }, fixed(factor * level[0], digits)));
      if (marks) node.append(element("sup", {}, marks));
      if (level[1] !== null) node.append(" ", element("small", {}, `± ${fixed(factor * halfWidth(level), digits)}`));
    }
    return node;
  }

  function remember(chosen) {
    const defaults = { aggregate: data.headline, unit: "bpb", corpora: "newer", policy: data.choices[0][0], compressors: true };
    const values = {};
    for (const [key, value] of Object.entries(chosen)) {
      if (key !== "reference" && value !== (defaults[key] ?? "")) values[key] = value;
    }
    writeHash(values);
  }

  function recall() {
    for (const [key, value] of Object.entries(readHash())) {
      const control = form.elements[key];
      if (!control || key === "reference") continue;
      if (key === "compressors") control.checked = value !== "false";
      else control.value = value;
      if (control instanceof HTMLSelectElement && control.selectedIndex < 0) control.selectedIndex = 0;
    }
    if (!form.elements.aggregate.value) form.elements.aggregate.value = data.headline;
    if (!form.elements.unit.value) form.elements.unit.value = "bpb";
    if (!form.elements.corpora.value) form.elements.corpora.value = "newer";
  }

  load("data/leaderboard.js").then((value) => {
    data = value;
    if (!data.configurations.length) return;  // only probes
    form.hidden = false;
    if (matchMedia("(min-width: 64rem)").matches) document.getElementById("filters").open = true;
    recall();
    form.addEventListener("change", (event) => {
      if (event.target.name === "reference") event.target.dataset.touched = "yes";
      draw();
    });
    form.addEventListener("reset", () => setTimeout(draw));
    form.addEventListener("submit", (event) => event.preventDefault());
    draw();
  }).catch(complain);
})();
