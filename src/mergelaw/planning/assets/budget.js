/**
 * What a plan costs and what to buy: `mergelaw/planning/budget.py` and `choices.py` in JavaScript.
 *
 * @typedef {object} Prices As the prices file has them.
 * @property {string} currency
 * @property {Record<string, number>} device_hour Empty: hours count.
 * @property {"to_train"|"at_hand"} experts
 * @property {number} evaluations
 * @property {number} serve_billions_of_tokens
 *
 * @typedef {object} Choice A base size and a number of experts.
 * @property {string} size
 * @property {number|null} n_params_billions
 * @property {number} k
 * @property {number} cost
 * @property {number} loss
 * @property {number|null} stderr
 * @property {number|null} chance
 */
const Budget = (() => {
  "use strict";

  /** What the parts of a cost are called in words. */
  const PARTS = {
    train_expert: "training of an expert",
    merge: "a merge",
    evaluate: "an evaluation",
    serve_per_billion_tokens: "serving",
    "all hours": "everything",
  };

  /** The unit of costs where no price is given. */
  const DEVICE_HOURS = "device-hours";

  /** @returns {string[]} The devices that the laws' hours are of. */
  function devices(file) {
    return [...new Set(file.sizes.filter((s) => s.costs).map((s) => s.costs.device))].sort();
  }

  /** @returns {string[]} The parts of a cost that are not known and that the plan needs. */
  function lacking(prices, hours, method) {
    if (!hours) return ["all hours"];
    const parts = [];
    if (prices.experts === "to_train" && hours.train_expert === null) parts.push("train_expert");
    if (hours.merge === null && !(method in hours.merge_by_method)) parts.push("merge");
    if (prices.evaluations && hours.evaluate === null) parts.push("evaluate");
    if (prices.serve_billions_of_tokens && hours.serve_per_billion_tokens === null) {
      parts.push("serve_per_billion_tokens");
    }
    return parts;
  }

  /** @returns {number} The device-hours of one merge of k experts. */
  function mergeHours(hours, method, k) {
    if (method in hours.merge_by_method) return hours.merge_by_method[method];
    return (hours.merge ?? 0) + k * (hours.merge_per_expert ?? 0);
  }

  /** @returns {{train: number, merge: number, evaluate: number, serve: number}} */
  function costParts(prices, hours, method, k) {
    const price = prices.device_hour[hours.device] ?? 1;
    const train = prices.experts === "at_hand" ? 0 : k * (hours.train_expert ?? 0);
    return {
      train: price * train,
      merge: price * mergeHours(hours, method, k),
      evaluate: price * (prices.evaluations * (hours.evaluate ?? 0)),
      serve: price * (prices.serve_billions_of_tokens * (hours.serve_per_billion_tokens ?? 0)),
    };
  }

  const total = (parts) => parts.train + parts.merge + parts.evaluate + parts.serve;

  /** @returns {number|null} Training on all domains at once, scored and served; null: not known. */
  function multitaskCost(prices, hours) {
    if (!hours || hours.train_multitask === null) return null;
    const price = prices.device_hour[hours.device] ?? 1;
    const served = prices.serve_billions_of_tokens * (hours.serve_per_billion_tokens ?? 0);
    return price * (hours.train_multitask + prices.evaluations * (hours.evaluate ?? 0) + served);
  }

  const HOURS = [
    "train_expert", "train_multitask", "merge", "merge_per_expert", "evaluate",
    "serve_per_billion_tokens",
  ];

  /**
   * The hours of a size; off the ladder in proportion to N from the nearest size below, or above
   * where there is none below.
   *
   * @returns {{costs: object|null, origin: string}}
   */
  function hoursAt(file, size) {
    const n = size.n_params_billions;
    const own = file.sizes.some(({ name }) => name === size.name);
    if (own || n === null) return { costs: size.costs, origin: "" };
    const known = file.sizes.filter((s) => s.costs && s.n_params_billions);
    if (!known.length) return { costs: null, origin: "" };
    known.sort((a, b) => a.n_params_billions - b.n_params_billions);
    const near = known.filter((s) => s.n_params_billions <= n).pop() ?? known[0];
    const costs = scaled(near.costs, n / near.n_params_billions);
    return { costs, origin: `, in proportion to N from ${near.name}` };
  }

  function scaled(costs, factor) {
    const times = (value) => (value === null ? null : value * factor);
    const hours = Object.fromEntries(HOURS.map((name) => [name, times(costs[name])]));
    const methods = Object.entries(costs.merge_by_method).map(([name, v]) => [name, v * factor]);
    return { ...costs, ...hours, merge_by_method: Object.fromEntries(methods) };
  }

  /**
   * What to buy of some sizes of one law.
   *
   * @param {object} file
   * @param {string} method
   * @param {{size: object, curve: Curve}[]} pairs
   * @param {object} asked The question, see plan.js.
   */
  function buy(file, method, pairs, asked) {
    const choices = [];
    const notes = unpriced(file, asked.prices);
    for (const { size, curve } of notes.length ? [] : pairs) {
      const { costs, origin } = hoursAt(file, size);
      const parts = lacking(asked.prices, costs, method);
      if (parts.length) {
        notes.push(leftOut(size, parts));
        continue;
      }
      notes.push(`${size.name}: ${costs.source}${origin}`);
      choices.push(...choicesOf(size, curve, costs, method, asked));
    }
    if (choices.length && choices.every(({ cost }) => cost === 0)) {
      notes.push("every plan costs nothing: there is nothing to weigh");
    }
    return {
      currency: asked.prices.currency,
      choices,
      front: front(choices),
      best: asked.budget === null ? null : bestWithin(choices, asked.budget),
      cheapest:
        asked.target === null ? null : cheapest(choices, asked.target, asked.probability[0] ?? null),
      notes: [...new Set([...notes, ...budgetNote(choices, asked)])],
    };
  }

  /** @returns {string[]} Why hours cannot be weighed: of several devices, and not priced. */
  function unpriced(file, prices) {
    const names = devices(file);
    if (names.length < 2 || Object.keys(prices.device_hour).length) return [];
    return [`hours are of several devices (${names.join(", ")}): give the price of an hour of each`];
  }

  function budgetNote(choices, { budget, prices }) {
    const first = least(choices, "cost", "loss");
    if (budget === null || first === null || first.cost <= budget) return [];
    return [
      `the budget of ${Words.digits(budget)} ${prices.currency} buys nothing: the cheapest, ` +
        `${first.size} with k = ${first.k}, costs ${Words.cost(first.cost)}`,
    ];
  }

  function leftOut(size, parts) {
    const names = parts.map((part) => PARTS[part]).join(", ");
    const way = parts.includes("train_expert")
      ? "; experts that exist already need no training"
      : "";
    return `${size.name} is left out, because hours are not known for: ${names}${way}`;
  }

  /** @returns {Choice[]} */
  function choicesOf(size, curve, costs, method, asked) {
    return Answers.pool(curve).map((k) => ({
      size: size.name,
      n_params_billions: size.n_params_billions,
      k,
      cost: total(costParts(asked.prices, costs, method, k)),
      loss: curve.loss[k - 1],
      stderr: Answers.stderrOf(curve, k),
      chance: asked.target === null ? null : Answers.chanceOf(curve, k, asked.target),
    }));
  }

  /** @returns {Choice|null} The least by `first`, among equals by `second`. */
  function least(choices, first, second) {
    return choices.reduce(
      (best, one) =>
        best === null ||
        one[first] < best[first] ||
        (one[first] === best[first] && one[second] < best[second])
          ? one
          : best,
      null,
    );
  }

  /** @returns {Choice|null} The least loss within the budget; the cheapest of equals. */
  function bestWithin(choices, budget) {
    return least(choices.filter(({ cost }) => cost <= budget), "loss", "cost");
  }

  /** @returns {Choice[]} The Pareto front of cost and loss, by cost. */
  function front(choices) {
    const kept = [];
    for (const choice of [...choices].sort((a, b) => a.cost - b.cost || a.loss - b.loss)) {
      if (!kept.length || choice.loss < kept[kept.length - 1].loss) kept.push(choice);
    }
    return kept;
  }

  /** @returns {Choice|null} The cheapest that meets the target, with the probability if known. */
  function cheapest(choices, target, probability) {
    const meets = choices.filter(({ chance, loss }) =>
      probability === null || chance === null ? loss <= target : chance >= probability,
    );
    return least(meets, "cost", "loss");
  }

  return {
    DEVICE_HOURS, PARTS, buy, costParts, devices, front, hoursAt, lacking, multitaskCost, total,
  };
})();
