// What is clicked on the drift page leads to an address of our own, and to no other.
(function () {
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.drift = {
    // A cell of the matrix leads to its day and check; the class looked at stays.
    open: function (click, figure) {
      var cell = click && click.points && click.points[0];
      var check = cell && figure && figure.layout.yaxis.ticktext[cell.y];
      var day = cell && String(cell.x).slice(0, 10);
      if (!check || !/^\d{4}-\d\d-\d\d$/.test(day)) { return window.dash_clientside.no_update; }
      var said = new URLSearchParams(location.search);
      said.set("day", day);
      said.set("check", check);
      said.delete("version");
      var path = "/drift?" + said;
      var isHere = path === location.pathname + location.search;
      return isHere ? window.dash_clientside.no_update : location.origin + path;
    },
    // A point of the map opens its picture beside the page, where there is one.
    picture: function (click) {
      var point = click && click.points && click.points[0];
      var path = point && point.customdata;
      if (typeof path === "string" && /^\/images\/\d+$/.test(path)) {
        window.open(path, "_blank", "noopener");
      }
      return window.dash_clientside.no_update;
    },
  };
})();
