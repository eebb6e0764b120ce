// A corpus's explorer: the passages for the models chosen.
(() => {
  const form = document.getElementById("controls");
  const status = document.getElementById("status");
  const corpus = form.dataset.corpus;
  let data;

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
    drawPassages(a, b);
    const losses = document.getElementById("losses");
    if (losses) losses.hash = writtenHash({ a, b });
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

  function drawPassages(a, b) {
    let lists;
    if (b) {
      const [won, turned] = pairOf(data.won, a, b);
      const [lost] = pairOf(data.lost, a, b);
      lists = [[`${labelIn(data, a)} gains most`, turned ? lost : won], [`${labelIn(data, a)} loses most`, turned ? won : lost]];
    } else {
      lists = [["Costliest", data.costliest[a]], ["Cheapest", data.cheapest[a]]];
    }
    document.getElementById("passages").replaceChildren(...lists.map(([heading, chosen]) => element("section", {},
      element("h3", {}, heading),
      element("ol", { class: "passages" }, ...(chosen.length ? chosen.map((index) => passageItem(data.passages[index], a, b)) : [element("li", {}, "None.")])))));
  }

  function passageItem(passage, a, b) {
    const place = `bytes ${commas(passage.start)}–${commas(passage.end)} · ${fixed(passage.bits[a], 1)}${b ? ` against ${fixed(passage.bits[b], 1)}` : ""} bits`;
    const name = data.opened.includes(passage.document)
      ? element("a", { href: documentLink(passage.document, a, b, passage.start) }, passage.label) : element("span", {}, passage.label);
    return element("li", {}, element("p", { class: "where" }, name, " ", element("small", {}, place)),
      passage.text === null ? element("p", { class: "withheld" }, "Its licence does not allow the text to be shown.") : element("blockquote", {}, passage.text));
  }

  chooseTwo(form, `data/explorer/${corpus}.js`, (value) => {
    data = value;
    draw();
  });
})();
