// A corpus's explorer: the passages for the models chosen.
(() => {
  const form = document.getElementById("controls");
  const status = document.getElementById("status");
  const corpus = form.dataset.corpus;
  let data;

  const NUM_PASSAGES = 8, PER_DOCUMENT = 2;  // as in evalkit/analysis/passages.py

  function bitsOf(passage, key) {
    return passage.bits[data.configurations.findIndex((configuration) => configuration.key === key)];
  }

  // Where the first pays least against the second. Of models far apart in rank the corpus was not searched: these
  // are the passages that it holds for others.
  function wonBy(a, b) {
    if (`${a} ${b}` in data.won) return data.won[`${a} ${b}`];
    if (`${b} ${a}` in data.lost) return data.lost[`${b} ${a}`];
    const gaps = data.passages.map((passage, place) => ({ place, passage, bits: [bitsOf(passage, a), bitsOf(passage, b)] }))
      .filter(({ bits: [first, second] }) => first !== null && second !== null && first < second)
      .sort((x, y) => (x.bits[0] - x.bits[1]) - (y.bits[0] - y.bits[1]) || x.place - y.place);
    const chosen = [];
    for (const { place, passage } of gaps) {
      const near = chosen.map((index) => data.passages[index]).filter((earlier) => earlier.document === passage.document);
      const isApart = near.every((earlier) => earlier.end <= passage.start || passage.end <= earlier.start);
      if (chosen.length < NUM_PASSAGES && near.length < PER_DOCUMENT && isApart) chosen.push(place);
    }
    return chosen;
  }

  function isSearched(a, b) {
    return `${a} ${b}` in data.won || `${b} ${a}` in data.won;
  }

  function policyOf(key) {
    return data.configurations.find((configuration) => configuration.key === key).policy;
  }

  function draw(isStep) {
    const a = form.elements.a.value;
    let b = form.elements.b.value;
    status.textContent = "";
    if (b === a) b = "";
    if (b && policyOf(a) !== policyOf(b)) {
      status.textContent = "Numbers of different policies are not compared.";
      b = "";
    } else if (b && !isSearched(a, b)) {
      status.textContent = `The two are far apart in rank: chosen among the ${commas(data.passages.length)} passages that this page holds for other models.`;
    }
    drawPassages(a, b);
    const losses = document.getElementById("losses");
    if (losses) losses.hash = writtenHash({ a, b });
    for (const link of document.querySelectorAll("[data-document]")) {
      link.href = documentLink(link.dataset.document, a, b);
    }
    writeHash({ a, b }, isStep);
  }

  function documentLink(index, a, b, at) {
    const parts = [`d=${corpus}/${index}`, `a=${encodeURIComponent(a)}`];
    if (b) parts.push(`b=${encodeURIComponent(b)}`);
    if (at !== undefined) parts.push(`at=${at}`);
    return `document.html#${parts.join("&")}`;
  }

  function drawPassages(a, b) {
    let lists;
    if (b) {
      lists = [[`${labelIn(data, a)} gains most`, wonBy(a, b)], [`${labelIn(data, a)} loses most`, wonBy(b, a)]];
    } else {
      lists = [["Costliest", data.costliest[a]], ["Cheapest", data.cheapest[a]]];
    }
    document.getElementById("passages").replaceChildren(...lists.map(([heading, chosen]) => element("section", {},
      element("h3", {}, heading),
      element("ol", { class: "passages" }, ...(chosen.length ? chosen.map((index) => passageItem(data.passages[index], a, b)) : [element("li", {}, "None.")])))));
  }

  function passageItem(passage, a, b) {
    const place = `bytes ${commas(passage.start)}–${commas(passage.end)} · ${fixed(bitsOf(passage, a), 1)}${b ? ` against ${fixed(bitsOf(passage, b), 1)}` : ""} bits`;
    const name = data.opened.includes(passage.document)
      ? element("a", { href: documentLink(passage.document, a, b, passage.start) }, passage.label) : element("span", {}, passage.label);
    return element("li", {}, element("p", { class: "where" }, name, " ", element("small", {}, place)),
      passage.text === null ? element("p", { class: "withheld" }, "Its licence does not allow the text to be shown.") : element("blockquote", {}, passage.text));
  }

  chooseTwo(form, `data/explorer/${corpus}.js`, (value, isStep) => {
    data = value;
    draw(isStep);
  });
})();
