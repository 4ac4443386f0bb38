(function () {
  var form = document.getElementById("use");
  var data = JSON.parse(document.getElementById("data").textContent).cost;
  if (!form || !data) return;
  var scales = ["volume", "updates", "retrainings", "utilisation"];
  var arms = data.arms, width = data.width, size = arms.length * width;

  function node(id) { return document.getElementById(id); }
  function start() {
    return {
      volume: data.use.volume, updates: data.use.updates, retrainings: data.use.retrainings,
      utilisation: data.use.utilisation, months: data.use.months, serving: data.use.serving,
      prices: Object.assign({}, data.prices)
    };
  }
  var use = start();

  /* Mean and standard error of a weighted sum of the metered means: as stats/amounts.py. */
  function weigh(weights) {
    var used = [], mean = 0, variance = 0, told = true;
    weights.forEach(function (weight, at) { if (weight) { used.push(at); mean += weight * data.means[at]; } });
    if (data.covariance) {
      used.forEach(function (a) {
        used.forEach(function (b) {
          if (data.covariance[a][b] === null) told = false;
          variance += weights[a] * weights[b] * data.covariance[a][b];
        });
      });
    }
    var known = !used.length || (data.covariance && told && data.critical[0] !== null);
    return { mean: mean, se: known ? Math.sqrt(Math.max(0, variance)) : NaN };
  }
  function ends(sum, level) {
    var half = sum.se ? data.critical[level] * sum.se : sum.se;
    return { mean: sum.mean, low: sum.mean - half, high: sum.mean + half };
  }

  /* What an arm pays a month whatever the volume, by item, and what it pays for an answer: as costs/totals.py. */
  function parts(arm, state, risk) {
    var kind = data.kinds[arm];
    var times = {
      once: 1 / state.months, month: 1, update: state.updates,
      retraining: kind === "closed-book" ? Math.max(state.retrainings, state.updates) : state.retrainings
    };
    var fixed = {}, weights = new Array(size).fill(0), missing = {}, from = arms.indexOf(arm) * width;
    data.parts[state.serving][arm].forEach(function (part) {
      var idle = part.idle ? data.use.utilisation / state.utilisation : 1, price = state.prices[part.item];
      if (part.basis !== "answer") {
        if (!times[part.basis]) return;
        var name = part.units === null ? part.name + " (not metered)" : part.item;
        var units = part.units === null ? 1 : part.units * times[part.basis] * idle;
        fixed[name] = (fixed[name] || 0) + units;
      } else if (!part.risk || risk) {
        if (price === undefined || price === null) missing[part.item] = true;
        else if (!part.metered) missing[part.name + " (not metered)"] = true;
        else Object.keys(part.per_answer).forEach(function (at) {
          weights[from + Number(at)] += price * idle * part.per_answer[at];
        });
      }
    });
    return { fixed: fixed, weights: weights, missing: missing };
  }
  function priced(units, state, missing) {
    var total = 0;
    Object.keys(units).forEach(function (item) {
      var price = state.prices[item];
      if (price === undefined || price === null) { if (units[item]) missing[item] = true; } else total += price * units[item];
    });
    return total;
  }
  function month(arm, state, risk, level, volume) {
    var found = parts(arm, state, risk), missing = Object.assign({}, found.missing);
    var base = priced(found.fixed, state, missing), answer = ends(weigh(found.weights), level);
    if (risk && isFinite(answer.high)) {
      /* At best no answer is wrong, at worst each. */
      var rest = ends(weigh(parts(arm, state, false).weights), level);
      answer.low = Math.max(answer.low, rest.low, 0);
      answer.high = Math.min(answer.high, rest.high + (state.prices.wrong_answer || 0));
    }
    return {
      mean: base + volume * answer.mean, low: base + volume * Math.max(0, answer.low), high: base + volume * answer.high,
      unknown: Object.keys(missing).sort()
    };
  }

  /* Numbers as reports/cost_lines.py writes them. */
  function amount(value) {
    if (!isFinite(value)) return "–";
    var text, far = Math.abs(value);
    if (!value) return "0";
    if (far >= 1) text = value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    else text = far >= 1e-4 ? String(Number(value.toPrecision(3))) : value.toExponential(2);
    return text.replace(/^-/, "\u2212");
  }
  function money(cost) {
    if (cost.unknown.length && !cost.mean) return "unknown";
    return amount(cost.mean) + " [" + amount(cost.low) + ", " + amount(cost.high) + "]" + (cost.unknown.length ? " + unknown" : "");
  }
  function count(value) {
    return value >= 10 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3)));
  }
  /* A number of answers from which something holds: nobody answers a part of a question. */
  function answers(volume) { return count(Math.max(1, volume)); }
  function times(cost, factor) {
    return { mean: cost.mean * factor, low: cost.low * factor, high: cost.high * factor, unknown: cost.unknown };
  }
  function right(arm, state) {
    var share = data.right[arm], cost = month(arm, state, false, 1, state.volume);
    if (!share) return "the metric does not say which answers are right";
    if (!share[0]) return "no answer is right";
    var one = times(cost, 1 / state.volume);
    return money({ mean: one.mean / share[0], low: one.low / share[2], high: share[1] ? one.high / share[1] : Infinity, unknown: one.unknown });
  }

  function even(a, b, state, risk) {
    var mine = parts(a, state, risk), theirs = parts(b, state, risk), missing = {}, gap = 0;
    Object.keys(Object.assign({}, mine.fixed, theirs.fixed)).forEach(function (item) {
      var x = mine.fixed[item] || 0, y = theirs.fixed[item] || 0, price = state.prices[item];
      if (Math.abs(x - y) <= 1e-12 * Math.max(Math.abs(x), Math.abs(y))) return;
      if (price === undefined || price === null) missing[item] = true; else gap += (x - y) * price;
    });
    Object.assign(missing, mine.missing, theirs.missing);
    var arm = gap > 0 ? b : a, other = gap > 0 ? a : b, sign = gap > 0 ? -1 : 1, names = Object.keys(missing).sort();
    if (names.length) return arm + " and " + other + ": unknown without " + names.join(", ");
    var gain = ends(weigh(mine.weights.map(function (weight, at) { return sign * (weight - theirs.weights[at]); })), 0);
    if (!gap) {
      if (!gain.mean) return arm + " and " + other + " cost the same at every volume";
      if (gain.mean < 0) { var swap = arm; arm = other; other = swap; gain = { mean: -gain.mean, low: -gain.high, high: -gain.low }; }
      return other + " costs less than " + arm + " from the first answer on" + (gain.low > 0 ? "" : " (not shown beyond chance)");
    }
    function at(end) { return end > 0 ? Math.abs(gap) / end : Infinity; }
    var low = at(gain.high), volume = at(gain.mean), high = at(gain.low);
    if (!isFinite(volume)) return other + " never costs less than " + arm + (isFinite(low) ? "; from " + answers(low) + " on that is not shown" : "");
    if (volume < 1) {
      return other + " costs less than " + arm + " from the first answer on" +
        (!isFinite(high) ? " (not shown beyond chance)" : high > 1 ? " (not shown below " + answers(high) + ")" : "");
    }
    return other + " costs less than " + arm + " from " + answers(volume) + " [" + (isFinite(low) ? answers(low) : "–") + ", " + (isFinite(high) ? answers(high) : "–") + "] on" +
      (isFinite(high) ? "" : "; never is not ruled out");
  }

  /* The curves, drawn into the frame of the server's picture. */
  var space = "http://www.w3.org/2000/svg";
  function add(parent, tag, values, text) {
    var made = document.createElementNS(space, tag);
    Object.keys(values).forEach(function (name) { made.setAttribute(name, values[name]); });
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }
  function power(exponent) {
    var size = exponent >= 6 ? 6 : exponent >= 3 ? 3 : 0;
    return Number(Math.pow(10, exponent - size).toPrecision(3)) + (size === 6 ? "M" : size ? "k" : "");
  }
  /* As charts.log_ticks. */
  function powers(low, high) {
    var first = Math.floor(low), last = Math.floor(high + 1e-9), every = Math.max(1, Math.ceil((last - first + 1) / 7)), out = [];
    for (var at = first; at <= last; at += every) {
      (high - low < 3 ? [1, 2, 5] : [1]).forEach(function (factor) {
        var place = at + Math.log10(factor);
        if (place >= low - 1e-9 && place <= high + 1e-9) out.push(place);
      });
    }
    return out;
  }
  function steps(low, high) {
    var rough = (high - low) / 5, unit = Math.pow(10, Math.floor(Math.log10(rough)));
    var step = [1, 2, 2.5, 5, 10].map(function (m) { return unit * m; }).find(function (s) { return s >= rough * 0.999; });
    var out = [];
    for (var at = Math.ceil(low / step - 1e-9); at <= Math.floor(high / step + 1e-9); at += 1) out.push(Number((at * step).toPrecision(12)));
    return out;
  }
  function draw(scale) {
    var frame = node("c-" + scale).querySelector("svg"), logs = scale === "volume", points = data.points[scale];
    var lines = arms.map(function (arm) {
      return points.map(function (place) {
        var state = Object.assign({}, use);
        if (!logs) state.updates = place;
        return month(arm, state, false, 0, logs ? place : state.volume).mean;
      });
    });
    var all = [].concat.apply([], lines), least = Math.min.apply(null, all.filter(function (y) { return y > 0; }));
    if (!isFinite(least)) least = 0.1;
    function put(value) { return logs ? Math.log10(value) : value; }
    var most = Math.max.apply(null, all.concat([least]));
    var yLow = logs ? Math.floor(put(least)) : 0, yHigh = logs ? Math.max(put(most), yLow + 1) : most * 1.05;
    var left = 62, right = frame.viewBox.baseVal.width - 14, top = 10, bottom = 214, xLow = put(points[0]), xHigh = put(points[points.length - 1]);
    function x(value) { return left + (put(value) - xLow) / (xHigh - xLow) * (right - left); }
    function y(value) {
      var share = ((logs && value <= 0 ? yLow : put(value)) - yLow) / (yHigh - yLow);
      return bottom - Math.min(1, Math.max(0, share)) * (bottom - top);
    }
    var axis = frame.querySelectorAll("text");
    var label = axis[axis.length - 1].textContent, title = frame.querySelector("title").textContent;
    frame.replaceChildren();
    add(frame, "title", {}, title);
    add(frame, "desc", {}, arms.map(function (arm, at) {
      return arm + " from " + amount(lines[at][0]) + " to " + amount(lines[at][points.length - 1]);
    }).join("; "));
    var marks = logs ? powers : steps;
    marks(yLow, yHigh).forEach(function (tick) {
      var height = bottom - (tick - yLow) / (yHigh - yLow) * (bottom - top);
      add(frame, "line", { "class": "grid", x1: left, x2: right, y1: height, y2: height });
      add(frame, "text", { "class": "tick", x: left - 6, y: height + 4, "text-anchor": "end" }, logs ? power(tick) : String(tick));
    });
    marks(xLow, xHigh).forEach(function (tick) {
      add(frame, "text", { "class": "tick", x: left + (tick - xLow) / (xHigh - xLow) * (right - left), y: bottom + 17, "text-anchor": "middle" }, logs ? power(tick) : String(tick));
    });
    lines.forEach(function (values, number) {
      var group = add(frame, "g", {});
      add(group, "title", {}, arms[number]);
      add(group, "polyline", { "class": "curve k" + number % 6, points: values.map(function (value, at) {
        return x(points[at]).toFixed(1) + "," + y(value).toFixed(1);
      }).join(" ") });
    });
    var here = logs ? use.volume : use.updates;
    if (here >= points[0] && here <= points[points.length - 1]) add(frame, "line", { "class": "best", x1: x(here), x2: x(here), y1: top, y2: bottom });
    add(frame, "text", { "class": "tick", x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, label);
  }

  function show() {
    var risk = use.prices.wrong_answer !== undefined && use.prices.wrong_answer !== null && Object.keys(data.right).length > 0;
    Array.prototype.forEach.call(document.querySelectorAll("#costs tbody tr"), function (row) {
      var arm = row.dataset.arm, all = month(arm, use, false, 0, use.volume), risky = month(arm, use, true, 0, use.volume);
      var texts = {
        per_1000: money(times(all, 1000 / use.volume)), per_right: right(arm, use), monthly: money(all),
        risk: money(risky), unknown: risky.unknown.join(", ") || "–"
      };
      Object.keys(texts).forEach(function (key) { row.querySelector("[data-k='" + key + "']").textContent = texts[key]; });
    });
    var list = node("even"), pairs = [];
    arms.forEach(function (a, at) { arms.slice(at + 1).forEach(function (b) { pairs.push(even(a, b, use, risk)); }); });
    if (list) list.replaceChildren.apply(list, pairs.map(function (text) {
      var item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    draw("volume");
    draw("updates");
    var texts = {
      volume: count(use.volume), updates: count(use.updates), retrainings: count(use.retrainings),
      utilisation: Math.round(100 * use.utilisation) + " %"
    };
    scales.forEach(function (name) {
      node("o-" + name).textContent = texts[name];
      node("u-" + name).setAttribute("aria-valuetext", texts[name]);
    });
  }
  function fill() {
    node("u-volume").value = Math.log10(use.volume);
    ["updates", "retrainings", "utilisation", "serving"].forEach(function (name) { node("u-" + name).value = use[name]; });
    Array.prototype.forEach.call(form.querySelectorAll("[data-item]"), function (input) {
      var price = use.prices[input.dataset.item];
      input.value = price === undefined || price === null ? "" : price;
    });
  }
  scales.forEach(function (name) {
    node("u-" + name).addEventListener("input", function (event) {
      var value = Number(event.target.value);
      use[name] = name === "volume" ? Math.pow(10, value) : value;
      show();
    });
  });
  node("u-serving").addEventListener("change", function (event) { use.serving = event.target.value; show(); });
  form.addEventListener("input", function (event) {
    var item = event.target.dataset.item, value = event.target.value;
    if (!item) return;
    /* Empty, negative or no number: unknown. */
    use.prices[item] = value === "" || !(Number(value) >= 0) ? null : Number(value);
    show();
  });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  node("u-reset").addEventListener("click", function () { use = start(); fill(); show(); });
  form.hidden = false;
  fill();
  show();
})();
