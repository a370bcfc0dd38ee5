// The label inbox: one picture at a time. An answer shows the next picture at once and is sent
// behind the scenes; while the server is away answers are kept in this browser and sent later.
(function () {
  var API = "/inbox/api/";
  var AHEAD = 4, KEEP_MS = 45000, AGAIN_MS = 3000, IDLE_MS = 20000, MOST_UNDO = 10;
  var STORE = "weakspot-inbox-unsent";
  var room = null;
  var labels = null;

  // --- what every room shares -----------------------------------------------------------------

  function make(tag, className, text) {
    var element = document.createElement(tag);
    if (className) { element.className = className; }
    if (text !== undefined) { element.textContent = text; }
    return element;
  }

  function key(text) { return make("kbd", "inbox-key", text); }

  function windowName() {
    var kept = null;
    try { kept = sessionStorage.getItem("weakspot-inbox-window"); } catch (error) { /* no storage */ }
    if (!kept) {
      kept = Math.random().toString(36).slice(2, 12);
      try { sessionStorage.setItem("weakspot-inbox-window", kept); } catch (error) { /* no storage */ }
    }
    return kept;
  }

  function post(what, body, options) {
    var sent = Object.assign({ window: windowName() }, body);
    return fetch(API + what, Object.assign({
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(sent),
    }, options)).then(read);
  }

  function read(response) {
    return response.json().catch(function () { return {}; }).then(function (body) {
      if (response.ok) { return body; }
      var error = new Error(body.detail || "the server answered " + response.status);
      error.status = response.status;
      throw error;
    });
  }

  // Away or busy: worth another try. Anything else is a refusal, which another try will not mend.
  function isAway(error) {
    return !error.status || error.status === 429 || error.status >= 500;
  }

  // --- answers on their way -------------------------------------------------------------------

  var line = {
    waiting: load(),
    changes: 0,  // Answers that were put in, sent or taken back: what the server counts is as old as these.
    busy: false,
    away: "",
    timer: 0,
    add: function (deed) {
      line.waiting.push(deed);
      line.changes += 1;
      save();
      line.work();
    },
    // An answer that has not left yet is simply not sent.
    drop: function (item) {
      var from = line.busy ? 1 : 0;
      for (var place = line.waiting.length - 1; place >= from; place -= 1) {
        if (line.waiting[place].item === item) {
          line.waiting.splice(place, 1);
          line.changes += 1;
          save();
          return true;
        }
      }
      return false;
    },
    work: function () {
      if (line.busy || !line.waiting.length) { return; }
      clearTimeout(line.timer);
      var deed = line.waiting[0];
      line.busy = true;
      post(deed.what, { item: deed.item, label: deed.label }).then(function (body) {
        line.away = "";
        done();
        if (room) { room.heard(body); }
        line.work();
      }, function (error) {
        line.busy = false;
        if (isAway(error)) {
          line.away = error.status ? error.message : "the server does not answer";
          line.timer = setTimeout(line.work, AGAIN_MS);
        } else {
          done();
          if (room) { room.complain(error.message); room.listLately(); }
          line.work();
        }
        if (room) { room.showAway(); }
      });
    },
  };

  function done() {
    line.busy = false;
    line.waiting.shift();
    line.changes += 1;
    save();
    if (room) { room.showAway(); }
  }

  function load() {
    try { return JSON.parse(localStorage.getItem(STORE)) || []; } catch (error) { return []; }
  }

  function save() {
    try { localStorage.setItem(STORE, JSON.stringify(line.waiting)); } catch (error) { /* full */ }
  }

  // --- one visit to the page ------------------------------------------------------------------

  function Room(box) {
    this.box = box;
    this.query = box.dataset.class + "\n" + box.dataset.item;
    this.label = box.dataset.class;
    this.may = Boolean(box.dataset.may);
    this.current = null;
    this.queue = [];
    this.past = [];
    this.asking = false;
    this.progress = null;
    this.correcting = Boolean(box.dataset.item);
    if (this.may) { this.build(); }
    this.listLately();
    if (this.may) {
      this.fetchLabels();
      if (this.correcting) { this.open(Number(box.dataset.item)); } else { this.fill(); }
      this.keeping = setInterval(this.keep.bind(this), KEEP_MS);
      this.waiting = setInterval(this.again.bind(this), IDLE_MS);
      line.work();
    }
  }

  Room.prototype.build = function () {
    var self = this;
    var asking = document.getElementById("inbox-asking");
    asking.textContent = "";
    this.note = make("div", "inbox-note");
    this.note.setAttribute("role", "status");
    this.stage = make("div", "inbox-stage");
    this.image = null;
    this.empty = make("p", "inbox-empty", "Looking for images …");
    this.stage.append(this.empty);
    this.why = make("p", "inbox-why");
    this.keys = make("div", "inbox-choices");
    this.typing = make("div", "inbox-typing");
    this.field = make("input", "inbox-field");
    this.field.type = "search";
    this.field.placeholder = "Another class ( / )";
    this.field.autocomplete = "off";
    this.field.spellcheck = false;
    ["aria-label", "role", "aria-expanded", "aria-controls", "aria-autocomplete"].forEach(function (name, place) {
      self.field.setAttribute(name, ["Another class", "combobox", "false", "inbox-found", "list"][place]);
    });
    this.found = make("ul", "inbox-found");
    this.found.id = "inbox-found";
    this.found.setAttribute("role", "listbox");
    this.typing.append(this.field, this.found);
    this.deeds = make("div", "inbox-deeds");
    this.deed("skip", "Skip", "S", function () { self.skip(); });
    this.deed("undo", "Undo", "U", function () { self.undo(); });
    this.deed("unusable", "None of these / unusable", "X", function () { self.say("unusable", null); });
    var side = make("div", "inbox-side");
    side.append(this.why, this.keys, this.typing, this.deeds);
    asking.append(this.note, this.stage, side);
    this.field.addEventListener("input", function () { self.chosen = 0; self.search(); });
    this.field.addEventListener("keydown", function (event) { self.type(event); });
    this.field.addEventListener("blur", function () {
      setTimeout(function () { self.closeList(); }, 150);
    });
  };

  Room.prototype.deed = function (name, text, letter, does) {
    var button = make("button", "button inbox-deed", text);
    button.type = "button";
    button.id = "inbox-" + name;
    button.prepend(key(letter));
    button.addEventListener("click", does);
    this.deeds.append(button);
  };

  // --- images in hand ---------------------------------------------------------------------------

  Room.prototype.held = function () {
    return this.queue.concat(this.current ? [this.current] : []).map(function (each) { return each.id; });
  };

  Room.prototype.fill = function () {
    var self = this;
    var missing = AHEAD + (this.current ? 0 : 1) - this.queue.length;
    if (this.asking || missing <= 0 || !alive(this)) { return; }
    this.asking = true;
    var changes = line.changes;
    // What was just answered may not have arrived there yet.
    var have = this.held().concat(line.waiting.map(function (deed) { return deed.item; }));
    post("next", { have: have.slice(0, 50), n: Math.min(missing, 5), class: this.label }).then(function (body) {
      self.asking = false;
      if (!alive(self)) { return; }
      self.reached = true;
      var known = self.held();
      body.items.forEach(function (each) {
        if (known.indexOf(each.id) < 0) { self.queue.push(fetched(each)); }
      });
      self.countAnew(body.progress, changes);
      if (!self.current) { self.next(); }
    }, function (error) {
      self.asking = false;
      if (!alive(self)) { return; }
      if (!self.current) { self.showEmpty(isAway(error) ? "The server does not answer; this page tries again." : error.message); }
    });
  };

  // Whether an answer that was on its way meanwhile is in the server's count, nobody can tell; what
  // is shown counts it, and the server's word on that answer settles it.
  Room.prototype.countAnew = function (progress, changes) {
    if (this.progress && (line.waiting.length || line.changes !== changes)) { return; }
    var unsent = line.waiting.filter(function (deed) { return deed.what === "label" || deed.what === "unusable"; });
    this.showProgress(progress);
    this.count(unsent.length);
  };

  function fetched(each) {
    // The very element that will be shown, decoded already when its turn comes.
    each.image = make("img", "inbox-picture");
    each.image.alt = "The picture to be labelled";
    each.image.src = each.picture;
    if (each.image.decode) { each.image.decode().catch(function () { /* said when it is shown */ }); }
    return each;
  }

  Room.prototype.again = function () {
    if (!document.hidden && !this.correcting) { this.fill(); }
  };

  Room.prototype.keep = function () {
    var self = this, held = this.held();
    if (!held.length || this.correcting) { return; }
    post("keep", { items: held }).then(function (body) {
      // What somebody else has by now is theirs; what stands on the screen is settled by its answer.
      self.queue = self.queue.filter(function (each) { return body.held.indexOf(each.id) >= 0; });
    }, function () { /* the next answer will say that the server is away */ });
  };

  Room.prototype.open = function (item) {
    var self = this;
    post("open", { item: item }).then(function (body) {
      self.current = fetched(body.items[0]);
      self.show();
    }, function (error) { self.showEmpty(error.message); });
  };

  Room.prototype.goBackTo = function (item) {
    if (this.current && !this.correcting) { this.queue.unshift(this.current); }
    this.correcting = true;
    name(item);
    this.open(item);
    document.getElementById("inbox").scrollIntoView({ block: "nearest" });
  };

  Room.prototype.next = function () {
    this.current = this.queue.shift() || null;
    this.show();
    this.fill();
  };

  Room.prototype.leave = function () {
    clearInterval(this.keeping);
    clearInterval(this.waiting);
    var held = this.held();
    if (this.may && held.length && !this.correcting) {
      post("leave", { items: held }, { keepalive: true }).catch(function () { /* the lease runs out */ });
    }
  };

  // --- what is shown ------------------------------------------------------------------------------

  Room.prototype.show = function () {
    var self = this, item = this.current;
    this.box.classList.toggle("inbox-none", !item);
    this.keys.textContent = "";
    this.field.value = "";
    this.closeList();
    if (this.image) { this.image.remove(); this.image = null; }
    if (!item) {
      this.why.textContent = "";
      this.showEmpty(this.reached ? this.nothing() : "Looking for images …");
      return;
    }
    this.empty.textContent = "";
    this.empty.hidden = true;
    this.image = item.image;
    this.stage.prepend(this.image);
    this.image.onerror = lost;
    if (this.image.complete && !this.image.naturalWidth) { lost(); }
    function lost() {
      if (self.image !== item.image) { return; }
      self.empty.hidden = false;
      self.empty.textContent = "This picture cannot be shown: it was moved, deleted or altered. Skip it, or call it unusable.";
    }
    this.why.textContent = this.correcting
      ? "Said so far: " + (item.answer || "none of these / unusable") + ". Choose what it shows."
      : item.why;
    item.choices.forEach(function (label, place) {
      var button = make("button", "button inbox-choice");
      button.type = "button";
      button.append(key(String(place + 1)), make("bdi", "inbox-name", label));
      button.addEventListener("click", function () { self.say("label", label); });
      self.keys.append(button);
    });
  };

  Room.prototype.nothing = function () {
    if (this.label) {
      return "No image waits that has to do with this class. Images come from predictions that the service keeps, and from labels of the pool that look wrong.";
    }
    var kept = this.progress && this.progress.waiting;
    if (kept) { return "What waits is on other people's screens, or you have skipped it today."; }
    return "Nothing waits to be labelled. The service keeps pictures for the inbox where WEAKSPOT_SERVICE_KEEP_SHARE is above 0; labels of the pool that look wrong come by themselves.";
  };

  Room.prototype.showEmpty = function (text) {
    this.box.classList.toggle("inbox-none", !this.current);
    this.empty.hidden = false;
    this.empty.textContent = text;
  };

  Room.prototype.showProgress = function (progress) {
    var place = document.getElementById("inbox-progress");
    if (!place || !progress) { return; }
    this.progress = progress;
    place.textContent = "";
    var bar = make("progress", "bar inbox-bar");
    bar.max = progress.a_day;
    bar.value = Math.min(progress.today, progress.a_day);
    bar.setAttribute("aria-label", "Labels today");
    var reached = progress.today >= progress.a_day;
    var words = progress.today + " of " + progress.a_day + " today" +
      (progress.own !== progress.today ? ", " + progress.own + " by you" : "") +
      (reached ? ": done for today" : "");
    place.append(make("span", "", words), bar);
  };

  Room.prototype.showAway = function () {
    if (!this.note) { return; }
    var n = line.waiting.length;
    if (line.away && n) {
      this.complain("Not sent yet: " + n + (n === 1 ? " answer" : " answers") + " (" + line.away + "). Kept in this browser, tried again every few seconds.", true);
    } else if (this.isAway) {
      this.complain("");
    }
  };

  Room.prototype.complain = function (text, isAwayNote) {
    if (!this.note) { return; }
    this.isAway = Boolean(isAwayNote);
    this.note.textContent = text;
    this.note.classList.toggle("inbox-bad", Boolean(text));
  };

  // --- what somebody says ---------------------------------------------------------------------------

  Room.prototype.say = function (what, label) {
    if (!this.current) { return; }
    var item = this.current;
    this.complain("");
    this.showAway();
    if (this.correcting) {
      line.add({ what: what === "label" ? "correct" : what, item: item.id, label: label });
      this.correcting = false;
      name(0);
    } else {
      line.add({ what: what, item: item.id, label: label });
      this.past.push(item);
      this.past = this.past.slice(-MOST_UNDO);
      this.count(1);
    }
    this.next();
  };

  Room.prototype.count = function (more) {
    if (!this.progress) { return; }
    var progress = Object.assign({}, this.progress);
    progress.today = Math.max(0, progress.today + more);
    progress.own = Math.max(0, progress.own + more);
    this.showProgress(progress);
  };

  Room.prototype.skip = function () {
    if (!this.current) { return; }
    if (this.correcting) { this.correcting = false; name(0); }
    else { line.add({ what: "skip", item: this.current.id }); }
    this.next();
  };

  Room.prototype.undo = function () {
    var item = this.past.pop();
    if (!item) { this.undoEarlier(); return; }
    if (!line.drop(item.id)) { line.add({ what: "undo", item: item.id }); }
    if (this.current && !this.correcting) { this.queue.unshift(this.current); }
    this.correcting = false;
    this.current = item;
    this.count(-1);
    this.show();
  };

  // After the page was loaded anew only the server knows what was said before.
  Room.prototype.undoEarlier = function () {
    var self = this;
    var own = (this.lately || []).filter(function (each) { return each.own; }).slice(0, MOST_UNDO)[0];
    if (!own || line.waiting.length) { this.complain("There is no answer of yours to undo."); return; }
    post("undo", { item: own.id }).then(function (body) {
      if (self.current && !self.correcting) { self.queue.unshift(self.current); }
      self.correcting = false;
      self.heard(body);
      self.open(own.id);
    }, function (error) { self.complain(error.message); });
  };

  Room.prototype.heard = function (body) {
    // Answers that are still on their way are counted already.
    if (body.progress && !line.waiting.length) { this.showProgress(body.progress); }
    if (body.said && !line.waiting.length) { this.listLately(); }
  };

  // --- the other classes ------------------------------------------------------------------------------

  Room.prototype.fetchLabels = function () {
    if (labels) { return; }
    fetch(API + "labels").then(read).then(function (body) {
      labels = body.labels;
      if (room && room.field && room.field.value) { room.search(); }
    }, function () {
      setTimeout(function () { if (room) { room.fetchLabels(); } }, AGAIN_MS);
    });
  };

  // Those that begin with what was typed, then those of which a word does, then the others.
  function matching(typed) {
    var wanted = typed.trim().toLocaleLowerCase();
    if (!wanted || !labels) { return []; }
    var ranked = [[], [], []];
    labels.forEach(function (label) {
      var place = label.toLocaleLowerCase().indexOf(wanted);
      if (place < 0) { return; }
      ranked[place === 0 ? 0 : /[\s_-]/.test(label[place - 1]) ? 1 : 2].push(label);
    });
    return ranked[0].concat(ranked[1], ranked[2]).slice(0, 8);
  }

  Room.prototype.search = function () {
    var self = this;
    this.offered = matching(this.field.value);
    this.found.textContent = "";
    this.offered.forEach(function (label, place) {
      var option = make("li", "inbox-option");
      option.append(make("bdi", "", label));
      option.id = "inbox-option-" + place;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(place === self.chosen));
      option.addEventListener("pointerdown", function (event) { event.preventDefault(); });
      option.addEventListener("click", function () { self.pick(label); });
      self.found.append(option);
    });
    if (this.field.value.trim() && !this.offered.length) {
      this.found.append(make("li", "inbox-option inbox-unknown", labels ? "No such class" : "The classes have not arrived yet"));
    }
    this.field.setAttribute("aria-expanded", String(this.found.childElementCount > 0));
    if (this.offered.length) { this.field.setAttribute("aria-activedescendant", "inbox-option-" + this.chosen); }
    else { this.field.removeAttribute("aria-activedescendant"); }
  };

  Room.prototype.closeList = function () {
    this.offered = [];
    this.chosen = 0;
    this.found.textContent = "";
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
  };

  Room.prototype.pick = function (label) {
    this.field.value = "";
    this.closeList();
    this.field.blur();
    this.say("label", label);
  };

  Room.prototype.type = function (event) {
    var n = (this.offered || []).length;
    if (event.key === "Escape") { this.field.value = ""; this.closeList(); this.field.blur(); }
    else if (event.key === "Enter" && n) { this.pick(this.offered[this.chosen]); }
    else if (event.key === "ArrowDown" && n) { this.chosen = (this.chosen + 1) % n; this.search(); }
    else if (event.key === "ArrowUp" && n) { this.chosen = (this.chosen + n - 1) % n; this.search(); }
    else { return; }
    event.preventDefault();
  };

  // --- labelled lately ------------------------------------------------------------------------------------

  Room.prototype.listLately = function () {
    var self = this;
    fetch(API + "lately").then(read).then(function (body) {
      if (alive(self)) { self.showLately(body.lately); }
    }, function () {
      var place = document.getElementById("inbox-lately");
      if (place && !place.childElementCount) { place.textContent = "This list cannot be read now."; }
    });
  };

  Room.prototype.showLately = function (said) {
    var self = this, place = document.getElementById("inbox-lately");
    if (!place) { return; }
    this.lately = said;
    place.textContent = "";
    if (!said.length) {
      place.append(make("p", "empty", "Nothing has been labelled here yet."));
      return;
    }
    var list = make("ul", "inbox-list");
    said.forEach(function (each) { list.append(self.entry(each)); });
    place.append(list);
  };

  Room.prototype.entry = function (each) {
    var self = this;
    var entry = make("li", "");
    var image = make("img", "picture inbox-small");
    image.src = each.picture;
    image.loading = "lazy";
    image.alt = "";
    var text = make("div", "inbox-entry");
    text.append(make("bdi", "strong", each.answer || "None of these / unusable"));
    var when = make("time", "", utc(each.at));
    when.dateTime = each.at;
    when.dataset.utc = "";  // Told in the reader's own time when pointed at: keys.js.
    var said = make("span", "dim", " by " + each.by + ", ");
    said.append(when);
    text.append(said);
    if (each.replay) {
      text.append(make("span", "inbox-replay", "Its exams are counted anew before the next one; at once by: weakspot health --replay " + each.replay.join(" ")));
    }
    entry.append(image, text);
    if (this.may) {
      var link = make("a", "button", "Correct");
      link.href = "/inbox?item=" + each.id;
      link.setAttribute("aria-label", "Correct " + (each.answer || "unusable"));
      link.addEventListener("click", function (event) {
        if (event.ctrlKey || event.metaKey || event.shiftKey) { return; }
        event.preventDefault();
        self.goBackTo(each.id);
      });
      entry.append(link);
    }
    return entry;
  };

  function utc(moment) {
    var at = new Date(moment);
    var day = at.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
    return day + " " + at.toISOString().slice(11, 16) + " UTC";
  }

  // --- coming and going ---------------------------------------------------------------------------------------

  function alive(which) { return room === which; }

  // The address says which image is corrected; going on, or back to one, is not a new page.
  function name(item) {
    var said = [];
    if (room.label) { said.push("class=" + encodeURIComponent(room.label)); }
    if (item) { said.push("item=" + item); }
    history.replaceState(history.state, "", "/inbox" + (said.length ? "?" + said.join("&") : ""));
  }

  function look() {
    var box = document.getElementById("inbox");
    var query = box && box.dataset.class + "\n" + box.dataset.item;
    if (room && (room.box !== box || room.query !== query)) { room.leave(); room = null; }
    if (box && !room) { room = {}; room = start(box); }
  }

  function start(box) {
    room = Object.create(Room.prototype);
    Room.call(room, box);
    return room;
  }

  function press(event) {
    if (!room || !room.may || event.ctrlKey || event.metaKey || event.altKey) { return; }
    if (event.target.closest && event.target.closest("input, textarea, select, [contenteditable], dialog")) { return; }
    var name = event.key.toLowerCase(), number = Number(event.key);
    if (name === "/") { room.field.focus(); }
    else if (event.repeat) { return; }
    else if (name === "s") { room.skip(); }
    else if (name === "u") { room.undo(); }
    else if (name === "x") { room.say("unusable", null); }
    else if (number >= 1 && room.current && number <= room.current.choices.length) { room.say("label", room.current.choices[number - 1]); }
    else { return; }
    event.preventDefault();
    event.stopPropagation();
  }

  window.addEventListener("keydown", press, true);
  window.addEventListener("pagehide", function () { if (room) { room.leave(); } });
  window.addEventListener("pageshow", function (event) { if (event.persisted) { room = null; look(); } });
  window.addEventListener("online", function () { line.work(); });
  new MutationObserver(look).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["data-class", "data-item", "data-may"],
  });
  look();
})();
