/**
 * The planner's answers: `mergelaw/planning/answers.py` in JavaScript, function by function.
 *
 * Losses are in nats per token, k counts merged experts. Nothing here touches the page.
 *
 * @typedef {object} Curve A law of one method and domain at one size, as the law file has it.
 * @property {string} size
 * @property {number} floor Extrapolation to k = infinity.
 * @property {number|null} floor_stderr
 * @property {number} tail
 * @property {number} offset
 * @property {boolean} identified
 * @property {string[]} notes
 * @property {number[]} loss The law at k = 1..pool.
 * @property {(number|null)[]} stderr Empty: not known.
 * @property {(number|null)[]} gain_stderr Of loss(k) - loss(k + 1).
 * @property {number|null} freedom Degrees of freedom of the errors.
 * @property {(number|null)[]} measured
 *
 * @typedef {object} Needed How many experts a target needs.
 * @property {number} target
 * @property {number|null} probability
 * @property {"met"|"unlikely"|"beyond pool"|"unreachable"|"not identified"} status
 * @property {number|null} k
 * @property {number|null} chance
 * @property {string} reason
 */
const Answers = (() => {
  "use strict";

  /** Slack of thresholds on k and on shares, as in `mergelaw.laws.forms`. */
  const TOLERANCE = 1e-9;

  /** Of the band around a curve. */
  const LEVEL = 0.95;

  /** Standard errors below the law's floor within which a target may still be above the true one. */
  const COVERED = 2;

  /** Experts up to which a number is told. */
  const COUNTED = 1e15;

  /** @returns {number[]} 1, 2, ... pool. */
  const pool = (curve) => curve.loss.map((_, i) => i + 1);

  /** @returns {number|null} The standard error of the law's loss at k; null: not known. */
  const stderrOf = (curve, k) => curve.stderr[k - 1] ?? null;

  const gainStderrOf = (curve, k) => curve.gain_stderr[k - 1] ?? null;
  const measuredOf = (curve, k) => curve.measured[k - 1] ?? null;

  /** @returns {number} The chance that a loss known with a standard error is at most the target. */
  function chanceAtMost(target, loss, stderr, freedom) {
    if (stderr === 0) return loss <= target ? 1 : 0;
    return Distributions.cdf((target - loss) / stderr, freedom);
  }

  /** @returns {number|null} The chance that k experts reach a target; null: errors not known. */
  function chanceOf(curve, k, target) {
    const stderr = stderrOf(curve, k);
    return stderr === null
      ? null
      : chanceAtMost(target, curve.loss[k - 1], stderr, curve.freedom);
  }

  /** @returns {number} How far the interval reaches to each side of the loss. */
  function halfWidth(stderr, freedom, level = LEVEL) {
    return Distributions.quantile((1 + level) / 2, freedom) * stderr;
  }

  /** @returns {{low: number|null, high: number|null}} The interval of the loss at k. */
  function interval(curve, k) {
    const stderr = stderrOf(curve, k);
    if (stderr === null) return { low: null, high: null };
    const half = halfWidth(stderr, curve.freedom);
    return { low: Math.max(curve.loss[k - 1] - half, 0), high: curve.loss[k - 1] + half };
  }

  /**
   * How many experts reach a target loss with a probability; without errors, or without a
   * probability, the law's own loss decides.
   *
   * @param {Curve} curve
   * @param {number} target
   * @param {number|null} probability
   * @returns {Needed}
   */
  function needed(curve, target, probability) {
    for (const k of pool(curve)) {
      const chance = chanceOf(curve, k, target);
      const met =
        probability === null || chance === null
          ? curve.loss[k - 1] <= target
          : chance >= probability;
      if (met) return { target, probability, status: "met", k, chance, reason: metWords(curve, k, chance) };
    }
    return notMet(curve, target, probability);
  }

  function metWords(curve, k, chance) {
    const loss = `the law's loss there is ${Words.loss(curve.loss[k - 1])}`;
    const kind =
      curve.freedom === null ? "normal" : `Student t, ${Words.digits(curve.freedom)} degrees`;
    return chance === null
      ? `${loss}; the law's errors are not known, so no probability can be told`
      : `${loss}, and the target is met with probability ${Words.chance(chance)} (${kind})`;
  }

  /** @returns {Needed} Why no number of experts in the pool will do. */
  function notMet(curve, target, probability) {
    const size = curve.loss.length;
    const best = curve.loss.indexOf(Math.min(...curve.loss)) + 1;
    const reached = curve.loss[best - 1];
    const chance = chanceOf(curve, best, target);
    const answer = (status, k, reason) => ({ target, probability, status, k, chance, reason });
    if (reached <= target) {
      return answer(
        "unlikely",
        null,
        `the pool's best, k = ${best}, has ${Words.loss(reached)} by the law, but meets the ` +
          `target with probability ${Words.chance(chance)} only`,
      );
    }
    const least = `the pool of ${size} reaches ${Words.loss(reached)}, at k = ${best}`;
    if (!curve.identified) {
      return answer(
        "not identified",
        null,
        `${least}, and what more experts would reach is not identified`,
      );
    }
    if (target <= curve.floor) {
      const [status, reason] = notAboveFloor(curve, target, chance, least);
      return answer(status, null, reason);
    }
    const least_k = kNearFloor(target - curve.floor, curve.tail, curve.offset);
    const k = least_k === null ? null : Math.max(least_k, size + 1);
    return answer(
      "beyond pool",
      k,
      `by the law it needs ${counted(k)} experts, more than there are; ${least}`,
    );
  }

  /** @returns {[string, string]} Status and reason: out of reach, or only unlikely. */
  function notAboveFloor({ floor, floor_stderr: error }, target, chance, least) {
    const known = error === null ? "" : ` (standard error ${Words.error(error)})`;
    const words = `it is not above the law's floor of ${Words.loss(floor)}${known}`;
    if (error === null || chance === null || target <= floor - COVERED * error) {
      return ["unreachable", `${words}; ${least}`];
    }
    const met = `and meets it with probability ${Words.chance(chance)}`;
    return ["unlikely", `${words}, whose error covers it; ${least}, ${met}`];
  }

  /** @returns {number|null} max(1, ceil(tail / gap - offset)), also above the pool; null: too many to count. */
  function kNearFloor(gap, tail, offset) {
    return tail / gap > COUNTED ? null : Math.max(1, Math.ceil(tail / gap - offset - TOLERANCE));
  }

  const counted = (k) => (k === null ? "more than 1e+15" : Words.whole(k));

  /** @returns {{gap: number, k: number|null, in_pool: boolean, reason: string}} */
  function nearFloor(curve, gap) {
    if (!curve.identified) {
      return { gap, k: null, in_pool: false, reason: "the floor is not identified" };
    }
    const size = curve.loss.length;
    const k = kNearFloor(gap, curve.tail, curve.offset);
    const left = Words.loss(curve.loss[size - 1] - curve.floor);
    const in_pool = k !== null && k <= size;
    const takes = k === null ? `; it takes ${counted(k)}` : "";
    const reason = in_pool
      ? `the law's loss there is ${Words.loss(curve.loss[k - 1])}`
      : `more than the pool of ${size}, which stays ${left} above the floor${takes}`;
    return { gap, k, in_pool, reason };
  }

  /** @returns {number[]|null} R(k) = (L(1) - L(k)) / (L(1) - L(M)); null: nothing is gained. */
  function returns(loss) {
    const whole = loss[0] - loss[loss.length - 1];
    return whole > 0 ? loss.map((value) => (loss[0] - value) / whole) : null;
  }

  /** @returns {number|null} The smallest k that realises a share of the pool's improvement. */
  function kOfReturn(loss, share) {
    const shares = returns(loss);
    return shares && shares.findIndex((part) => part >= share - TOLERANCE) + 1;
  }

  /** @returns {number[]} L(k) - L(k + 1), what one more expert is worth after k = 1..M - 1. */
  function gains(loss) {
    return loss.slice(1).map((next, i) => loss[i] - next);
  }

  /** Standard errors that a gain has to exceed to be clear. */
  const CLEAR = 2;

  /** A gain with two digits, or as many as show that it is below eps. */
  function below(gain, eps) {
    let count = 2;
    while (count < 16 && !(Number(gain.toPrecision(count)) < eps)) count += 1;
    return Words.digits(gain, count);
  }

  /** How many of the gains, large as they are, could be none. */
  function unclear(gains, errors) {
    const lost = gains.filter((gain, i) => errors[i] !== null && gain < CLEAR * errors[i]).length;
    return lost ? `; ${lost} of ${gains.length} gains are not clear of their errors` : "";
  }

  /**
   * The smallest k at which one more expert's gain is below eps and below 2 errors
   * (`mergelaw/planning/stopping.py`).
   *
   * @param {number[]} gains
   * @param {(number|null)[]} stderr Empty: not known, `eps` alone decides.
   * @param {number} eps
   * @returns {{eps: number, k: number, in_pool: boolean, errors_known: boolean, reason: string}}
   */
  function stopAt(gains, stderr, eps) {
    const errors = gains.map((_, i) => stderr[i] ?? null);
    const errors_known = errors.every((error) => error !== null);
    const small = gains.findIndex((gain) => gain < eps) + 1;
    const answer = (k, in_pool, reason) => ({ eps, k, in_pool, errors_known, reason });
    for (const [i, gain] of gains.entries()) {
      const error = errors[i];
      if (gain < eps && (error === null || gain < CLEAR * error)) {
        const bound =
          error === null ? "its error is not known" : `two errors are ${Words.error(2 * error)}`;
        return answer(
          i + 1,
          true,
          `expert ${i + 2} is expected to gain ${below(gain, eps)} nats per token, below ` +
            `${Words.digits(eps)}; ${bound}`,
        );
      }
    }
    const reason = small
      ? `gains fall below ${Words.digits(eps)} at k = ${small}, but are still clear of their errors`
      : `every expert of the pool is expected to gain ${Words.digits(eps)} or more` +
        unclear(gains, errors);
    return answer(gains.length + 1, false, reason);
  }

  return {
    LEVEL, chanceOf, gainStderrOf, gains, halfWidth, interval, kNearFloor, kOfReturn, measuredOf,
    nearFloor, needed, pool, returns, stderrOf, stopAt,
  };
})();
