// A text, coloured by what its tokens cost one model or by the difference of two. Only blocks near the window
// are in the page: a text may be long. `scaleNode` holds the legend; `onSelect` is told of the chosen segment.
function tokenView(text, tip, scaleNode, onSelect = () => {}) {
  const LIMITS = [0.1, 0.5, 1, 1.5, 2, 3, 4.5, 6];  // bits per byte
  const GAP_LIMITS = [-2, -1, -0.4, -0.1, 0.1, 0.4, 1, 2];
  const BLOCK_BYTES = 1500;
  const decoder = new TextDecoder("utf-8");
  let shown = null;

  // `files`: for each model its bits in hundredths and the lengths of its tokens; `bytes`: null where the text is not shown.
  function show(files, bytes, numBytes, names, at = -1) {
    const tokens = files.map((file) => ({ ends: ends(file.lengths), bits: file.bits, ...charged(file) }));
    const segments = cut(tokens, bytes, numBytes);
    shown = { bytes, tokens, segments, names, blocks: blocks(segments, bytes), current: -1 };
    scale(names.length > 1);
    fill(at);
  }

  function ends(lengths) {
    const offsets = new Uint32Array(lengths.length);
    let end = 0;
    for (let index = 0; index < lengths.length; index++) offsets[index] = end += lengths[index];
    return offsets;
  }

  // What the bytes of each token cost, as evalkit/analysis/byte_costs.py has it: a token without bytes is paid
  // by the next paid one that has some, at the end by the last; what is not paid for costs null, not 0.
  function charged({ bits, lengths, paid }) {
    const costs = lengths.map((length, index) => length ? bits[index] : null);
    let waiting = 0, last = -1;
    for (let index = 0; index < lengths.length; index++) {
      if (!lengths[index]) waiting += bits[index] ?? 0;
      else if (costs[index] !== null) {
        costs[index] += waiting;
        waiting = 0;
        last = index;
      }
    }
    if (last >= 0) costs[last] += waiting;
    // Of a text that is not shown, a stretch may be paid for in part.
    return { costs, paid: lengths.map((length, index) => costs[index] === null ? 0 : paid ? paid[index] : length) };
  }

  // Segments end where a token of every model ends and, where there is text, a character.
  function cut(tokens, bytes, numBytes) {
    const segments = { ends: [], lasts: tokens.map(() => []) };
    const at = tokens.map(() => 0);
    for (let start = 0; start < numBytes; start = segments.ends.at(-1)) {
      let end = start + 1;
      for (let before = 0; before !== end;) {
        before = end;
        tokens.forEach(({ ends }, which) => {
          while (ends[at[which]] < end) at[which]++;
          end = ends[at[which]];
        });
        while (bytes !== null && end < numBytes && (bytes[end] & 0xc0) === 0x80) end++;
      }
      tokens.forEach(({ ends }, which) => {
        // Tokens without bytes belong to what follows them, but for the document's end.
        if (end === numBytes) at[which] = ends.length;
        else at[which]++;
        segments.lasts[which].push(at[which]);
      });
      segments.ends.push(end);
    }
    return segments;
  }

  function blocks(segments, bytes) {
    const parts = [];
    let first = 0, start = 0;
    segments.ends.forEach((end, index) => {
      const full = end - start >= BLOCK_BYTES;
      const atLine = bytes === null || bytes[end - 1] === 10 || end - start >= 3 * BLOCK_BYTES;
      if ((full && atLine) || index === segments.ends.length - 1) {
        parts.push({ first, last: index + 1, start, end });
        first = index + 1;
        start = end;
      }
    });
    return parts;
  }

  // A segment's bits, and bits per byte, over what is paid for; null where nothing is.
  function costOf(which, segment) {
    const { lasts } = shown.segments;
    const { costs, paid } = shown.tokens[which];
    let sum = 0, bytes = 0;
    for (let token = segment ? lasts[which][segment - 1] : 0; token < lasts[which][segment]; token++) {
      sum += costs[token] ?? 0;
      bytes += paid[token];
    }
    return bytes ? { bits: sum / 100, rate: sum / 100 / bytes } : null;
  }

  function gapOf(segment) {
    const [first, second] = [costOf(0, segment), costOf(1, segment)];
    return first === null || second === null ? null : first.rate - second.rate;
  }

  function range(segment) {
    return [segment ? shown.segments.ends[segment - 1] : 0, shown.segments.ends[segment]];
  }

  function colour(segment) {
    const isGap = shown.names.length > 1;
    const value = isGap ? gapOf(segment) : costOf(0, segment)?.rate ?? null;
    if (value === null) return "unpaid";
    return `${isGap ? "g" : "b"}${(isGap ? GAP_LIMITS : LIMITS).filter((limit) => value >= limit).length}`;
  }

  // Characters that act instead of showing are shown by their code, line ends by an arrow.
  const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;

  function nodes(string) {
    const parts = [];
    let plain = "";
    for (const character of string) {
      if (character === "\n") {
        if (plain) parts.push(plain);
        parts.push(element("i", {}, "↵"), "\n");
        plain = "";
      } else if (ACTING.test(character)) {
        if (plain) parts.push(plain);
        parts.push(element("i", {}, `[U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`));
        plain = "";
      } else plain += character;
    }
    if (plain) parts.push(plain);
    return parts;
  }

  function content(segment) {
    const [start, end] = range(segment);
    if (shown.bytes === null) return element("s", { class: `bin ${colour(segment)}`, "data-segment": segment });
    return element("s", { class: colour(segment), "data-segment": segment }, ...nodes(decoder.decode(shown.bytes.subarray(start, end))));
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const block = shown && shown.blocks[Number(entry.target.dataset.block)];
      if (!block || entry.target.parentNode !== text) continue;
      if (entry.isIntersecting) fillBlock(entry.target, block);
      else if (entry.target.childNodes.length) {
        entry.target.style.minHeight = `${entry.boundingClientRect.height}px`;
        entry.target.replaceChildren();
      }
    }
  }, { rootMargin: "150% 0px" });

  function fillBlock(target, block) {
    if (target.childNodes.length) return;
    const parts = [];
    for (let segment = block.first; segment < block.last; segment++) parts.push(content(segment));
    target.replaceChildren(...parts);
    target.style.minHeight = "";
  }

  // All of a text is printed, however long it is.
  addEventListener("beforeprint", () => {
    if (shown) shown.blocks.forEach((block, index) => fillBlock(text.children[index], block));
  });
  addEventListener("afterprint", () => {
    observer.disconnect();
    for (const target of text.children) observer.observe(target);
  });

  function fill(at) {
    observer.disconnect();
    hideTip();
    const perLine = Math.max(20, Math.floor(text.parentNode.clientWidth / 9));
    text.replaceChildren(...shown.blocks.map((block, index) => {
      const target = element("div", { class: "block", "data-block": index });
      target.style.minHeight = `${Math.ceil(lines(block, perLine)) * 26}px`;
      return target;
    }));
    text.hidden = false;
    for (const target of text.children) observer.observe(target);
    if (at >= 0) {
      const segment = shown.segments.ends.findIndex((end) => end > at);
      if (segment >= 0) select(segment, true);
    }
  }

  function lines(block, perLine) {
    if (shown.bytes === null) return (block.last - block.first) / Math.max(1, perLine * 9 / 14);
    let count = 0, width = 0;
    for (let place = block.start; place < block.end; place++) {
      width += (shown.bytes[place] & 0xc0) !== 0x80;
      if (shown.bytes[place] === 10) { count += Math.max(1, Math.ceil(width / perLine)); width = 0; }
    }
    return count + Math.ceil(width / perLine);
  }

  function describe(segment) {
    const [start, end] = range(segment);
    const parts = [];
    shown.names.forEach((name, which) => {
      const { lasts } = shown.segments;
      const first = segment ? lasts[which][segment - 1] : 0;
      const pieces = [];
      for (let token = first; token < lasts[which][segment] && pieces.length < 12; token++) {
        const from = token ? shown.tokens[which].ends[token - 1] : 0;
        const bits = shown.tokens[which].bits[token];
        pieces.push(`${piece(from, shown.tokens[which].ends[token])} ${bits === null ? "unpaid" : fixed(bits / 100, 2)}`);
      }
      const more = lasts[which][segment] - first - pieces.length;
      const cost = costOf(which, segment);
      parts.push(element("b", {}, name), cost === null ? " unpaid\n" : ` ${fixed(cost.bits, 2)} bits, ${fixed(cost.rate, 2)} per byte\n`,
        element("code", {}, pieces.join("  ") + (more > 0 ? `  and ${more} more` : "")), "\n");
    });
    if (shown.names.length > 1) parts.push(`difference ${signed(gapOf(segment), 2)} bits per byte\n`);
    parts.push(element("small", {}, `bytes ${commas(start)}–${commas(end)}`));
    return parts;
  }

  function piece(start, end) {
    if (start === end) return "‹empty›";
    if (shown.bytes === null) return `‹${end - start} B›`;
    return quoted(shown.bytes.subarray(start, end));
  }

  // Bytes of a token in one line: as text where they are some.
  function quoted(part) {
    const string = decoder.decode(part);
    if (string.includes("\ufffd")) return [...part].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
    return `‹${nodes(string).map((node) => typeof node === "string" ? (node === "\n" ? "" : node) : node.textContent).join("").slice(0, 80)}›`;
  }

  function showTip(segment, box) {
    tip.replaceChildren(...describe(segment));
    tip.hidden = false;
    const size = tip.getBoundingClientRect();
    const leftEdge = Math.max(8, Math.min(box.left, innerWidth - size.width - 8));
    const below = box.bottom + 8 + size.height < innerHeight;
    tip.style.left = `${leftEdge}px`;
    tip.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - size.height - 8)}px`;
  }

  function hideTip() { tip.hidden = true; }

  function select(segment, centre) {
    if (!shown || segment < 0 || segment >= shown.segments.ends.length) return;
    text.querySelector(".current")?.classList.remove("current");
    shown.current = segment;
    const index = shown.blocks.findIndex((block) => segment < block.last);
    const target = text.children[index];
    fillBlock(target, shown.blocks[index]);
    const node = target.querySelector(`[data-segment="${segment}"]`);
    node.classList.add("current");
    node.scrollIntoView({ block: centre ? "center" : "nearest" });
    showTip(segment, node.getBoundingClientRect());
    const [start, end] = range(segment);
    onSelect({ start, end, firsts: shown.segments.lasts.map((lasts) => segment ? lasts[segment - 1] : 0) });
  }

  function scale(isGap) {
    const limits = isGap ? GAP_LIMITS : LIMITS;
    const kind = isGap ? "g" : "b";
    const names = [0, ...limits.keys()].length;
    const steps = [];
    for (let step = 0; step < names; step++) {
      const from = step ? limits[step - 1] : null;
      steps.push(element("span", {}, element("i", { class: `${kind}${step}` }), from === null ? "\u00a0" : String(from).replace("-", "−")));
    }
    const caption = isGap ? `bits per byte, ${shown.names[0]} minus ${shown.names[1]}: blue where ${shown.names[0]} is better` : "bits per byte from …";
    scaleNode.replaceChildren(element("em", {}, caption), ...steps);
  }

  text.addEventListener("pointerover", (event) => {
    const node = event.target.closest("[data-segment]");
    if (node) showTip(Number(node.dataset.segment), node.getClientRects()[0]);
  });
  text.addEventListener("pointerleave", hideTip);
  text.addEventListener("click", (event) => {
    const node = event.target.closest("[data-segment]");
    if (node) select(Number(node.dataset.segment), false);
  });
  text.addEventListener("blur", hideTip);
  text.addEventListener("focus", () => {
    if (!text.matches(":focus-visible") || !shown || shown.current >= 0) return;
    const visible = [...text.children].findIndex((block) => block.getBoundingClientRect().bottom > 80);
    select(shown.blocks[Math.max(0, visible)].first, false);
  });
  text.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
    if (step !== undefined && shown) {
      event.preventDefault();
      select(Math.max(0, Math.min(shown.current + step, shown.segments.ends.length - 1)), false);
    } else if (event.key === "Escape") hideTip();
  });
  return { show, quoted, nodes };
}
