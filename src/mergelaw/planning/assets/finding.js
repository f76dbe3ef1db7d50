/** Laws and curves of the file by name, and at sizes off its ladder: `mergelaw/planning/finding.py`. */
const Finding = (() => {
  "use strict";

  /** The mean over domains. */
  const MACRO = "macro";

  const lawOf = (file, method, domain) =>
    file.laws.find((law) => law.method === method && law.domain === domain) ?? null;

  const curveOf = (law, size) => law.curves.find((curve) => curve.size === size) ?? null;

  const sizeOf = (file, name) => file.sizes.find((size) => size.name === name) ?? null;

  /** @returns {object[]} The laws over sizes whose mean is the law's; none where one is missing. */
  function joints(file, law) {
    if (law.joint !== null) return [law.joint];
    if (law.domain !== MACRO) return [];
    const others = file.laws.filter((one) => one.method === law.method && one !== law);
    const found = others.filter((one) => one.joint !== null).map((one) => one.joint);
    return found.length === others.length ? found : [];
  }

  const tailAt = (joint, n) => joint.tail_scale * n ** -joint.tail_exponent;
  const floorAt = (joint, n) => joint.floor_limit + joint.size_scale * n ** -joint.size_exponent;
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  /**
   * The curve that the law over sizes has at N parameters; its errors are not known.
   *
   * @param {object} file
   * @param {object} law
   * @param {number} n N in billions.
   * @returns {Curve|null} null: there is no law over sizes.
   */
  function curveAt(file, law, n) {
    const each = joints(file, law);
    if (!each.length) return null;
    const tails = each.map((joint) => tailAt(joint, n));
    const tail = mean(tails);
    const moment = mean(each.map((joint, i) => tails[i] * joint.offset));
    const loss = Array.from({ length: file.pool }, (_, i) =>
      mean(each.map((joint, j) => floorAt(joint, n) + tails[j] / (i + 1 + joint.offset))),
    );
    return {
      size: `${Number(n.toPrecision(6))}B`,
      floor: mean(each.map((joint) => floorAt(joint, n))),
      floor_stderr: null,
      tail,
      offset: tail ? moment / tail : 0,
      identified: each.every((joint) => joint.identified),
      notes: notes(file, n),
      loss,
      stderr: [],
      gain_stderr: [],
      freedom: null,
      measured: [],
    };
  }

  function notes(file, n) {
    const sizes = file.sizes.map((size) => size.n_params_billions).filter(Boolean);
    const said = ["by the law over sizes; its errors are not known"];
    if (sizes.length && (n < Math.min(...sizes) || n > Math.max(...sizes))) {
      const [low, high] = [Math.min(...sizes), Math.max(...sizes)].map((x) => Words.digits(x));
      said.push(`${Words.digits(n)} billion parameters are outside ${low} to ${high}`);
    }
    return said;
  }

  return { curveAt, curveOf, lawOf, sizeOf };
})();
