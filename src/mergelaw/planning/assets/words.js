/** Numbers in plain words, as the tables and the answers show them. */
const Words = (() => {
  "use strict";

  /** What stands where a number is not known. */
  const MISSING = "–";

  const minus = (text) => text.replace("-", "−");

  /** @param {number|null} value A loss in nats per token. */
  const loss = (value) => (value === null ? MISSING : minus(value.toFixed(4)));

  /** @returns {string} Three significant digits, never a power of ten where it can be avoided. */
  function digits(value, count = 3) {
    if (value === null) return MISSING;
    const tiny = value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e9);
    if (tiny) return minus(value.toExponential(count - 1));
    const shown = Number(value.toPrecision(count));
    return minus(shown.toLocaleString("en-US", { maximumSignificantDigits: Math.max(count, 9) }));
  }

  /** @returns {string} A standard error, or a small difference: two digits. */
  const error = (value) => digits(value, 2);

  /** @returns {string} A cost: three digits, and from a thousand on whole. */
  function cost(value) {
    if (value === null) return MISSING;
    if (Math.abs(value) >= 1000) return whole(Math.round(value));
    return value === 0 ? "0" : Math.abs(value) < 1e-3 ? digits(value) : value.toPrecision(3);
  }

  /** @returns {string} A parameter count as it is spoken: 25K, 397K, 7B; from billions. */
  function parameters(billions) {
    if (billions === null) return MISSING;
    const n = billions * 1e9;
    const units = { T: 1e12, B: 1e9, M: 1e6, K: 1e3, "": 0 };
    const letter = Object.keys(units).find((name) => Number(n.toPrecision(3)) >= units[name]);
    return `${Number((n / (units[letter] || 1)).toPrecision(3))}${letter}`;
  }

  /** @returns {string} A chance; one that is nearly certain is not called certain. */
  function chance(value) {
    if (value === null) return MISSING;
    if (value > 0.9995) return "above 0.999";
    return value < 0.0005 ? "below 0.001" : digits(value);
  }

  /** @returns {string} The same in percent, for tables. */
  function chancePercent(value) {
    if (value === null) return MISSING;
    return value > 0.9995 ? "> 99.9%" : value < 0.0005 ? "< 0.1%" : percent(value);
  }

  const percent = (share, places = 1) =>
    share === null ? MISSING : `${minus((100 * share).toFixed(places))}%`;

  const whole = (value) => (value === null ? MISSING : value.toLocaleString("en-US"));
  const experts = (k) => (k === 1 ? "1 expert" : `${whole(k)} experts`);
  const yes = (value) => (value ? "yes" : "no");
  const text = (value) => value ?? MISSING;

  /** @returns {string} The first letter as at the start of a sentence, a full stop at its end. */
  const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;

  return {
    MISSING, chance, chancePercent, cost, digits, error, experts, loss, parameters, percent, sentence,
    text, whole, yes,
  };
})();
