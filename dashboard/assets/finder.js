// The field in the header of every page: a few letters, and Enter opens the class. The names are
// the server's affair; it is asked for the first ten that fit. Every text is set letter by letter.
(function () {
  var PATH = "/classes/find", PAUSE_MS = 120;
  var place = null, field = null, list = null, opener = null;
  var found = [], chosen = -1, answered = null, timer = 0, asked = 0, wants = false;

  function make(tag, className, named) {
    var element = document.createElement(tag);
    if (className) { element.className = className; }
    Object.keys(named || {}).forEach(function (name) { element.setAttribute(name, named[name]); });
    return element;
  }

  // The overview has a field of its own, which finds classes in its table.
  function table() {
    var own = document.getElementById("find");
    return own && own.offsetParent !== null ? own : null;
  }

  function build() {
    opener = make("button", "round finder-open", { type: "button", "aria-label": "Find a class", title: "Find a class (/)" });
    opener.append(make("span", "icon icon-find", { "aria-hidden": "true" }));
    field = make("input", "finder-field", {
      type: "search", id: "finder-field", placeholder: "Find a class", autocomplete: "off", spellcheck: "false", maxlength: "200",
      role: "combobox", "aria-label": "Find a class", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": "finder-list",
    });
    list = make("ul", "finder-list", { id: "finder-list", role: "listbox", "aria-label": "Classes" });
    list.hidden = true;
    var box = make("div", "finder-box");
    box.append(field, list);
    place.append(opener, box);
    opener.addEventListener("click", open);
    field.addEventListener("input", function () { wants = false; clearTimeout(timer); timer = setTimeout(ask, PAUSE_MS); });
    field.addEventListener("focus", function () { if (answered !== field.value) { ask(); } else { show(); } });
    field.addEventListener("keydown", press);
    field.addEventListener("blur", close);
    // A press must not take the focus away before its click has come.
    list.addEventListener("mousedown", function (event) { event.preventDefault(); });
    list.addEventListener("click", function (event) {
      var option = event.target.closest("[role=option][data-place]");
      if (option) { go(found[Number(option.dataset.place)]); }
    });
  }

  function open() {
    var own = table();
    if (own) {
      own.scrollIntoView({ block: "center" });
      own.focus();
      if (own.select) { own.select(); }
      return;
    }
    place.classList.add("finder-opened");
    field.focus();
    field.select();
  }

  function close() {
    place.classList.remove("finder-opened");
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function ask() {
    var typed = field.value, mine = asked += 1;
    fetch(PATH + "?q=" + encodeURIComponent(typed), { headers: { Accept: "application/json" } })
      .then(function (response) {
        if (!response.ok) { throw new Error(String(response.status)); }
        return response.json();
      })
      .then(function (body) { return { classes: body.classes, more: body.more, note: "" }; },
            function () { return { classes: [], more: 0, note: "The server does not answer." }; })
      .then(function (body) {
        if (mine !== asked) { return; }
        answered = body.note ? null : typed;
        found = body.classes;
        chosen = found.length && typed.trim() ? 0 : -1;
        fill(body);
        if (wants && chosen >= 0) { go(found[chosen]); } else { show(); }
        wants = false;
      });
  }

  function fill(body) {
    var note = body.note || (found.length ? "" : "No such class");
    if (body.more > 0) { note = "and " + body.more.toLocaleString("en") + " more"; }
    list.replaceChildren();
    found.forEach(function (each, i) {
      var option = make("li", "finder-option", { role: "option", id: "finder-" + i, "data-place": i });
      var name = make("bdi");
      name.textContent = each.label;
      option.append(name);
      list.append(option);
    });
    if (note) {
      var said = make("li", "finder-note", { role: "option", "aria-disabled": "true" });
      said.textContent = note;
      list.append(said);
    }
  }

  function show() {
    if (document.activeElement !== field || !list.childElementCount) { return; }
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
    Array.prototype.forEach.call(list.children, function (option, i) {
      option.setAttribute("aria-selected", String(i === chosen));
    });
    if (chosen >= 0) {
      field.setAttribute("aria-activedescendant", "finder-" + chosen);
      list.children[chosen].scrollIntoView({ block: "nearest" });
    } else { field.removeAttribute("aria-activedescendant"); }
  }

  function press(event) {
    if (event.isComposing) { return; }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!found.length) { return; }
      var step = event.key === "ArrowDown" ? 1 : -1;
      chosen = chosen < 0 && step < 0 ? found.length - 1 : (chosen + step + found.length) % found.length;
      show();
    } else if (event.key === "Enter") {
      event.preventDefault();
      // Who types fast presses Enter before the names have come: they are waited for.
      if (answered === field.value) { if (chosen >= 0) { go(found[chosen]); } return; }
      clearTimeout(timer);
      wants = true;
      ask();
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (field.value) { field.value = ""; ask(); } else { field.blur(); }
    }
  }

  // The range of days goes along, as with every link to a class.
  function go(found) {
    if (!found || !/^\/class\//.test(found.address)) { return; }
    var days = new URLSearchParams(location.search).get("days");
    field.value = "";
    answered = null;
    field.blur();
    history.pushState({}, "", found.address + (days ? "?days=" + encodeURIComponent(days) : ""));
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  function look() {
    var here = document.getElementById("finder");
    if (here && here !== place) { place = here; build(); }
  }

  window.weakspotFinder = { open: function () { if (place) { open(); } } };
  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
  look();
})();
