// Two models on every corpus that both were scored on, and the documents that make the difference.
(() => {
  const form = document.getElementById("controls");
  const status = document.getElementById("status");
  const corpusSelect = document.getElementById("corpus");
  const NUM_DOCUMENTS = 10;
  let data;
  let chosenCorpus;  // the key of one of the corpora; none: the first that both have

  function corpusOf(key) {
    return data.corpora.find((corpus) => corpus.key === key);
  }

  function comparable(a, b) {
    const [first, second] = [data.configurations[a].policy, data.configurations[b].policy];
    return first === second || first === null || second === null;
  }

  function draw({ isStep }) {
    const a = Number(form.elements.a.value), b = Number(form.elements.b.value);
    const [first, second] = [data.configurations[a], data.configurations[b]];
    const writeState = (corpus) => writeHash({ a: first.key, b: second.key, corpus }, isStep);
    document.title = document.title.replace(/^.* · /, `${first.label} against ${second.label} · `);
    const target = document.getElementById("differences");
    const documents = document.getElementById("documents");
    const losses = document.getElementById("losses");
    target.replaceChildren();
    documents.hidden = true;
    losses.hidden = true;
    const shared = data.corpora.filter((_, index) => a in data.levels[index] && b in data.levels[index]);
    const problem = a === b ? "Choose two different models." : !comparable(a, b) ? "Numbers of different policies are not compared."
      : shared.length ? "" : "The two have no corpus in common.";
    if (problem) {
      status.textContent = problem;
      writeState(null);
      return;
    }
    let better = 0, worse = 0, unknown = 0;
    const rows = shared.map((corpus) => {
      const gap = difference(data.pairs[corpus.index], a, b, data.num_neighbors ? data.levels[corpus.index] : null);
      if (gap === null || gap[1] === null) unknown += 1;
      else { better += sign(gap) < 0; worse += sign(gap) > 0; }
      const level = (configuration) => {
        const [href, marks, title] = data.cells[corpus.index][configuration];
        const node = element("td", {}, element("a", { href, title }, fixed(data.levels[corpus.index][configuration][0], Math.max(4, corpus.decimals))));
        if (marks) node.append(element("sup", {}, marks));
        return node;
      };
      return element("tr", { "data-corpus": corpus.key },
        element("th", { scope: "row", class: "text" }, element("a", { href: corpus.href }, corpus.label)),
        level(a), level(b), element("td", {}, ...gapNodes(gap)), element("td", { class: "text" }, verdict(gap, first, second)));
    });
    const heads = ["corpus", first.label, second.label, "difference", "verdict"];
    target.append(element("div", { class: "scroll", role: "region", "aria-label": "Differences", tabindex: 0 },
      element("table", { class: "numbers", id: "pairs" },
        element("caption", {}, `bits per byte; difference: ${first.label} minus ${second.label}, 95 % interval; negative: ${first.label} is better`),
        element("thead", {}, element("tr", {}, ...heads.map((head, place) => element("th", { scope: "col", class: ["text", "label", "label", null, "text"][place] }, head)))),
        element("tbody", { class: "totals" }, ...aggregateRows(a, b, first, second)), element("tbody", { class: "corpora" }, ...rows))));
    const ties = shared.length - better - worse - unknown;
    status.textContent = `${first.label} is better on ${better}, ${second.label} on ${worse} of ${shared.length} ${shared.length === 1 ? "corpus" : "corpora"}`
      + (unknown ? `; on ${unknown} it cannot be said; ties: ${ties}.` : ties ? "; the others are ties." : ".");
    drawLosses(losses, shared.filter((corpus) => [a, b].every((model) => (data.losses[corpus.index] || []).includes(model))), first, second);
    const before = corpusOf(chosenCorpus);
    corpusSelect.replaceChildren(...shared.map((corpus) => element("option", { value: corpus.index }, corpus.label)));
    if (shared.includes(before)) corpusSelect.value = before.index;
    documents.hidden = false;
    writeState(corpusSelect.selectedIndex ? data.corpora[Number(corpusSelect.value)].key : null);
    drawDocuments();
  }

  function drawLosses(target, corpora, first, second) {
    const links = corpora.map((corpus) => element("a", { href: `losses/${corpus.key}.html#${writtenHash({ a: first.key, b: second.key })}` }, corpus.label));
    target.querySelector("span").replaceChildren(...links.flatMap((link, place) => place ? [", ", link] : [link]));
    target.hidden = !links.length;
  }

  // The headline aggregate over all corpora and over the newest window; of a model that lacks some of the
  // corpora over what it has, which is compared with nothing.
  function aggregateRows(a, b, first, second) {
    const policy = first.policy ?? second.policy ?? data.choices[0][0];
    return [...new Set([data.default_month, null])].flatMap((month) => {
      const choice = data.choices.find((candidate) => candidate[0] === policy && candidate[1] === null && candidate[2] === month);
      const view = choice && data.views[choice[3]];
      if (!view || view.corpora.length < 2) return [];
      const { levels, pairs, partial } = view.aggregates[data.headline];
      if (![a, b].every((configuration) => configuration in levels || configuration in partial)) return [];
      const areWhole = a in levels && b in levels;
      const gap = areWhole ? difference(pairs, a, b, data.num_neighbors ? levels : null) : null;
      const level = (configuration) => {
        const mark = markOf(data.cells, configuration, view.corpora);
        const part = partText(data, view, configuration);
        return element("td", {}, fixed((levels[configuration] || partial[configuration])[0], 4), mark && element("sup", {}, mark),
          ...(part ? [" ", element("small", { class: "part" }, part)] : []));
      };
      const name = `${data.aggregates[data.headline]} over ${month === null ? "all" : "the"} ${view.corpora.length} corpora${month === null ? "" : ` of ${month}`}`;
      return [element("tr", { class: "total" }, element("th", { scope: "row", class: "text" }, name),
        level(a), level(b), element("td", {}, ...gapNodes(gap)),
        element("td", { class: "text" }, areWhole ? verdict(gap, first, second) : "not over the same corpora"))];
    });
  }

  function verdict(gap, first, second) {
    if (gap === null) return "no document in common";
    if (gap[1] === null) return "cannot be said: too few clusters";
    return [`${first.label} is better`, "tie", `${second.label} is better`][sign(gap) + 1];
  }

  function drawDocuments() {
    const a = Number(form.elements.a.value), b = Number(form.elements.b.value);
    const corpus = data.corpora[Number(corpusSelect.value)];
    load(`data/documents/${corpus.key}.js`).then((documents) => {
      if (a !== Number(form.elements.a.value) || b !== Number(form.elements.b.value)) return;
      const [bitsA, bitsB] = [documents.bits[a], documents.bits[b]];
      const gaps = documents.labels.map((label, index) => ({ label, bytes: documents.num_bytes[index], a: bitsA[index], b: bitsB[index] }))
        .filter((row) => row.a !== null && row.b !== null)
        .map((row) => ({ ...row, gap: (row.a - row.b) / row.bytes }))
        .sort((x, y) => x.gap - y.gap);
      const numLeftOut = documents.labels.length - gaps.length;
      const won = gaps.filter((row) => row.gap < 0);
      document.getElementById("documents-summary").textContent =
        `${data.configurations[a].label} costs fewer bits on ${commas(won.length)} of ${commas(gaps.length)} documents.` +
        (numLeftOut ? ` ${commas(numLeftOut)} that one of the two cannot represent, or was not scored on, are left out.` : "");
      document.getElementById("won-heading").textContent = `${data.configurations[a].label} gains most`;
      document.getElementById("lost-heading").textContent = `${data.configurations[a].label} loses most`;
      document.getElementById("won").replaceChildren(list(won.slice(0, NUM_DOCUMENTS), "Won"));
      document.getElementById("lost").replaceChildren(list(gaps.filter((row) => row.gap > 0).slice(-NUM_DOCUMENTS).reverse(), "Lost"));
    }).catch(complain);
  }

  function list(documents, name) {
    if (!documents.length) return element("p", {}, "None.");
    return element("div", { class: "scroll", role: "region", "aria-label": name, tabindex: 0 }, element("table", { class: "numbers" },
      element("thead", {}, element("tr", {}, ...["document", "A", "B", "difference", "bytes"].map((head, place) => element("th", { scope: "col", class: place ? null : "text" }, head)))),
      element("tbody", {}, ...documents.map((row) => element("tr", {},
        element("th", { scope: "row", class: "text" }, row.label),
        element("td", {}, fixed(row.a / row.bytes, 3)), element("td", {}, fixed(row.b / row.bytes, 3)),
        element("td", {}, signed(row.gap, 3)), element("td", {}, commas(row.bytes)))))));
  }

  function recall() {
    const hash = readHash();
    for (const name of ["a", "b"]) {
      const place = data.configurations.findIndex((configuration) => configuration.key === hash[name]);
      if (place >= 0) form.elements[name].value = place;
    }
    chosenCorpus = hash.corpus;
    draw({ isStep: false });
  }

  load("data/leaderboard.js").then((value) => {
    data = value;
    if (!data.configurations.length) return;  // only probes
    form.hidden = false;
    form.addEventListener("change", () => draw({ isStep: true }));
    form.addEventListener("submit", (event) => event.preventDefault());
    corpusSelect.addEventListener("change", () => {
      chosenCorpus = data.corpora[Number(corpusSelect.value)].key;
      draw({ isStep: true });
    });
    addEventListener("popstate", recall);
    document.getElementById("swap").addEventListener("click", () => {
      const before = form.elements.a.value;
      form.elements.a.value = form.elements.b.value;
      form.elements.b.value = before;
      draw({ isStep: true });
    });
    recall();
  }).catch(complain);
})();
