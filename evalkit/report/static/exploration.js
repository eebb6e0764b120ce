// A corpus's explorer: slices and passages for the models chosen.
(() => {
  const form = document.getElementById("controls");
  const status = document.getElementById("status");
  const corpus = form.dataset.corpus;
  let data;

  function label(key) {
    return data.configurations.find((configuration) => configuration.key === key).label;
  }

  function pairOf(table, a, b) {
    if (`${a} ${b}` in table) return [table[`${a} ${b}`], false];
    return `${b} ${a}` in table ? [table[`${b} ${a}`], true] : [null, false];
  }

  function draw() {
    const a = form.elements.a.value;
    let b = form.elements.b.value;
    status.textContent = "";
    if (b === a) b = "";
    if (b && pairOf(data.won, a, b)[0] === null) {
      status.textContent = "Numbers of different policies are not compared.";
      b = "";
    }
    drawSlices(a, b);
    drawPassages(a, b);
    for (const link of document.querySelectorAll("[data-document]")) {
      link.href = documentLink(link.dataset.document, a, b);
    }
    writeHash({ a, b });
  }

  function documentLink(index, a, b, at) {
    const parts = [`d=${corpus}/${index}`, `a=${encodeURIComponent(a)}`];
    if (b) parts.push(`b=${encodeURIComponent(b)}`);
    if (at !== undefined) parts.push(`at=${at}`);
    return `document.html#${parts.join("&")}`;
  }

  function drawSlices(a, b) {
    const models = b ? [a, b] : [a];
    const heads = ["slice", "bytes", "share %", ...models.map(label), ...(b ? ["difference"] : [])];
    const totals = {};
    for (const slice of data.slices) totals[slice.way] = (totals[slice.way] || 0) + slice.num_bytes;
    const bodies = [];
    const ways = [...new Set(data.slices.map((slice) => slice.way))].sort();
    for (const way of ways) {
      const rows = data.slices.filter((slice) => slice.way === way).sort((x, y) => y.num_bytes - x.num_bytes);
      bodies.push(element("tbody", {},
        element("tr", { class: "way" }, element("th", { scope: "rowgroup", colspan: heads.length, class: "text" }, way)),
        ...rows.map((slice) => {
          const gap = b ? pairOf(slice.pairs, a, b) : [null, false];
          return element("tr", { "data-slice": slice.name },
            element("th", { scope: "row", class: "text" }, slice.name), element("td", {}, commas(slice.num_bytes)),
            element("td", {}, fixed(100 * slice.num_bytes / totals[way], 1)),
            ...models.map((model) => {
              const level = slice.levels[model];
              const places = decimals([halfWidth(level)]);
              const half = halfWidth(level);
              return element("td", {}, fixed(level[0], places), half === null ? "" : " ", half === null ? "" : element("small", {}, `± ${fixed(half, places)}`));
            }),
            ...(b ? [element("td", {}, ...gapNodes(gap[1] ? negated(gap[0]) : gap[0]))] : []));
        })));
    }
    document.getElementById("slices").replaceChildren(
      element("thead", {}, element("tr", {}, ...heads.map((head, place) => element("th", { scope: "col", class: place ? (head === "difference" || place < 3 ? null : "label") : "text" }, head)))), ...bodies);
  }

  function drawPassages(a, b) {
    let lists;
    if (b) {
      const [won, turned] = pairOf(data.won, a, b);
      const [lost] = pairOf(data.lost, a, b);
      lists = [[`${label(a)} gains most`, turned ? lost : won], [`${label(a)} loses most`, turned ? won : lost]];
    } else {
      lists = [["Costliest", data.costliest[a]], ["Cheapest", data.cheapest[a]]];
    }
    document.getElementById("passages").replaceChildren(...lists.map(([heading, chosen]) => element("section", {},
      element("h3", {}, heading),
      element("ol", { class: "passages" }, ...(chosen.length ? chosen.map((index) => passageItem(data.passages[index], a, b)) : [element("li", {}, "Npassage.")])))));
  }

  function passageItem(passage, a, b) {
    const place = `bytes ${commas(passage.start)}–${commas(passage.end)} · ${fixed(passage.bits[a], 1)}${b ? ` against ${fixed(passage.bits[b], 1)}` : ""} bits`;
    const name = data.opened.includes(passage.document)
      ? element("a", { href: documentLink(passage.document, a, b, passage.start) }, passage.label) : element("span", {}, passage.label);
    return element("li", {}, element("p", { class: "where" }, name, " ", element("small", {}, place)),
      passage.text === null ? element("p", { class: "withheld" }, "Its licence does not allow the text to be shown.") : element("blockquote", {}, passage.text));
  }

  load(`data/explorer/${corpus}.js`).then((value) => {
    data = value;
    const hash = readHash();
    for (const name of ["a", "b"]) {
      if (data.configurations.some((configuration) => configuration.key === hash[name])) form.elements[name].value = hash[name];
    }
    if (hash.a && !hash.b) form.elements.b.value = "";
    form.hidden = false;
    form.addEventListener("change", draw);
    form.addEventListener("submit", (event) => event.preventDefault());
    draw();
  }).catch(complain);
})();
