// A picture is dropped, pasted or chosen, somebody is asked about it, and the answer is shown.
// Whom to ask is given: the server on one page, the browser itself on the other.
(function () {
  var CIVIDIS = [
    [0, 34, 78], [35, 62, 108], [87, 93, 109], [124, 123, 120], [165, 156, 116],
    [211, 193, 100], [254, 232, 56],
  ];
  var kept = {}; // The last picture of each page, for whoever comes back to it.

  function make(tag, className, text) {
    var element = document.createElement(tag);
    if (className) { element.className = className; }
    if (text !== undefined) { element.textContent = text; }
    return element;
  }

  function percent(share) {
    return (100 * share).toFixed(share > 0.9995 || share < 0.0995 ? 1 : 0) + " %";
  }

  function milliseconds(ms) {
    return ms.toFixed(ms < 10 ? 1 : 0) + " ms";
  }

  // Picking

  function chooser(words, capture) {
    var label = make("label", "button button-plain try-choose" + (capture ? " try-take" : ""), words);
    var input = make("input", "try-file");
    input.type = "file";
    input.accept = "image/jpeg,image/png,image/webp";
    if (capture) { input.setAttribute("capture", "environment"); }
    label.appendChild(input);
    return { label: label, input: input };
  }

  function picker(root, onFile) {
    var zone = make("div", "try-drop");
    var words = make("p", "try-words");
    words.append(
      make("span", "try-drop-words", "Drop a picture here, or paste one anywhere on this page."),
      make("span", "hint", "JPEG, PNG or WebP, 10 MB at most."));
    var buttons = make("div", "try-buttons");
    [chooser("Choose a picture", false), chooser("Take a picture", true)].forEach(function (each) {
      each.input.addEventListener("change", function () {
        if (each.input.files.length) { onFile(each.input.files[0]); }
        each.input.value = "";
      });
      buttons.appendChild(each.label);
    });
    zone.append(words, buttons);
    listenForDrops(root, zone, onFile);
    return zone;
  }

  function listenForDrops(root, zone, onFile) {
    var inside = 0;
    function mark(step) {
      inside = step === 0 ? 0 : Math.max(0, inside + step);
      zone.classList.toggle("try-over", inside > 0);
    }
    root.addEventListener("dragenter", function (event) { event.preventDefault(); mark(1); });
    root.addEventListener("dragleave", function () { mark(-1); });
    root.addEventListener("dragover", function (event) { event.preventDefault(); });
    root.addEventListener("drop", function (event) {
      event.preventDefault();
      mark(0);
      onFile(event.dataTransfer && event.dataTransfer.files[0]);
    });
  }

  document.addEventListener("paste", function (event) {
    var root = document.querySelector("[data-try-ready]");
    var files = event.clipboardData ? Array.from(event.clipboardData.files) : [];
    var picture = files.find(function (file) { return file.type.startsWith("image/"); });
    if (root && picture) {
      event.preventDefault();
      root.take(picture);
    }
  });

  // Showing

  function bars(top) {
    var list = make("ol", "try-bars");
    top.forEach(function (each) {
      var row = make("li");
      var name = make("a", "class-link");
      name.appendChild(make("bdi", "", each.label));
      name.href = each.address;
      name.title = each.label;
      var bar = make("span", "try-bar");
      var full = make("span", "try-full");
      full.style.width = (100 * each.probability).toFixed(2) + "%";
      bar.appendChild(full);
      row.append(name, bar, make("span", "try-share", percent(each.probability)));
      list.appendChild(row);
    });
    return list;
  }

  function answer(card, said) {
    var first = said.top[0];
    var head = make("p", "try-first");
    head.append(make("bdi", "strong", first.label), make("span", "dim", ", " + percent(first.probability) + " sure"));
    var meta = said.version + " · " + said.width + " × " + said.height + " pixels · decoded and resized in "
      + milliseconds(said.decode_ms) + ", computed in " + milliseconds(said.model_ms);
    card.replaceChildren(
      make("h2", "", "Answer"), head, bars(said.top),
      make("p", "hint", meta + ". The probabilities are those that the service gives, with the version's temperature."));
  }

  function gallery(card, said) {
    card.hidden = false;
    card.replaceChildren(make("h2", "", "Most similar labelled images"));
    if (!said.similar.length) {
      card.appendChild(make("p", "empty", said.compared === null
        ? "They cannot be looked up: the database does not answer."
        : "There are none to compare with: " + said.version + " has not been examined yet."));
      return;
    }
    card.appendChild(make("p", "hint", "By the angle between embeddings, among the " + said.compared.toLocaleString("en")
      + " images that " + said.version + " was last examined with: 1 is the same direction."));
    var list = make("ul", "gallery");
    said.similar.forEach(function (each) {
      var item = make("li");
      var link = make("a");
      link.href = each.picture;
      var picture = make("img", "picture");
      picture.src = each.picture;
      picture.alt = "Image " + each.image + " of the pool, labelled " + each.label;
      link.appendChild(picture);
      var name = make("a", "class-link");
      name.href = each.address;
      name.title = each.label;
      name.appendChild(make("bdi", "", each.label));
      var line = make("p", "said");
      line.appendChild(name);
      item.append(link, line, make("span", "interval", each.likeness.toFixed(3)));
      list.appendChild(item);
    });
    card.appendChild(list);
  }

  // Where it looked

  function colour(share) {
    var place = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1);
    var below = Math.min(Math.floor(place), CIVIDIS.length - 2);
    return CIVIDIS[below].map(function (value, i) {
      return Math.round(value + (place - below) * (CIVIDIS[below + 1][i] - value));
    });
  }

  function paint(canvas, lost, most) {
    canvas.height = lost.length;
    canvas.width = lost[0].length;
    var pen = canvas.getContext("2d");
    lost.forEach(function (row, y) {
      row.forEach(function (value, x) {
        pen.fillStyle = "rgb(" + colour(value / most).join(",") + ")";
        pen.fillRect(x, y, 1, 1);
      });
    });
  }

  function overlay(card, seen, looked) {
    var most = Math.max.apply(null, looked.lost.flat());
    var side = looked.lost.length + " × " + looked.lost[0].length;
    var how = "A grey square was moved over what the model saw, in " + side + " overlapping steps ("
      + looked.seconds.toFixed(1) + " s)";
    if (most < 0.01) {
      card.append(make("p", "empty", "No single place matters: covering any of them takes less than one point from “"
        + looked.label + "”."), make("p", "hint", how + "."));
      return;
    }
    how += ". Colour: how much of “" + looked.label + "” is lost where it covers.";
    var frame = card.querySelector(".try-frame");
    var canvas = make("canvas", "try-overlay");
    canvas.setAttribute("aria-hidden", "true");
    paint(canvas, looked.lost, most);
    frame.appendChild(canvas);
    var slider = make("input", "try-slider");
    slider.type = "range";
    slider.min = "0";
    slider.max = "100";
    slider.value = "55";
    slider.setAttribute("aria-label", "Opacity of the overlay");
    function shade() { canvas.style.opacity = String(slider.value / 100); }
    slider.addEventListener("input", shade);
    shade();
    var legend = make("p", "legend try-legend");
    legend.append(make("span", "", "0"), make("span", "try-scale"), make("span", "", "−" + percent(most).replace(" %", " points")));
    var row = make("label", "try-opacity", "Overlay");
    row.appendChild(slider);
    card.append(row, legend, make("p", "hint", how));
  }

  function lookedCard(card, said) {
    card.hidden = false;
    var frame = make("div", "try-frame");
    var picture = make("img");
    picture.src = said.seen;
    picture.alt = "The picture as the model saw it";
    frame.appendChild(picture);
    card.replaceChildren(make("h2", "", "What it looked at"), frame);
  }

  // That is wrong

  function correction(card, said, correct, root) {
    card.hidden = false;
    var form = make("form", "try-wrong");
    var field = make("input", "try-label");
    field.setAttribute("list", "try-labels");
    field.setAttribute("aria-label", "What it really shows");
    field.placeholder = "It really shows …";
    field.autocomplete = "off";
    var button = make("button", "button button-plain", "That is wrong: learn this");
    button.disabled = true;
    var told = make("p", "try-told");
    told.setAttribute("role", "status");
    var names = new Set();
    root.labels().then(function (labels) {
      names = new Set(labels);
      var list = make("datalist");
      list.id = "try-labels";
      labels.forEach(function (label) {
        var option = make("option");
        option.value = label;
        list.appendChild(option);
      });
      form.appendChild(list);
    }).catch(function (error) { told.textContent = error.message; });
    field.addEventListener("input", function () { button.disabled = !names.has(field.value); });
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      if (button.disabled) { return; }
      button.disabled = true;
      told.textContent = "Keeping it …";
      correct(field.value, said.top[0].label).then(function (words) {
        told.textContent = words;
        field.disabled = true;
      }).catch(function (error) {
        told.textContent = error.message;
        button.disabled = false;
      });
    });
    form.append(field, button);
    card.replaceChildren(
      make("h2", "", "Is that wrong?"),
      make("p", "hint", "Say what it shows, and the picture is kept under your name for the next training. You chose it, so it is no random sample: no accuracy, exam or gate will count it. Otherwise nothing of it is kept."),
      form, told);
  }

  // The page

  function mount(root, ways) {
    var shown = { original: null, turn: 0 };
    var cards = {};
    root.replaceChildren();
    root.setAttribute("data-try-ready", "");
    ["picture", "answer", "looked", "wrong", "similar"].forEach(function (name) {
      cards[name] = make("section", "try-card try-" + name);
      cards[name].hidden = name !== "picture" && name !== "answer";
    });
    var status = make("p", "try-status");
    status.setAttribute("role", "status");
    var preview = make("div", "try-preview");
    cards.picture.append(make("h2", "", "Picture"), picker(root, take), preview, status);
    empty();
    var grid = make("div", "try-grid");
    grid.append(cards.picture, cards.answer, cards.looked);
    root.append(grid, cards.wrong, cards.similar);
    root.take = take;
    root.labels = ways.labels;
    if (ways.last && ways.last()) { take(ways.last()); }

    function empty() {
      cards.answer.replaceChildren(make("h2", "", "Answer"), make("p", "empty", "No picture has been asked about yet."));
    }

    function fail(words) {
      status.textContent = words;
      status.classList.add("try-bad");
      empty();
    }

    function take(file) {
      shown.turn += 1;
      ["looked", "wrong", "similar"].forEach(function (name) { cards[name].hidden = true; });
      status.classList.remove("try-bad");
      root.classList.remove("try-has");
      if (shown.original) { URL.revokeObjectURL(shown.original); }
      shown.original = null;
      preview.replaceChildren();
      if (!file) { fail("That was no picture file. Save the picture first, then drop the file."); return; }
      if (file.size > ways.largest) { fail("The picture has " + (file.size / 1e6).toFixed(1) + " MB; at most " + ways.largest / 1e6 + " are allowed."); return; }
      show(file);
      status.textContent = "Asking …";
      cards.answer.setAttribute("aria-busy", "true");
      go(file, shown.turn);
    }

    function show(file) {
      shown.original = URL.createObjectURL(file);
      var picture = make("img");
      picture.src = shown.original;
      picture.alt = "The picture that is asked about";
      picture.addEventListener("error", function () { preview.replaceChildren(); });
      preview.appendChild(picture);
    }

    function go(file, turn) {
      ways.ask(file).then(function (said) {
        if (turn !== shown.turn) { return; }
        status.textContent = "";
        root.classList.add("try-has");
        answer(cards.answer, said);
        if (ways.keep) { ways.keep(file); }
        if (said.similar) { gallery(cards.similar, said); }
        if (ways.correct) { correction(cards.wrong, said, ways.correct.bind(null, file), root); }
        if (ways.looked && said.seen) { look(file, said, turn); }
      }).catch(function (error) {
        if (turn === shown.turn) { fail(error.message); }
      }).finally(function () { cards.answer.removeAttribute("aria-busy"); });
    }

    function look(file, said, turn) {
      lookedCard(cards.looked, said);
      var waiting = make("p", "hint", "Covering one place after the other …");
      cards.looked.appendChild(waiting);
      ways.looked(file, said.top[0].label).then(function (looked) {
        if (turn !== shown.turn) { return; }
        waiting.remove();
        overlay(cards.looked, said.seen, looked);
      }).catch(function (error) {
        if (turn === shown.turn) { waiting.textContent = error.message; }
      });
    }
  }

  // The server as the one that is asked

  function send(address, asked, file) {
    var query = new URLSearchParams(asked).toString();
    return fetch(address + (query ? "?" + query : ""), {
      method: "POST",
      body: file,
      headers: { "Content-Type": "application/octet-stream" },
    }).catch(function () {
      throw new Error("The dashboard does not answer. Try again in a moment.");
    }).then(received);
  }

  function received(response) {
    return response.json().catch(function () { return {}; }).then(function (said) {
      if (!response.ok) { throw new Error(sentence(said.detail, response.status)); }
      return said;
    });
  }

  function sentence(detail, status) {
    var words = detail || (status === 413 ? "the picture is too large" : "the dashboard answered with status " + status);
    return words.charAt(0).toUpperCase() + words.slice(1) + ".";
  }

  function server(root) {
    var ways = {
      largest: Number(root.dataset.largest),
      ask: function (file) { return send("/try/api/predict", {}, file); },
      looked: function (file, label) { return send("/try/api/looked", { label: label }, file); },
      labels: function () {
        return fetch("/try/api/labels").then(received).then(function (said) { return said.labels; });
      },
      keep: function (file) { kept.server = file; },
      last: function () { return kept.server; },
    };
    if (root.dataset.mayLabel === "yes") {
      ways.correct = function (file, label, said) {
        return send("/try/api/wrong", { label: label, said: said }, file).then(function (done) { return done.said; });
      };
    }
    return ways;
  }

  // Dash draws the page when it likes; what it draws is found here.
  function find() {
    var root = document.getElementById("tryout");
    if (root && !root.hasAttribute("data-try-ready")) { mount(root, server(root)); }
  }
  new MutationObserver(find).observe(document.documentElement, { childList: true, subtree: true });

  window.weakspotTry = { mount: mount };
})();
