/**
 * Distribution functions of the standard normal and of Student's t, and their quantiles.
 *
 * `freedom` is the degrees of freedom, null: the normal. Absolute errors are below 1e-12.
 */
const Distributions = (() => {
  "use strict";

  /** Coefficients of Lanczos' approximation of the gamma function, g = 7. */
  const LANCZOS = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
    -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
    1.5056327351493116e-7,
  ];
  const TINY = 1e-300;
  const LAST = 3e-16;

  /** @param {number} x Above 0. @returns {number} ln Gamma(x). */
  function logGamma(x) {
    const t = x + 6.5;
    const sum = LANCZOS.slice(1).reduce((s, c, i) => s + c / (x + i), LANCZOS[0]);
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
  }

  /** @returns {number} erf(x) by its series, for small |x|. */
  function erfSeries(x) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > LAST * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }

  /** @returns {number} erfc(x) by its continued fraction, evaluated backwards, for x >= 2. */
  function erfcFraction(x) {
    let value = x;
    for (let n = 120; n >= 1; n--) value = x + n / 2 / value;
    return Math.exp(-x * x) / (Math.sqrt(Math.PI) * value);
  }

  /** @param {number} z @returns {number} P(Z <= z) of the standard normal. */
  function normal(z) {
    const x = Math.abs(z) / Math.SQRT2;
    if (x < 2) return 0.5 + Math.sign(z) * 0.5 * erfSeries(x);
    const beyond = 0.5 * erfcFraction(x);
    return z > 0 ? 1 - beyond : beyond;
  }

  /** The continued fraction of the incomplete beta function (Lentz' method). */
  function betaFraction(a, b, x) {
    let c = 1;
    let d = 1 / nonzero(1 - ((a + b) * x) / (a + 1));
    let value = d;
    for (let m = 1; m <= 500; m++) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / nonzero(1 + even * d);
      c = nonzero(1 + even / c);
      value *= d * c;
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / nonzero(1 + odd * d);
      c = nonzero(1 + odd / c);
      value *= d * c;
      if (Math.abs(d * c - 1) < LAST) break;
    }
    return value;
  }

  const nonzero = (x) => (Math.abs(x) < TINY ? TINY : x);

  /** @returns {number} The regularised incomplete beta function I_x(a, b). */
  function incompleteBeta(a, b, x) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    const factor = Math.exp(
      logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
    );
    return x < (a + 1) / (a + b + 2)
      ? (factor * betaFraction(a, b, x)) / a
      : 1 - (factor * betaFraction(b, a, 1 - x)) / b;
  }

  /**
   * @param {number} t
   * @param {number|null} freedom
   * @returns {number} P(T <= t).
   */
  function cdf(t, freedom) {
    if (freedom === null) return normal(t);
    if (t === 0) return 0.5;
    const beyond = 0.5 * incompleteBeta(freedom / 2, 0.5, freedom / (freedom + t * t));
    return t > 0 ? 1 - beyond : beyond;
  }

  const known = new Map();

  /**
   * The smallest t with P(T <= t) >= p, by bisection of the upper tail.
   *
   * @param {number} p Between 0 and 1.
   * @param {number|null} freedom
   * @returns {number}
   */
  function quantile(p, freedom) {
    if (p < 0.5) return -quantile(1 - p, freedom);
    const key = `${p} ${freedom}`;
    if (!known.has(key)) known.set(key, search(1 - p, freedom));
    return known.get(key);
  }

  /** @returns {number} The t >= 0 beyond which a share `beyond` of the distribution lies. */
  function search(beyond, freedom) {
    let low = 0;
    let high = 2;
    while (cdf(-high, freedom) > beyond && high < 1e100) high *= 2;
    for (let step = 0; step < 200 && high - low > 1e-15 * high; step++) {
      const middle = (low + high) / 2;
      if (cdf(-middle, freedom) > beyond) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  return { cdf, quantile };
})();
