// One document, coloured by what it costs.
(() => {
  const form = document.getElementById("controls");
  const status = document.getElementById("status");
  const view = tokenView(document.getElementById("text"), document.getElementById("tip"), document.getElementById("scale"));

  function placeInHash() {
    const hash = readHash();
    const cut = (hash.d || "").lastIndexOf("/");
    return { ...hash, corpus: (hash.d || "").slice(0, cut), index: (hash.d || "").slice(cut + 1) };
  }

  async function open() {
    const place = placeInHash();
    if (!/^[\w.+-]+$/.test(place.corpus) || !/^\d+$/.test(place.index)) {
      status.textContent = "No document is named; choose one on a corpus's explorer page.";
      return;
    }
    const folder = `data/explorer/${place.corpus}`;
    const facts = await load(`${folder}/${place.index}.js`);
    const models = facts.configurations;
    const options = () => models.map((model) => element("option", { value: model.key }, model.label + (model.policy === "document" ? "" : ` (${model.policy})`)));
    form.elements.a.replaceChildren(...options());
    form.elements.b.replaceChildren(element("option", { value: "" }, "nothing: its own cost"), ...options());
    const has = (key) => models.some((model) => model.key === key);
    form.elements.a.value = has(place.a) ? place.a : models[0].key;
    form.elements.b.value = has(place.b) ? place.b : "";
    form.hidden = false;
    heading(facts, place);
    await draw(facts, place, { at: Number(place.at ?? -1) });
  }

  function heading(facts, place) {
    document.getElementById("title").textContent = facts.title || facts.id;
    document.title = document.title.replace(/^.* · /, `${facts.title || facts.id} · `);
    const parts = [element("a", { href: `${place.corpus}.html` }, facts.corpus), facts.published_at, facts.source, facts.language,
      `${commas(facts.num_bytes)} bytes`, facts.license || "licence not stated"].filter(Boolean);
    const meta = document.getElementById("meta");
    meta.replaceChildren();
    parts.forEach((part, place) => meta.append(...(place ? [" · ", part] : [part])));
    if (/^https?:\/\//.test(facts.url || "")) meta.append(" · ", element("a", { href: facts.url, rel: "noreferrer" }, "original"));
    meta.append(element("br"), element("code", { class: "digest" }, `sha256 ${facts.sha256}`));
  }

  async function draw(facts, place, { at = -1, isStep = false }) {
    const a = form.elements.a.value;
    let b = form.elements.b.value;
    const model = (key) => facts.configurations.find((configuration) => configuration.key === key);
    if (b === a) b = "";
    const mixed = b && model(a).policy !== model(b).policy;
    const bpb = (key) => `${model(key).label} ${fixed(facts.bits[key] / facts.num_bytes, 3)}`;
    status.textContent = mixed ? "Numbers of different policies are not compared." : `bits per byte: ${bpb(a)}${b ? `, ${bpb(b)}, difference ${signed((facts.bits[a] - facts.bits[b]) / facts.num_bytes, 3)}` : ""}`
      + (facts.text === null ? ". The licence does not allow the text to be shown: each square is a stretch of bytes." : "");
    if (mixed) b = "";
    const files = await Promise.all([a, b].filter(Boolean).map((key) => load(`data/explorer/${place.corpus}/${place.index}.${key}.js`)));
    if (form.elements.a.value !== a || (form.elements.b.value !== b && b)) return;
    writeHash({ d: `${place.corpus}/${place.index}`, a, b, at: place.at }, isStep);
    const names = [a, b].filter(Boolean).map((key) => model(key).label);
    const bytes = facts.text === null ? null : new TextEncoder().encode(facts.text);
    view.show(files, bytes, facts.num_bytes, names, at);
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    const place = placeInHash();
    load(`data/explorer/${place.corpus}/${place.index}.js`).then((facts) => draw(facts, place, { isStep: true })).catch(complain);
  });
  addEventListener("hashchange", () => open().catch(complain));
  open().catch(complain);
})();
