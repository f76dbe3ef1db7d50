/**
 * What the reader has chosen: read from the controls, kept in the address after "#".
 *
 * @typedef {object} State
 * @property {string} method
 * @property {string} domain
 * @property {string} size Name of a size; "other": N is `n`.
 * @property {number|null} n N in billions.
 * @property {"return"|"loss"|"gap"} kind
 * @property {number} return Share of the pool's improvement.
 * @property {number|null} loss Target loss; null: not chosen yet.
 * @property {number|null} gap Gap to the floor; null: not chosen yet.
 * @property {number} probability
 * @property {number} eps
 * @property {boolean} trained
 * @property {Record<string, number>} price Of a device-hour, by device.
 * @property {string} currency
 * @property {number} evaluations
 * @property {number} serve Billions of tokens.
 * @property {number|null} budget
 */
const State = (() => {
  "use strict";

  /** @type {("return"|"loss"|"gap")[]} */
  const KINDS = ["return", "loss", "gap"];

  /** Numbers: the range of each, and how the range is said. */
  const RANGES = {
    n: { ok: (x) => x > 0, say: "a number of billions above 0" },
    return: { ok: (x) => x > 0 && x <= 1, say: "a share above 0% and at most 100%" },
    loss: { ok: (x) => x > 0, say: "a loss above 0" },
    gap: { ok: (x) => x > 0, say: "a gap above 0" },
    probability: { ok: (x) => x > 0 && x < 1, say: "a probability above 0% and below 100%" },
    eps: { ok: (x) => x > 0, say: "a gain above 0" },
    evaluations: { ok: (x) => x >= 0 && Number.isInteger(x), say: "a whole number, 0 or more" },
    serve: { ok: (x) => x >= 0, say: "0 or more" },
    budget: { ok: (x) => x > 0, say: "a cost above 0, or nothing for no limit" },
    price: { ok: (x) => x > 0, say: "a price above 0, or nothing to count hours" },
  };

  /** @returns {State} */
  function initial(file) {
    const law = file.laws[0];
    return {
      method: law.method, domain: law.domain, size: law.curves[law.curves.length - 1].size, n: null,
      kind: "return", return: 0.9, loss: null, gap: null, probability: 0.9, eps: 0.01,
      trained: false, price: {}, currency: "EUR", evaluations: 1, serve: 0, budget: null,
    };
  }

  const NUMBERS = ["n", "probability", "eps", "evaluations", "serve", "budget"];

  /** @param {State} state @returns {string} What follows "#": the law, and what is not as at first. */
  function toHash(state, file) {
    const first = initial(file);
    const said = new URLSearchParams();
    for (const key of ["method", "domain", "size"]) said.set(key, state[key]);
    if (state[state.kind] !== null) said.set(state.kind, `${state[state.kind]}`);
    for (const key of NUMBERS) if (state[key] !== first[key]) said.set(key, `${state[key]}`);
    if (state.trained) said.set("trained", "yes");
    if (Object.keys(state.price).length) said.set("currency", state.currency);
    for (const [device, price] of Object.entries(state.price)) said.set(`price ${device}`, `${price}`);
    return said.toString();
  }

  /** @returns {State} What an address says; what it says wrongly or not at all is as at first. */
  function fromHash(hash, file) {
    const state = initial(file);
    const said = new URLSearchParams(hash.replace(/^#/, ""));
    const number = (key, name = key) => {
      const value = said.get(key)?.trim() ? Number(said.get(key)) : NaN;
      return Number.isFinite(value) && RANGES[name].ok(value) ? value : null;
    };
    for (const key of ["method", "domain", "size"]) state[key] = said.get(key) ?? state[key];
    for (const key of [...NUMBERS, ...KINDS]) state[key] = number(key) ?? state[key];
    state.kind = KINDS.find((kind) => number(kind) !== null) ?? state.kind;
    state.trained = said.get("trained") === "yes";
    state.currency = said.get("currency")?.trim() || state.currency;
    for (const device of Budget.devices(file)) {
      const price = number(`price ${device}`, "price");
      if (price !== null) state.price[device] = price;
    }
    return state;
  }

  /** @returns {Prices} As a prices file has them; without a price for every device, hours count. */
  function prices(state, file) {
    const devices = Budget.devices(file);
    const priced = devices.length > 0 && devices.every((device) => device in state.price);
    return {
      currency: priced ? state.currency : Budget.DEVICE_HOURS,
      device_hour: priced ? state.price : {},
      experts: state.trained ? "at_hand" : "to_train",
      evaluations: state.evaluations,
      serve_billions_of_tokens: state.serve,
    };
  }

  return { KINDS, RANGES, fromHash, initial, prices, toHash };
})();
