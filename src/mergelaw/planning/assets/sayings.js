/** The answers in words: the four cards, remarks, captions and the command. */
const Sayings = (() => {
  "use strict";

  const STATUS = {
    unlikely: "unlikely",
    "beyond pool": "unreachable: pool too small",
    unreachable: "unreachable",
    "not identified": "not identified",
  };

  const known = (values) => values.some((value) => value !== null);

  const plus = (loss, stderr) =>
    stderr === null ? Words.loss(loss) : `${Words.loss(loss)} ± ${Words.error(stderr)}`;

  /**
   * How many experts the target needs.
   *
   * @returns {{k: number|null, big: string, why: string, loss: number|null}} `loss`: the target's.
   */
  function experts(state, plan, curve) {
    if (state.kind === "return") return ofReturn(state.return, plan, curve);
    if (state.kind === "gap") return ofGap(state.gap, plan.near_floor, curve);
    const needed = plan.needed[0];
    const met = needed.status === "met";
    return {
      k: met ? needed.k : null,
      big: met ? `${needed.k} of ${curve.loss.length}` : STATUS[needed.status],
      why: Words.sentence(needed.reason),
      loss: state.loss,
    };
  }

  function ofReturn(share, plan, curve) {
    const k = plan.returns[0].k;
    const pool = curve.loss.length;
    if (!k) {
      const why = "By the law more experts bring no improvement in this pool.";
      return { k: null, big: "none", why, loss: null };
    }
    const { loss, stderr, share: reached } = plan.points[k - 1];
    const asked = Words.percent(share, 3).replace(/\.?0+%/, "%");
    const why =
      `The fewest that realise ${asked} of the improvement from 1 to ${pool}: ` +
      `${Words.percent(reached)}, at a loss of ${plus(loss, stderr)}.`;
    const level = curve.loss[0] - share * (curve.loss[0] - curve.loss[pool - 1]);
    return { k, big: `${k} of ${pool}`, why, loss: level };
  }

  function ofGap(gap, near, curve) {
    const big =
      !curve.identified
        ? STATUS["not identified"]
        : near.in_pool
          ? `${near.k} of ${curve.loss.length}`
          : STATUS["beyond pool"] + (near.k === null ? "" : `, it takes ${Words.whole(near.k)}`);
    return {
      k: near.in_pool ? near.k : null,
      big,
      why: Words.sentence(near.reason),
      loss: curve.identified ? curve.floor + gap : null,
    };
  }

  /** When to stop adding experts. */
  function stop({ stop }, pool) {
    if (pool === 1) return { big: "at 1 expert", why: "The pool has one expert." };
    const big = stop.in_pool ? `at ${Words.experts(stop.k)}` : `not before all ${pool}`;
    const unknown = stop.errors_known
      ? ""
      : " The least gain alone decides.";
    return { big, why: Words.sentence(stop.reason) + unknown };
  }

  /**
   * What so many experts cost at a size.
   *
   * @returns {{big: string, why: string, of: ((k: number) => number)|null}} `of`: null: not known.
   */
  function cost(file, law, size, prices, k) {
    const { costs, origin } = Budget.hoursAt(file, size);
    const lacking = Budget.lacking(prices, costs, law.method);
    if (lacking.length) {
      const names = lacking.map((part) => Budget.PARTS[part]).join(", ");
      const why = `The laws come without hours of this size for: ${names}.`;
      return { big: "not known", why, of: null };
    }
    const of = (k) => Budget.total(Budget.costParts(prices, costs, law.method, k));
    const parts = Object.entries(Budget.costParts(prices, costs, law.method, k));
    const list = parts
      .filter(([, part]) => part > 0)
      .map(([name, part]) => `${name} ${Words.cost(part)}`)
      .join(", ");
    const why =
      `For ${Words.experts(k)}: ${list || "nothing to pay"}. ` +
      `Hours of ${costs.device}, ${costs.source}${origin}.`;
    return { big: `${Words.cost(of(k))} ${prices.currency}`, why, of };
  }

  /** The best size and number of experts within the budget. */
  function best(state, bought, prices) {
    const { best, cheapest, choices, notes } = bought;
    if (!choices.length) {
      return { big: "not known", why: `No cost can be told: ${notes.join("; ")}.` };
    }
    if (state.budget === null) {
      const least = cheapest
        ? ` The cheapest that meets the target: ${cheapest.size} with ` +
          `${Words.experts(cheapest.k)}, ${Words.cost(cheapest.cost)} ${prices.currency}.`
        : "";
      const why = `Give one to see which size and how many experts it buys.${least}`;
      return { big: "no budget given", why };
    }
    if (!best) return { big: "nothing", why: Words.sentence(notes[notes.length - 1]) };
    const why =
      `Loss ${plus(best.loss, best.stderr)}, for ${Words.cost(best.cost)} of ` +
      `${Words.digits(state.budget)} ${prices.currency}.`;
    return { big: `${best.size}, ${Words.experts(best.k)}`, why };
  }

  /** @returns {string[]} What to know about a curve. */
  function remarks(curve) {
    const pool = curve.loss.length;
    const reach = `all ${pool} experts reach ${plus(curve.loss[pool - 1], Answers.stderrOf(curve, pool))}`;
    const said = curve.identified
      ? [`floor ${plus(curve.floor, curve.floor_stderr)}, an extrapolation; ${reach}`]
      : [
          "the points do not determine this law: floor and tail are not identified, and nothing " +
            "beyond the pool is told",
          reach,
        ];
    if (!known(curve.stderr)) {
      said.push("no errors come with this law: there is no band, and no probability can be told");
    } else if (curve.stderr.includes(null)) said.push("errors are not known at every k");
    return [...new Set([...said, ...curve.notes].map(Words.sentence))];
  }

  /** @returns {string} What each mark of the curve is; of marks that are drawn only. */
  function caption({ stderr, measured, identified, loss }) {
    const parts = [
      "Line: the law.",
      known(stderr) && "Band: where the mean loss of all merges of k experts lies with 95%.",
      known(measured) && "Points: measured.",
      identified && `Short dashes: the floor, an extrapolation that ${loss.length} experts do not reach.`,
      "Long dashes: the target. Every number is in the table below.",
    ];
    return parts.filter(Boolean).join(" ");
  }

  /** @returns {string} What `mergelaw plan` is asked to say the same. */
  function command(file, state, named) {
    const quoted = (text) =>
      /^[\w./=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
    const law = Finding.lawOf(file, state.method, state.domain);
    const ladder = law.curves.flatMap(({ size }) => ["--size", quoted(size)]);
    const own = ["--n-params", state.n];
    const weighed = state.budget !== null; // then all sizes are
    const sizes =
      state.size === Controls.OTHER
        ? [...(weighed ? ladder : []), ...own]
        : weighed ? [] : ["--size", quoted(state.size)];
    const option = { return: "--return", loss: "--target", gap: "--gap" }[state.kind];
    const first = State.prices(State.initial(file), file);
    const usual = JSON.stringify(State.prices(state, file)) === JSON.stringify(first);
    return [
      "mergelaw plan --law", quoted(`${named}/${state.method}/${state.domain}`), ...sizes,
      option, state[state.kind],
      ...(state.kind === "loss" ? ["--probability", state.probability] : []),
      "--eps", state.eps,
      ...(usual ? [] : ["--prices prices.yaml"]),
      ...(weighed ? ["--budget", state.budget] : []),
    ].join(" ");
  }

  return { best, caption, command, cost, experts, remarks, stop };
})();
