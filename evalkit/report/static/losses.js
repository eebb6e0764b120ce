// A corpus's losses by kind, for the models chosen.
(() => {
  const form = document.getElementById("controls");
  const status = document.getElementById("status");
  const corpus = form.dataset.corpus;
  const LEAST_SHARE = 0.001;  // of the bytes: smaller classes do not set the scale of the dots
  let data;

  function partOf(key) {
    return data.parts.find((part) => key in part.classes[0].levels);
  }

  function draw(isStep) {
    const a = form.elements.a.value;
    let b = form.elements.b.value;
    status.textContent = "";
    if (b === a) b = "";
    const part = partOf(a);
    if (b && partOf(b) !== part) {
      status.textContent = "Numbers of different policies are not compared.";
      b = "";
    }
    drawClasses(part, a, b);
    writeHash({ a, b }, isStep);
  }

  // Difference, ratio, whether it is clear, and share of the whole difference; null where there is none.
  function gapOf(row, a, b) {
    if (`${a} ${b}` in row.gaps) return row.gaps[`${a} ${b}`];
    if (!(`${b} ${a}` in row.gaps)) return null;
    const [gap, ratio, isClear, share] = row.gaps[`${b} ${a}`];
    return [negated(gap), ratio ? 1 / ratio : null, isClear, share];
  }

  function drawClasses(part, a, b) {
    const models = b ? [a, b] : [a];
    const [whole, ...classes] = part.classes;
    const heads = ["class", "bytes", "share %", ...models.map((model) => labelIn(data, model)), ...(b ? ["difference", "", "ratio", "of it %"] : [])];
    const shown = b ? classes.filter((row) => row.num_bytes >= LEAST_SHARE * whole.num_bytes).map((row) => gapOf(row, a, b)) : [];
    const ends = shown.filter((gap) => gap !== null).flatMap((gap) => gap[0].filter((value) => value !== null));
    const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
    const rowOf = (row) => element("tr", { "data-class": row.name },
      element("th", { scope: "row", class: "text" }, row.name), element("td", {}, commas(row.num_bytes)),
      element("td", {}, fixed(100 * row.num_bytes / whole.num_bytes, 1)),
      ...models.map((model) => levelCell(row.levels[model])), ...(b ? gapCells(gapOf(row, a, b), low, high) : []));
    const bodies = [element("tbody", {}, rowOf(whole))];
    for (const axis of new Set(classes.map((row) => row.axis))) {
      const rows = classes.filter((row) => row.axis === axis);
      bodies.push(element("tbody", {},
        element("tr", { class: "way" }, element("th", { scope: "rowgroup", colspan: heads.length, class: "text" }, element("span", {}, `${axis}: ${rows[0].help}`))),
        ...rows.map(rowOf)));
    }
    document.getElementById("classes").replaceChildren(
      element("thead", {}, element("tr", {}, ...heads.map((head, place) => head
        ? element("th", { scope: "col", class: place === 0 ? "text" : place >= 3 && place < 3 + models.length ? "label" : null }, head) : element("td")))), ...bodies);
  }

  function levelCell(level) {
    const half = halfWidth(level);
    const places = decimals([half]);
    return element("td", {}, fixed(level[0], places), half === null ? "" : " ", half === null ? "" : element("small", {}, `± ${fixed(half, places)}`));
  }

  function gapCells(gap, low, high) {
    if (gap === null) return [element("td", {}, "–"), element("td"), element("td", {}, "–"), element("td", {}, "–")];
    const [estimate, ratio, isClear, share] = gap;
    return [
      element("td", {}, ...gapNodes(estimate), isClear ? " *" : ""),
      element("td", { class: "forest-cell" }, forest(estimate, low, high)),
      element("td", {}, fixed(ratio, 3)), element("td", {}, share === null ? "–" : fixed(Math.round(100 * share) + 0, 0)),
    ];
  }

  chooseTwo(form, `data/losses/${corpus}.js`, (value, isStep) => {
    data = value;
    draw(isStep);
  });
})();
