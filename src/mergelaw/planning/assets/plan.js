/**
 * From a law and a question to answers: `mergelaw/planning/plan.py` and `multitask.py` in JavaScript.
 *
 * What `lawPlan` returns is an entry of `laws` in the JSON of `mergelaw plan --json`.
 *
 * @typedef {object} Question
 * @property {number|null} target Loss to reach.
 * @property {number[]} probability
 * @property {number[]} shares
 * @property {number|null} gap
 * @property {number|null} eps
 * @property {number|null} budget
 * @property {Prices} prices
 */
const Plan = (() => {
  "use strict";

  /** Returns that every plan tells the experts of. */
  const SHARES = [0.85, 0.9];

  /** @param {State} state @returns {Question} */
  function question(state, file) {
    return {
      target: state.kind === "loss" ? state.loss : null,
      probability: [state.probability],
      shares: state.kind === "return" ? [state.return] : SHARES,
      gap: state.kind === "gap" ? state.gap : null,
      eps: state.eps,
      budget: state.budget,
      prices: State.prices(state, file),
    };
  }

  /** @returns {{size: object, curve: Curve}[]} The law's sizes, and the one off the ladder. */
  function pairs(file, law, n) {
    const known = law.curves.map((curve) => ({ size: Finding.sizeOf(file, curve.size), curve }));
    const curve = n === null ? null : Finding.curveAt(file, law, n);
    if (!curve) return known;
    return [...known, { size: { name: curve.size, n_params_billions: n, costs: null }, curve }];
  }

  function lawPlan(file, law, n, asked) {
    const all = pairs(file, law, n);
    return {
      method: law.method,
      domain: law.domain,
      sizes: all.map(({ size, curve }) => sizePlan(file, law, size, curve, asked)),
      bought: Budget.buy(file, law.method, all, asked),
    };
  }

  function sizePlan(file, law, size, curve, asked) {
    const gains = Answers.gains(curve.loss);
    return {
      size: size.name,
      n_params_billions: size.n_params_billions,
      floor: curve.floor,
      floor_stderr: curve.floor_stderr,
      identified: curve.identified,
      notes: curve.notes,
      freedom: curve.freedom,
      points: Answers.pool(curve).map((k) => atK(curve, k, gains)),
      returns: asked.shares.map((share) => ({ share, k: Answers.kOfReturn(curve.loss, share) })),
      needed:
        asked.target === null
          ? []
          : asked.probability.map((chance) => Answers.needed(curve, asked.target, chance)),
      near_floor: asked.gap === null ? null : Answers.nearFloor(curve, asked.gap),
      stop: asked.eps === null ? null : Answers.stopAt(gains, curve.gain_stderr, asked.eps),
      multitask: againstMultitask(file, law, size, curve, asked),
    };
  }

  function atK(curve, k, gains) {
    const last = k === curve.loss.length;
    const shares = Answers.returns(curve.loss);
    return {
      k,
      loss: curve.loss[k - 1],
      stderr: Answers.stderrOf(curve, k),
      ...Answers.interval(curve, k),
      share: shares && shares[k - 1],
      gain: last ? null : gains[k - 1],
      gain_stderr: last ? null : Answers.gainStderrOf(curve, k),
    };
  }

  const baselineOf = (file, domain, size) =>
    file.baselines.find((one) => one.size === size && one.domain === domain) ?? null;

  /** The multitask baseline beside the merge; null where neither its loss nor its cost is known. */
  function againstMultitask(file, law, size, curve, asked) {
    const loss = baselineOf(file, law.domain, size.name)?.multitask ?? null;
    const best_k = curve.loss.indexOf(Math.min(...curve.loss)) + 1;
    const best_loss = curve.loss[best_k - 1];
    const found = loss === null ? 0 : curve.loss.findIndex((value) => value <= loss) + 1;
    const k = found || null;
    const cost = Budget.multitaskCost(asked.prices, size.costs);
    if (loss === null && cost === null) return null;
    const lacks = Budget.lacking(asked.prices, size.costs, law.method).length > 0;
    const merge_cost = lacks
      ? null
      : Budget.total(Budget.costParts(asked.prices, size.costs, law.method, k ?? best_k));
    return { loss, k, best_k, best_loss, cost, merge_cost, reason: words(loss, k, best_k, best_loss) };
  }

  function words(loss, k, best_k, best_loss) {
    if (loss === null) return "the loss of multitask training was not measured here";
    const reaches = `multitask training reaches ${Words.loss(loss)}`;
    return k === null
      ? `${reaches}; the best merge of the pool, k = ${best_k}, stays ${Words.loss(best_loss - loss)} above it`
      : `${reaches}; a merge of ${Words.experts(k)} is as good by the law`;
  }

  return { SHARES, baselineOf, lawPlan, question };
})();
