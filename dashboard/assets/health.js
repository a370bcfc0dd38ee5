// The table of classes: its rows, how its cells look, what of it the address says, and its keys.
(function () {
  var STATES = ["weak", "recovering", "uncertain", "healthy", "no labels"];
  var TONES = ["bad", "watch", "watch", "good", "none"];
  var NARROW = { trend: 1000, reference: 1100, days: 820, share: 620 };
  var grid = null, wanted = { state: "", find: "" }, typing = null;
  var known = { mark: null, rows: [], at: null }, asking = false, failed = false, retry = null;

  // Cells. Every text is a child of an element, never HTML.

  function make() { return window.React.createElement.apply(null, arguments); }

  function percent(share) {
    var digits = (share > 0.99 && share < 1) || (share > 0 && share < 0.01) ? 1 : 0;
    return (100 * share).toFixed(digits) + " %";
  }

  function number(value) {
    if (value < 10) { return value.toFixed(1); }
    if (value < 1e6) { return Math.round(value).toLocaleString("en"); }
    var parts = value.toExponential(1).split("e+");
    return parts[0] + " × 10" + parts[1].replace(/\d/g, function (digit) { return "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]; });
  }

  function trend(text, reference) {
    var width = 120, height = 28, margin = 3, runs = [[]], last = null;
    function y(share) { return margin + (height - 2 * margin) * (1 - share); }
    for (var i = 0; i < text.length; i += 1) {
      if (text[i] === ".") { runs.push([]); continue; }
      var share = (text.charCodeAt(i) - 48) / 63;
      last = [margin + (width - 2 * margin) * i / Math.max(text.length - 1, 1), y(share), share];
      runs[runs.length - 1].push(last[0].toFixed(1) + "," + last[1].toFixed(1));
    }
    var parts = [];
    runs.filter(function (run) { return run.length; }).forEach(function (run, i) {
      var points = run.length > 1 ? run : [run[0], run[0]];
      var ground = points.map(function (point) { return point.split(",")[0] + "," + y(0); });
      // Filled down to zero: the height says the share, and the line does not float in its row.
      parts.push(make("polygon", { key: "a" + i, className: "trend-area",
        points: points.concat(ground.reverse()).join(" ") }));
      parts.push(make("polyline", { key: i, points: points.join(" "), className: "trend-line" }));
    });
    if (reference !== undefined) {
      parts.unshift(make("line", { key: "r", x1: 0, x2: width, y1: y(reference), y2: y(reference),
        className: "trend-reference" }));
    }
    if (last) {
      var low = reference !== undefined && last[2] < reference;
      parts.push(make("circle", { key: "c", cx: last[0], cy: last[1], r: 2.6,
        className: low ? "trend-low" : "trend-end" }));
    }
    return make("svg", { width: width, height: height, "aria-hidden": "true" }, parts);
  }

  window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};
  Object.assign(window.dashAgGridComponentFunctions, {
    HealthName: function (cell) {
      return make("a", { href: addressOf(cell.value), className: "class-link", tabIndex: -1,
        onClick: function (event) {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) { return; }
          event.preventDefault();
          go(addressOf(cell.value));
        } }, make("bdi", null, cell.value));
    },
    HealthState: function (cell) {
      return make("span", { className: "badge badge-" + TONES[cell.value] }, STATES[cell.value]);
    },
    HealthAccuracy: function (cell) {
      var row = cell.data;
      if (row.accuracy === undefined) { return make("span", { className: "dim" }, "no labels"); }
      return make("span", null, make("span", { className: "strong" }, percent(row.accuracy)),
        make("span", { className: "interval" },
          percent(row.low) + " to " + percent(row.high) + ", " + row.right + "/" + row.n));
    },
    HealthTrend: function (cell) {
      return cell.value ? trend(cell.value, cell.data.reference) : null;
    },
    HealthShare: function (cell) {
      return cell.value === undefined ? null : make("span", null, percent(cell.value));
    },
    HealthEvidence: function (cell) {
      var row = cell.data;
      if (row.evidence === undefined) { return null; }
      return make("span", null, make("span", { className: "strong" }, number(row.evidence)),
        make("span", { className: "interval" }, "of " + number(row.threshold)));
    },
    HealthDays: function (cell) {
      if (!cell.data.all) { return null; }
      if (cell.value === undefined) { return make("span", { className: "dim" }, "never"); }
      return make("span", null, Math.round(cell.value) + (cell.value >= 1.5 ? " days" : " day"));
    },
  });

  // The rows. The page says which state of them belongs to it, and they are fetched once for each.
  // Where they cannot be, the table says that it shows older ones, or none.

  function load() {
    var table = document.getElementById("classes-table");
    if (!table || !grid || grid.isDestroyed()) { return; }
    if (known.mark !== null && grid.shown !== known.mark) { show(); }
    if (table.dataset.mark === known.mark) { settled(); return; }
    if (asking) { return; }
    asking = true;
    clearTimeout(retry);
    fetch("/health/classes.json", { headers: { Accept: "application/json" } })
      .then(function (answer) {
        if (!answer.ok) { throw new Error("status " + answer.status); }
        return answer.json();
      })
      .then(function (said) {
        // They may be newer than the page, which follows at its next look.
        known = { mark: said.mark, rows: said.rows, at: new Date() };
        asking = failed = false;
        if (grid && !grid.isDestroyed()) { show(); }
        settled();
      })
      .catch(function () {
        asking = false;
        failed = true;
        settled();
        mark();
        later();
      });
  }

  function later() {
    retry = setTimeout(function () { if (document.hidden) { later(); } else { load(); } }, 5000);
  }

  function settled() {
    var table = document.getElementById("classes-table");
    if (table) { table.removeAttribute("aria-busy"); }
  }

  function show() {
    grid.setGridOption("rowData", known.rows);
    grid.shown = known.mark;
    read();
  }

  // The address.

  function fields() { return new URLSearchParams(location.search); }

  function addressOf(label) {
    var days = fields().get("days");
    return "/class/" + encodeURIComponent(label) + (/^\d{1,4}$/.test(days || "") ? "?days=" + days : "");
  }

  function go(path) {
    history.pushState({}, "", path);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  // What the table shows is written into the address: a step of its own for what was chosen, the
  // same step for what is being typed.
  function write(changed, isStep) {
    var said = fields();
    Object.keys(changed).forEach(function (name) {
      if (changed[name]) { said.set(name, changed[name]); } else { said.delete(name); }
    });
    var query = said.toString();
    var path = location.pathname + (query ? "?" + query : "");
    if (path === location.pathname + location.search) { return; }
    history[isStep ? "pushState" : "replaceState"]({}, "", path);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  }

  function sorting(text) {
    return (text || "").split(",").map(function (each) { return each.split("."); })
      .filter(function (each) { return each.length === 2 && /^(asc|desc)$/.test(each[1]); });
  }

  function filtering(text) {
    try { return JSON.parse(text || "null"); } catch (error) { return null; }
  }

  // Read the address, and show what it says.
  function read() {
    if (!grid || grid.isDestroyed()) { return; }
    var said = fields(), chosen = sorting(said.get("sort"));
    wanted = { state: said.get("state") || "", find: (said.get("find") || "").toLowerCase() };
    var field = document.getElementById("find");
    if (field && document.activeElement !== field && field.value !== (said.get("find") || "")) {
      window.dash_clientside.set_props("find", { value: said.get("find") || "" });
    }
    grid.reading = true;
    grid.applyColumnState({
      state: chosen.map(function (each, i) {
        return { colId: each[0], sort: each[1], sortIndex: i };
      }),
      defaultState: { sort: null },
    });
    grid.setFilterModel(filtering(said.get("filter")));
    grid.onFilterChanged();
    grid.reading = false;
    if (grid.days !== said.get("days")) {  // The links to the classes carry the range on.
      grid.days = said.get("days");
      grid.refreshCells({ columns: ["label"], force: true });
    }
    mark();
  }

  function mark() {
    document.querySelectorAll(".state-tab").forEach(function (tab) {
      if (tab.dataset.state === wanted.state) { tab.setAttribute("aria-current", "true"); }
      else { tab.removeAttribute("aria-current"); }
    });
    var csv = document.getElementById("classes-csv");
    if (csv) {
      var said = fields();
      ["sort", "filter"].forEach(function (name) { said.delete(name); });
      csv.setAttribute("href", "/health/classes.csv" + (said.toString() ? "?" + said : ""));
    }
    var shown = document.getElementById("classes-shown");
    if (shown && grid) {
      var n = grid.getDisplayedRowCount(), all = known.rows.length, said = [];
      if (failed) {
        said.push(known.at === null ? "The rows could not be fetched; trying again."
          : "Stale: these rows are of " + known.at.toISOString().slice(11, 19)
            + " UTC; newer ones could not be fetched, trying again.");
      }
      if (n !== all) {
        said.push(n.toLocaleString("en") + " of " + all.toLocaleString("en") + " classes are shown.");
      }
      shown.textContent = said.join(" ");
    }
  }

  function fit() {
    if (!grid || grid.isDestroyed()) { return; }
    Object.keys(NARROW).forEach(function (name) {
      grid.setColumnsVisible([name], window.innerWidth >= NARROW[name]);
    });
  }

  function adopt(api) {
    grid = api;
    api.setGridOption("isExternalFilterPresent", function () {
      return Boolean(wanted.state || wanted.find);
    });
    api.setGridOption("doesExternalFilterPass", function (node) {
      var fits = !wanted.state || STATES[node.data.state] === wanted.state;
      return fits && (!wanted.find || node.data.label.toLowerCase().indexOf(wanted.find) >= 0);
    });
    // The grid tells of a change later than it is made: what `read` has set must not be written,
    // as the address may be another by then.
    api.addEventListener("sortChanged", function (event) {
      if (api.reading || event.source === "api") { return; }
      var chosen = api.getColumnState().filter(function (each) { return each.sort; })
        .sort(function (a, b) { return a.sortIndex - b.sortIndex; })
        .map(function (each) { return each.colId + "." + each.sort; });
      write({ sort: chosen.join(",") }, true);
    });
    api.addEventListener("filterChanged", function (event) {
      if (api.reading || event.source === "api") { return; }
      var model = api.getFilterModel();
      write({ filter: Object.keys(model).length ? JSON.stringify(model) : "" }, true);
      mark();
    });
    api.addEventListener("cellKeyDown", function (event) {
      if (event.event && event.event.key === "Enter") { go(addressOf(event.data.label)); }
    });
    fit();
    read();
  }

  // The grid comes some moments after the page; a page that was drawn anew may bring another one.
  function look() {
    var until = Date.now() + 10000;
    (function again() {
      var place = document.getElementById("classes"), api = null;
      if (location.pathname !== "/") { grid = null; return; }
      try { api = window.dash_ag_grid.getApi("classes"); } catch (error) { /* not there yet */ }
      if (place && api && !api.isDestroyed() && place.querySelector(".ag-root")) {
        if (api !== grid) { adopt(api); } else { read(); }
        load();
      } else if (Date.now() < until) { setTimeout(again, 40); }
    })();
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.health = { drawn: function () { look(); } };

  window.addEventListener("popstate", function () { setTimeout(read, 0); });
  window.addEventListener("resize", fit);

  document.addEventListener("click", function (event) {
    var tab = event.target.closest && event.target.closest(".state-tab[data-state]");
    var range = event.target.closest && event.target.closest("#overview-ranges a");
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) { return; }
    if (tab && grid) {
      event.preventDefault();
      write({ state: tab.dataset.state }, true);
      read();
    } else if (range) {
      // Another range of days leaves the table as it is.
      event.preventDefault();
      event.stopPropagation();
      write({ days: new URL(range.href).searchParams.get("days") || "" }, true);
    }
  }, true);

  document.addEventListener("input", function (event) {
    if (event.target.id !== "find" || !grid) { return; }
    wanted.find = event.target.value.toLowerCase();
    grid.onFilterChanged();
    mark();
    clearTimeout(typing);
    typing = setTimeout(function () { write({ find: event.target.value }, false); mark(); }, 300);
  });

  document.addEventListener("keydown", function (event) {
    if (event.target.id !== "find" || !grid) { return; }
    if (event.key === "Enter") {
      var first = grid.getDisplayedRowAtIndex(0);
      if (first) { go(addressOf(first.data.label)); }
    } else if (event.key === "ArrowDown" && grid.getDisplayedRowCount()) {
      event.preventDefault();
      grid.setFocusedCell(0, "label");
    } else if (event.key === "Escape" && event.target.value) {
      window.dash_clientside.set_props("find", { value: "" });
      wanted.find = "";
      grid.onFilterChanged();
      write({ find: "" }, false);
      mark();
    }
  });
})();
