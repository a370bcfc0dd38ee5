// What the browser does about sessions: signs out, and says so when one has ended.
(function () {
  var hasEnded = false;

  function signIn() {
    return "/sign-in?next=" + encodeURIComponent(location.pathname + location.search);
  }

  // A page that is open keeps what it shows; one that is not there yet leads to the sign-in.
  function ended() {
    if (hasEnded) { return; }
    hasEnded = true;
    var notice = document.getElementById("ended");
    if (!notice) { location.replace(signIn()); return; }
    notice.querySelector("a").href = signIn();
    notice.hidden = false;
    document.documentElement.classList.add("has-ended");
    window.dash_clientside.set_props("tick", { disabled: true });
  }

  var ask = window.fetch;
  window.fetch = function () {
    return ask.apply(this, arguments).then(function (answer) {
      if (answer.status === 401 && new URL(answer.url, location.href).origin === location.origin) { ended(); }
      return answer;
    });
  };

  document.addEventListener("click", function (event) {
    if (!event.target.closest || !event.target.closest("#sign-out")) { return; }
    ask("/sign-out", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })
      .then(function () { location.assign("/sign-in"); });
  });
})();
