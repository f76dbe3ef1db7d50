/** The form: the state written into its fields, and read back with complaints in words. */
const Controls = (() => {
  "use strict";

  /** The entry of the list of sizes for an N of the reader's own. */
  const OTHER = "other";

  const TARGETS = {
    return: { label: "Share of the improvement from 1 to all experts, in %", factor: 100 },
    loss: { label: "Loss to reach, nats per token", factor: 1 },
    gap: { label: "Gap to the floor, nats per token", factor: 1 },
  };

  /** Fields that hold a number of the state as it is, or times a factor. */
  const NUMBERS = {
    n: {}, probability: { factor: 100 }, eps: {}, evaluations: {}, serve: {}, budget: { empty: true },
  };

  /** @param {string} id @returns {any} */
  const $ = (id) => document.getElementById(id);

  const clean = (value) => (value === null ? "" : `${Number(value.toPrecision(12))}`);
  const knownN = (file) => file.sizes.map((size) => size.n_params_billions).filter(Boolean);
  const priceId = (file, device) => `price-${Budget.devices(file).indexOf(device)}`;

  // ---- writing

  /** Set a field, unless the reader is typing in it, or has left something in it to put right. */
  function put(id, value) {
    const field = $(id);
    const typed =
      document.activeElement === field || field.getAttribute("aria-invalid") === "true";
    if (!typed || field.type === "range") field.value = value;
  }

  function fillOptions(select, values, shown = (value) => value) {
    const now = [...select.options].map((option) => option.value).join("\n");
    if (now === values.join("\n")) return;
    select.replaceChildren(
      ...values.map((value) => Tables.element("option", { value, textContent: shown(value) })),
    );
  }

  function sizeWords(file, name) {
    if (name === OTHER) return "another size …";
    const n = Finding.sizeOf(file, name).n_params_billions;
    const spoken = Words.parameters(n);
    return n === null || spoken.toLowerCase() === name.toLowerCase() ? name : `${name} (N = ${spoken})`;
  }

  /** Write the state into the controls. */
  function show(file, state, law, curve) {
    showLists(file, state, law);
    for (const [id, { factor = 1 }] of Object.entries(NUMBERS)) {
      put(id, clean(state[id] === null ? null : state[id] * factor));
    }
    $("trained").checked = state.trained;
    put("currency", state.currency);
    for (const device of Budget.devices(file)) {
      put(priceId(file, device), clean(state.price[device] ?? null));
    }
    $("budget-label").textContent = `Budget, ${State.prices(state, file).currency}`;
    showTarget(state, curve);
  }

  function showLists(file, state, law) {
    const laws = file.laws.filter((one) => one.method === state.method);
    const more = Finding.curveAt(file, law, 1) ? [OTHER] : [];
    fillOptions($("method"), [...new Set(file.laws.map((one) => one.method))]);
    fillOptions($("domain"), laws.map((one) => one.domain));
    fillOptions($("size"), [...law.curves.map(({ size }) => size), ...more], (name) =>
      sizeWords(file, name),
    );
    for (const id of ["method", "domain", "size"]) $(id).value = state[id];
    const ns = knownN(file);
    $("n-row").hidden = state.size !== OTHER;
    $("n-hint").textContent = ns.length
      ? `Measured sizes: ${Words.digits(Math.min(...ns))} to ${Words.digits(Math.max(...ns))}.`
      : "";
  }

  function showTarget(state, curve) {
    const { label, factor } = TARGETS[state.kind];
    const [low, high] = sliderRange(state.kind, curve);
    const value = clean(state[state.kind] * factor);
    for (const radio of document.querySelectorAll("input[name=kind]")) {
      const input = /** @type {HTMLInputElement} */ (radio);
      input.checked = input.value === state.kind;
    }
    $("target-label").textContent = label;
    put("target", value);
    const step = state.kind === "return" ? 1 : (high - low) / 400 || 1;
    Object.assign($("slider"), { min: low, max: high, step });
    put("slider", value);
    $("probability-row").hidden = state.kind !== "loss";
    $("target-hint").textContent = targetHint(state.kind, curve);
    $("probability-hint").textContent = curve.stderr.some((error) => error !== null)
      ? ""
      : "These laws come without errors: no probability can be told.";
  }

  /** @returns {[number, number]} */
  function sliderRange(kind, curve) {
    if (kind === "return") return [1, 100];
    const first = curve.loss[0];
    const last = Math.min(...curve.loss);
    if (kind === "loss") {
      const low = curve.identified ? Math.min(curve.floor, last) : last;
      return [Math.max(low - 0.1 * (first - low), 0.001), Math.max(first * 1.01, last)];
    }
    const most = Math.max(first - curve.floor, 0.001);
    return [most / 200, most];
  }

  function targetHint(kind, curve) {
    const pool = curve.loss.length;
    if (kind === "return") return "Of the law's own curve.";
    const reach = `L(${pool}) = ${Words.loss(curve.loss[pool - 1])}`;
    const floor = curve.identified ? `floor ${Words.loss(curve.floor)}` : "the floor is not identified";
    return `${reach}; ${floor}.`;
  }

  /** Make fields for the price of each device that hours are of. */
  function makePrices(file) {
    const fields = Budget.devices(file).flatMap((device) => {
      const id = priceId(file, device);
      const input = Tables.element("input", {
        id, type: "number", min: "0", step: "any", inputMode: "decimal",
        placeholder: "none: hours count",
      });
      input.setAttribute("aria-describedby", `${id}-problem`);
      return [
        Tables.element("label", { htmlFor: id, textContent: `Price of an hour of ${device}` }),
        input,
        Tables.element("p", { className: "problem", id: `${id}-problem`, hidden: true }),
      ];
    });
    $("prices").replaceChildren(...fields);
    $("currency-row").hidden = !fields.length;
  }

  // ---- reading

  /** @returns {number|null|undefined} What a field says; undefined, and words, if it makes no sense. */
  function readNumber(id, range, factor = 1, empty = false) {
    const field = $(id);
    const text = field.value.trim();
    const value = Number(text) / factor;
    const nothing = text === "" && !field.validity.badInput;
    const number = Number.isFinite(value) && !field.validity.badInput;
    const ok = nothing ? empty : number && State.RANGES[range].ok(value);
    const problem = $(`${id}-problem`);
    field.setAttribute("aria-invalid", `${!ok}`);
    problem.hidden = ok;
    problem.textContent = ok
      ? ""
      : `Give ${State.RANGES[range].say}; the answer is still for what was there before.`;
    if (!ok) return undefined;
    return nothing ? null : Number(value.toPrecision(15));
  }

  function readNumbers(file, state) {
    for (const [id, { factor, empty }] of Object.entries(NUMBERS)) {
      if (id === "n" && state.size !== OTHER) continue;
      const value = readNumber(id, id, factor, empty);
      if (value !== undefined) state[id] = value;
    }
    for (const device of Budget.devices(file)) {
      const value = readNumber(priceId(file, device), "price", 1, true);
      if (value === null) delete state.price[device];
      else if (value !== undefined) state.price[device] = value;
    }
  }

  /** Take over into the state what the reader did in one control. */
  function read(file, state, field) {
    const { factor } = TARGETS[state.kind];
    if (["method", "domain", "size"].includes(field.id)) state[field.id] = field.value;
    else if (field.name === "kind") {
      state.kind = field.value;
      forget("target");
    } else if (field.id === "slider") {
      state[state.kind] = Number(Number(field.value / factor).toPrecision(4));
      forget("target");
    } else if (field.id === "target") {
      const value = readNumber("target", state.kind, factor);
      if (value !== undefined) state[state.kind] = value;
    } else if (field.id === "trained") state.trained = field.checked;
    else if (field.id === "currency") state.currency = field.value.trim() || "EUR";
    else readNumbers(file, state);
  }

  /** Take a field's complaint back: its value is set from the state again. */
  function forget(id) {
    $(id).setAttribute("aria-invalid", "false");
    $(`${id}-problem`).hidden = true;
  }

  function forgetAll() {
    for (const field of document.querySelectorAll("#controls [aria-invalid='true']")) forget(field.id);
  }

  return { OTHER, forgetAll, knownN, makePrices, read, show };
})();
