// Plots: numbers by pointer and by arrow keys, and a legend by which models are picked out. The picture is the file
// itself; what is picked out is drawn over it, from the same numbers.
(() => {
  const NEAR = 24;  // pixels on the screen
  const MANY = 12;  // series, of which a legend is folded
  const SIDE = 1000;  // of the drawing's width
  const tip = document.getElementById("tip");

  function shape(name, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  function digits(value) {
    return value.toLocaleString("en-US", { maximumSignificantDigits: 4 }).replace("-", "−");
  }

  function describe(figure, mark) {
    const title = figure.panels[mark.panel].title;
    const interval = mark.low === null ? "" : ` [${digits(mark.low)}, ${digits(mark.high)}]`;
    const parts = [element("bdi", {}, element("b", {}, figure.series[mark.series][0])), `\n${title ? `${title}, ` : ""}${mark.subject}\n${digits(mark.value)}${interval}`];
    const unit = figure.units[mark.unit];
    if (unit) parts.push("\n", element("small", {}, unit));
    return parts;
  }

  function prepare(node, figure) {
    const plot = node.querySelector(".plot");
    const height = SIDE * figure.ratio;
    const drawing = shape("svg", { viewBox: `0 0 ${SIDE} ${height}`, class: "marks", "aria-hidden": "true" });
    const chosen = new Set();
    const buttons = figure.series.map(([name, color], place) => legendButton(name, color, place));
    let current = null;
    plot.append(drawing);
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", `Numbers of the plot ${node.id}, by arrow keys`);
    const legend = element("div", { class: "series", role: "group", "aria-label": "Pick out" }, ...buttons);
    plot.after(buttons.length > MANY ? element("details", {}, element("summary", {}, `Pick out some of ${buttons.length}`), legend) : legend);

    function legendButton(name, color, place) {
      const swatch = shape("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" });
      swatch.append(shape("circle", { cx: 6, cy: 6, r: 5, fill: color }));
      const button = element("button", { type: "button", "aria-pressed": "false" }, swatch, element("bdi", {}, name));
      button.addEventListener("click", () => {
        if (!chosen.delete(place)) chosen.add(place);
        button.setAttribute("aria-pressed", String(chosen.has(place)));
        draw();
      });
      return button;
    }

    function draw() {
      drawing.replaceChildren();
      if (chosen.size) {
        for (const { box: [x0, y0, x1, y1] } of figure.panels) {
          drawing.append(shape("rect", { x: SIDE * x0, y: height * y0, width: SIDE * (x1 - x0), height: height * (y1 - y0), fill: "#ffffff", opacity: 0.85 }));
        }
      }
      const shown = figure.marks.filter((mark) => chosen.has(mark.series));
      let before = null;
      for (const mark of shown) {
        const color = figure.series[mark.series][1];
        const follows = before !== null && mark.is_joined && before.series === mark.series && before.panel === mark.panel;
        if (follows) drawing.append(line(before.x, before.y, mark.x, mark.y, color, 2.4));
        if (mark.ends) drawing.append(line(...mark.ends, color, 1.6));
        drawing.append(shape("circle", { cx: SIDE * mark.x, cy: height * mark.y, r: 5, fill: color }));
        before = mark;
      }
      if (current) drawing.append(shape("circle", { cx: SIDE * current.x, cy: height * current.y, r: 9, fill: "none", stroke: "#1b1c1f", "stroke-width": 2 }));
    }

    function line(x1, y1, x2, y2, color, width) {
      return shape("line", { x1: SIDE * x1, y1: height * y1, x2: SIDE * x2, y2: height * y2, stroke: color, "stroke-width": width });
    }

    function show(mark) {
      if (mark === current) return;
      current = mark;
      draw();
      tip.hidden = mark === null;
      if (mark === null) return;
      tip.replaceChildren(...describe(figure, mark));
      const area = drawing.getBoundingClientRect();
      const size = tip.getBoundingClientRect();
      const [x, y] = [area.left + area.width * mark.x, area.top + area.height * mark.y];
      tip.style.left = `${Math.max(8, Math.min(x - size.width / 2, innerWidth - size.width - 8))}px`;
      tip.style.top = `${y + 16 + size.height < innerHeight ? y + 16 : Math.max(8, y - 16 - size.height)}px`;
    }

    // The nearest to the pointer, of those that are picked out if any are.
    function nearest(event) {
      const area = drawing.getBoundingClientRect();
      let [best, least] = [null, NEAR];
      for (const mark of figure.marks) {
        const distance = Math.hypot(area.left + area.width * mark.x - event.clientX, area.top + area.height * mark.y - event.clientY);
        if ((!chosen.size || chosen.has(mark.series)) && distance < least) [best, least] = [mark, distance];
      }
      return best;
    }

    function step(event) {
      const along = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const across = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") return show(null);
      if (!along && !across) return;
      event.preventDefault();
      if (current === null) return show(figure.marks[0]);
      const series = along ? current.series : (current.series + across + figure.series.length) % figure.series.length;
      const marks = figure.marks.filter((mark) => mark.series === series);
      if (along) return show(marks[(marks.indexOf(current) + along + marks.length) % marks.length]);
      const distance = (mark) => (mark.panel === current.panel ? 0 : 2) + Math.abs(mark.x - current.x) + Math.abs(mark.y - current.y);
      show(marks.reduce((best, mark) => distance(mark) < distance(best) ? mark : best));
    }

    plot.addEventListener("pointermove", (event) => show(nearest(event)));
    plot.addEventListener("pointerleave", () => show(null));
    plot.addEventListener("blur", () => show(null));
    plot.addEventListener("keydown", step);
    plot.addEventListener("click", (event) => {  // by touch the first that is heard of; elsewhere the link opens the file
      const mark = event.detail ? nearest(event) : null;
      if (mark) event.preventDefault();
      if (mark) show(mark);
    });
  }

  load("data/plots.js").then((figures) => {
    for (const [name, figure] of Object.entries(figures)) {
      const marks = figure.marks.map((row) => Object.fromEntries(figure.fields.map((field, place) => [field, row[place]])));
      prepare(document.getElementById(name), { ...figure, marks });
    }
  }).catch(complain);
})();
