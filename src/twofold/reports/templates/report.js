"use strict";
(function () {
  var data = JSON.parse(document.getElementById("data").textContent);
  var questions = Array.prototype.slice.call(document.querySelectorAll("details.q"));

  function make(tag, kind, text) {
    var node = document.createElement(tag);
    if (kind) node.className = kind;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  /* Offsets count characters (code points), as the documents do; a JavaScript string counts UTF-16 units. */
  function body(text, marks) {
    var letters = Array.from(text), at = 0, node = make("p", "body");
    node.dir = "auto";
    marks.forEach(function (mark) {
      node.append(letters.slice(at, mark[0]).join(""));
      var quoted = make("mark", "", letters.slice(mark[0], mark[1]).join(""));
      quoted.title = "quoted by " + mark[2].join(", ");
      node.append(quoted);
      at = mark[1];
    });
    node.append(letters.slice(at).join(""));
    return node;
  }

  function fill(question) {
    var box = question.querySelector(".passages");
    if (!box || box.dataset.filled) return;
    box.dataset.filled = "yes";
    box.replaceChildren();
    var number = question.dataset.n;
    data.questions[number].forEach(function (entry, index) {
      var passage = data.passages[entry.passage];
      var node = make("div", "passage" + (entry.gold ? " gold" : "") + (entry.cited.length ? " cited" : ""));
      node.id = "p" + number + "-" + index;
      node.tabIndex = -1;
      var from = make("p", "from");
      entry.seen.forEach(function (seen) { from.append(make("span", "", seen[0] + " [" + seen[1] + "]"), " "); });
      if (entry.gold) from.append(make("span", "tag", "gold"), " ");
      (entry.flags || []).forEach(function (kind) { from.append(make("span", "tag bad", kind), " "); });
      if (entry.cited.length) from.append(make("span", "tag quiet", "cited by " + entry.cited.join(", ")), " ");
      var place = make("span", "soft");
      place.append(make("bdi", "", passage[1]), " " + passage[0] + (passage[5] ? ", " + passage[5] : "") + " " + passage[2] + "–" + passage[3]);
      from.append(place);
      node.append(from, body(passage[4], entry.marks));
      box.append(node);
    });
  }

  questions.forEach(function (question) {
    question.addEventListener("toggle", function () { if (question.open) fill(question); });
  });

  function follow() {
    var name = "";
    try { name = decodeURIComponent(location.hash.slice(1)); } catch (error) { return; }
    if (name.slice(0, 2) !== "q=") return;
    var question = document.getElementById(name);
    if (!question) return;
    question.hidden = false;
    question.open = true;
    fill(question);
    question.scrollIntoView();
  }

  var search = document.getElementById("search");
  var cause = document.getElementById("cause");
  var shown = document.getElementById("shown");
  var selects = Array.prototype.slice.call(document.querySelectorAll("select[data-arm]"));
  var more = document.getElementById("more");
  var limit = 50;
  var words = questions.map(function () { return ""; });

  function apply() {
    var wanted = search.value.trim().toLocaleLowerCase(), count = 0;
    questions.forEach(function (question, index) {
      var states = question.dataset.s.split(" ");
      var keep = selects.every(function (select) {
        return !select.value || states[Number(select.dataset.arm)] === select.value;
      });
      if (keep && cause && cause.value) keep = question.dataset.c.split(" ").indexOf(cause.value) >= 0;
      if (keep && wanted) {
        if (!words[index]) {
          words[index] = (question.querySelector("summary").textContent + " " +
            Array.prototype.map.call(question.querySelectorAll(".refs, .said"), function (node) {
              return node.textContent;
            }).join(" ")).toLocaleLowerCase();
        }
        keep = words[index].indexOf(wanted) >= 0;
      }
      if (keep) count += 1;
      question.hidden = !keep || count > limit;
    });
    shown.textContent = count + " of " + questions.length + " questions" +
      (count > limit ? ", the first " + limit + " shown" : "");
    more.hidden = count <= limit;
  }

  if (questions.length) {
    document.getElementById("filters").hidden = false;
    more.addEventListener("click", function () {
      limit = Infinity;
      apply();
    });
    search.addEventListener("input", apply);
    if (cause) cause.addEventListener("change", apply);
    selects.forEach(function (select) { select.addEventListener("change", apply); });
    document.getElementById("clear").addEventListener("click", function () {
      search.value = "";
      if (cause) cause.value = "";
      selects.forEach(function (select) { select.value = ""; });
      apply();
    });
    apply();
  }
  /* A table wider than its card says so, until its end is in view. */
  function cues() {
    Array.prototype.forEach.call(document.querySelectorAll(".scroll"), function (box) {
      var rest = box.scrollWidth - box.clientWidth - box.scrollLeft;
      box.parentNode.classList.toggle("clipped", box.scrollWidth > box.clientWidth + 1);
      box.parentNode.classList.toggle("end", rest <= 1);
    });
  }
  Array.prototype.forEach.call(document.querySelectorAll(".scroll"), function (box) {
    box.addEventListener("scroll", cues);
  });
  document.addEventListener("toggle", cues, true);
  window.addEventListener("resize", cues);
  cues();
  window.addEventListener("hashchange", follow);
  follow();
})();
