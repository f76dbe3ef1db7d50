/** What the four tables hold: their columns, and their rows from a plan. */
const Rows = (() => {
  "use strict";

  const { chancePercent: chance, cost, digits, error, loss, parameters, text, whole, yes } = Words;
  const share = (value) => Words.percent(value);
  const column = (key, title, show) => ({ key, title, show: (value) => show(value) });
  const named = (key, title, show = text) => ({ ...column(key, title, show), words: true });

  const CURVE = [
    named("k", "k", whole),
    column("loss", "loss by the law", loss),
    column("stderr", "± standard error", error),
    column("low", "95% from", loss),
    column("high", "95% to", loss),
    column("measured", "measured", loss),
    column("share", "return", share),
    column("gain", "gain of one more", error),
    column("gain_stderr", "± standard error", error),
    column("chance", "chance of the target", chance),
    column("cost", "cost", cost),
  ];

  const BUDGET = [
    named("size", "size"),
    column("n_params_billions", "N", parameters),
    column("k", "k", whole),
    column("cost", "cost", cost),
    column("loss", "loss by the law", loss),
    column("stderr", "± standard error", error),
    column("chance", "chance of the target", chance),
    named("within_budget", "within the budget"),
    named("on_front", "on the front", yes),
  ];

  const BASELINES = [
    named("size", "size"),
    column("base", "base", loss),
    column("expert", "own expert", loss),
    column("multitask", "multitask", loss),
    column("best_loss", "best merge by the law", loss),
    column("best_k", "its experts", whole),
    column("k", "experts for multitask's loss", whole),
    column("multitask_cost", "cost of multitask", cost),
    column("merge_cost", "cost of the merge", cost),
  ];

  const laws = (pool) => [
    named("method", "method"),
    named("domain", "domain"),
    named("size", "size"),
    column("needed", "experts for the target", whole),
    named("status", "target"),
    column("loss_1", "loss at k = 1", loss),
    column("loss_pool", `loss at k = ${pool}`, loss),
    column("floor", "floor", loss),
    column("floor_stderr", "± standard error", error),
    column("tail", "tail", digits),
    column("offset", "offset", digits),
    column("k85", "k for 85%", whole),
    column("k90", "k for 90%", whole),
    named("identified", "identified", yes),
  ];

  /** @param {number|null} k Experts that the answer names. @param {number|null} target A loss. */
  function ofCurve(curve, plan, k, target, costOf) {
    return plan.points.map((point) => ({
      ...point,
      measured: Answers.measuredOf(curve, point.k),
      chance: target === null ? null : Answers.chanceOf(curve, point.k, target),
      cost: costOf ? costOf(point.k) : null,
      chosen: point.k === k,
    }));
  }

  function ofBudget(bought, budget) {
    const front = new Set(bought.front);
    return bought.choices.map((one) => ({
      ...one,
      within_budget: budget === null ? null : Words.yes(one.cost <= budget),
      on_front: front.has(one),
      chosen: one === bought.best,
      label: `${one.size} with ${Words.experts(one.k)}`,
    }));
  }

  function ofBaselines(file, plan, chosen) {
    return plan.sizes
      .map((size) => ({ size, found: Plan.baselineOf(file, plan.domain, size.size) }))
      .filter(({ size, found }) => found || size.multitask)
      .map(({ size, found }) => ({
        size: size.size,
        base: found?.base ?? null,
        expert: found?.expert ?? null,
        multitask: found?.multitask ?? null,
        ...bestMerge(size.points),
        k: size.multitask?.k ?? null,
        multitask_cost: size.multitask?.cost ?? null,
        merge_cost: size.multitask?.merge_cost ?? null,
        chosen: size.size === chosen,
      }));
  }

  function bestMerge(points) {
    const best = points.reduce((least, point) => (point.loss < least.loss ? point : least));
    return { best_loss: best.loss, best_k: best.k };
  }

  /** The target's experts by a law's curve, as the first card tells them. */
  function needed(state, curve) {
    if (state.kind === "return") {
      const k = Answers.kOfReturn(curve.loss, state.return);
      return { needed: k, status: k ? "met" : "nothing is gained" };
    }
    if (state.kind === "gap") {
      const { k, in_pool } = Answers.nearFloor(curve, state.gap);
      return { needed: k, status: k === null ? "not identified" : in_pool ? "met" : "beyond pool" };
    }
    const { k, status } = Answers.needed(curve, state.loss, state.probability);
    return { needed: k, status };
  }

  function ofLaws(file, state) {
    return file.laws.flatMap(({ method, domain, curves }) =>
      curves.map((curve) => ({
        method,
        domain,
        size: curve.size,
        ...needed(state, curve),
        loss_1: curve.loss[0],
        loss_pool: curve.loss[file.pool - 1],
        ...parametersOf(curve),
        k85: Answers.kOfReturn(curve.loss, 0.85),
        k90: Answers.kOfReturn(curve.loss, 0.9),
        identified: curve.identified,
        chosen: method === state.method && domain === state.domain && curve.size === state.size,
        label: `${method}, ${domain}, ${curve.size}`,
      })),
    );
  }

  /** A law's parameters; nothing where the points do not determine them. */
  function parametersOf(curve) {
    const { floor, tail, offset, identified } = curve;
    return identified
      ? { floor, floor_stderr: curve.floor_stderr, tail, offset }
      : { floor: null, floor_stderr: null, tail: null, offset: null };
  }

  return { BASELINES, BUDGET, CURVE, laws, ofBaselines, ofBudget, ofCurve, ofLaws };
})();
