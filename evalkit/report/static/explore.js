// What is typed, as models read it. The server of this page computes; one question is on its way at a time, and
// of texts that were typed meanwhile only the newest is asked for.
(() => {
  const typed = document.getElementById("typed");
  const status = document.getElementById("status");
  const controls = document.getElementById("controls");
  const sampling = document.getElementById("sampling");
  const chosen = document.getElementById("chosen");
  const hold = document.getElementById("hold");
  const append = document.getElementById("append");
  const rows = [...document.querySelectorAll("#totals tbody tr")];
  const names = rows.map((row) => row.cells[0].textContent);
  const view = tokenView(document.getElementById("text"), document.getElementById("tip"), document.getElementById("scale"), choose);
  const DELAY_MS = 150, SLOW_MS = 600;
  const MOST_TOKENS = 12;
  let timer = 0, choiceTimer = 0, isAsking = false;
  let reading = null, before = null, held = null, continuation = "";

  async function ask(path, content) {
    let response;
    try {
      response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
    } catch {
      throw new Error("The server does not answer; has evalkit explore ended?");
    }
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }

  async function readTyped() {
    if (isAsking) return;  // it looks again when it has the answer
    isAsking = true;
    let slow = 0;
    try {
      while (reading === null || reading.typed !== typed.value) {
        const text = typed.value;
        const numBytes = new TextEncoder().encode(text).length;
        if (numBytes > Number(typed.dataset.maxBytes)) {
          throw new Error(`The text has ${commas(numBytes)} bytes, more than ${commas(Number(typed.dataset.maxBytes))}.`);
        }
        slow = setTimeout(() => { status.textContent = "Reading …"; }, SLOW_MS);
        const answer = await ask("/reading", { text });
        clearTimeout(slow);
        if (reading !== null) before = reading;
        reading = { ...answer, typed: text };
        show();
      }
    } catch (error) {
      status.textContent = `${error.message}${reading && reading.num_bytes ? " Shown is an earlier text." : ""}`;
    } finally {
      clearTimeout(slow);
      isAsking = false;
    }
  }

  function perByte({ num_bytes: numBytes }, model) {
    return numBytes ? model.total_bits / numBytes : null;
  }

  function show() {
    const reference = held ?? before;
    reading.models.forEach((model, place) => {
      const earlier = reference?.models[place];
      const rate = perByte(reading, model);
      const earlierRate = reference && perByte(reference, earlier);
      const change = (now, then, places) => now === null || then === null || then === undefined ? "–" : signed(now - then, places);
      const texts = [commas(model.num_tokens), fixed(model.total_bits, 2), change(model.total_bits, earlier?.total_bits, 2),
        fixed(rate, 4), change(rate, earlierRate, 4)];
      texts.forEach((text, column) => { rows[place].cells[column + 1].textContent = text; });
    });
    status.textContent = `${commas(reading.num_bytes)} bytes`
      + (names.length > 1 && reading.num_bytes ? `; ${names[0]} minus ${names[1]}: ${signed(reading.models[0].total_bits - reading.models[1].total_bits, 2)} bits` : "");
    document.getElementById("reference").textContent = held ? `a text of ${commas(held.num_bytes)} bytes that was typed earlier` : "the text before";
    draw();
  }

  function draw() {
    chosen.textContent = "Choose a token above: with a click, or with the arrow keys.";
    document.getElementById("predictions").replaceChildren();
    const places = controls.elements.view.value === "gap" ? [0, 1] : [Number(controls.elements.view.value)];
    const bytes = new TextEncoder().encode(reading.typed);
    view.show(places.map((place) => reading.models[place].tokens), bytes, bytes.length, places.map((place) => names[place]));
  }

  // Whoever goes on with the arrow keys stops at one token.
  function choose(segment) {
    clearTimeout(choiceTimer);
    choiceTimer = setTimeout(predict, DELAY_MS, segment);
  }

  // The predictions of every model at the tokens of a segment: where characters or the two models' tokens do not
  // end together, it has several, and what was likelier at the later ones is asked when it is opened.
  function predict({ start, end }) {
    chosen.textContent = `At bytes ${commas(start)}–${commas(end)}:`;
    document.getElementById("predictions").replaceChildren(...names.map((name, model) => {
      const tokens = tokensWithin(reading.models[model].tokens.lengths, start, end);
      const parts = tokens.slice(0, MOST_TOKENS).map((token, place) => opened(model, token, place === 0));
      const more = tokens.length - parts.length;
      return element("section", {}, element("h3", {}, name), ...parts, more > 0 ? element("p", {}, `and ${more} more`) : null);
    }));
  }

  // Places of the tokens that lie in a stretch of bytes, in part or as a whole; those without bytes are left out.
  function tokensWithin(lengths, start, end) {
    const places = [];
    let from = 0;
    lengths.forEach((length, place) => {
      if (length && from < end && from + length > start) places.push({ place, from, end: from + length });
      from += length;
    });
    return places;
  }

  function opened(model, { place, from, end }, isFirst) {
    const { typed: text, models } = reading;
    const bits = models[model].tokens.bits[place] / 100;
    const tokenBytes = new TextEncoder().encode(text).subarray(from, end);
    const target = element("div", {}, "…");
    const details = element("details", { open: isFirst },
      element("summary", {}, element("code", {}, view.quoted(tokenBytes)), ` ${fixed(bits, 2)} bits`), target);
    details.addEventListener("toggle", async () => {
      if (!details.open || target.dataset.asked) return;
      target.dataset.asked = "yes";
      try {
        target.replaceChildren(...likelier(await ask("/predictions", { text, model, token: place })));
      } catch (error) {
        target.replaceChildren(element("p", {}, error.message));
      }
    });
    return details;  // opening it in the page is a toggle too, also where it is open from the start
  }

  function likelier({ rank, probability, likeliest }) {
    const percent = (share) => share < 5e-5 ? "< 0.01 %" : `${fixed(100 * share, 2)} %`;
    const lines = likeliest.map((part) => element("tr", {},
      element("th", { scope: "row", class: "text" }, element("code", {}, part.bytes.length ? view.quoted(new Uint8Array(part.bytes)) : "no text")),
      element("td", {}, percent(part.probability)), element("td", { class: "text" }, part.is_texts_own ? "the text's own" : "")));
    const heads = [["text", "token"], ["", "probability"]].map(([kind, label]) => element("th", { scope: "col", class: kind }, label));
    return [element("p", {}, `The text's own token: ${percent(probability)}, rank ${commas(rank)}.`),
      element("table", { class: "numbers" }, element("thead", {}, element("tr", {}, ...heads, element("td", {}))), element("tbody", {}, ...lines))];
  }

  async function drawContinuation() {
    const values = sampling.elements;
    const drawn = document.getElementById("drawn");
    const target = document.getElementById("continuation");
    drawn.textContent = "Sampling …";
    append.hidden = target.hidden = true;
    try {
      const answer = await ask("/continuation", { text: typed.value, model: Number(values.model.value), num_tokens: Number(values.tokens.value),
        temperature: Number(values.temperature.value), seed: Number(values.seed.value) });
      continuation = answer.text;
      drawn.textContent = `${commas(answer.num_tokens)} tokens${answer.has_ended ? "; there the model ended the text" : ""}`;
      target.replaceChildren(...view.nodes(continuation));
      append.hidden = target.hidden = !continuation;
    } catch (error) {
      drawn.textContent = error.message;
    }
  }

  typed.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(readTyped, DELAY_MS);
  });
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("change", () => { if (reading) draw(); });
  hold.addEventListener("click", () => {
    held = held ? null : reading;
    hold.textContent = held ? "Compare with the text before" : "Compare with this text from now on";
    if (reading) show();
  });
  append.addEventListener("click", () => {
    typed.value += continuation;
    append.hidden = document.getElementById("continuation").hidden = true;
    readTyped();
  });
  sampling.addEventListener("submit", (event) => {
    event.preventDefault();
    drawContinuation();
  });
  readTyped();
})();
