// A class is chosen by going to the address that shows its alerts. Only our own are followed.
(function () {
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.alerts = {
    pick: function (address) {
      var isOurs = typeof address === "string" && /^\/alerts(\?|$)/.test(address);
      var isHere = address === location.pathname + location.search;
      return isOurs && !isHere ? location.origin + address : window.dash_clientside.no_update;
    },
  };
})();
