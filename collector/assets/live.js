// Keeps the list of alerts up to date from /api/v1/alerts/stream. The page is complete without it.
// All text from the feed is set as text, never as markup.
"use strict";
(() => {
  const table = document.getElementById("alerts");
  const badge = document.getElementById("live");
  if (!table || !badge || !window.EventSource) return;
  const { level, state, lang, after } = table.dataset;
  const english = lang === "en";
  const body = table.tBodies[0];
  const MOST = 200;

  const words = {
    critical: ["严重", "critical"], high: ["高", "high"], medium: ["中", "medium"], low: ["低", "low"],
    informational: ["提示", "informational"], new: ["新", "new"], acknowledged: ["处理中", "acknowledged"],
    "true-positive": ["已关闭：属实", "closed: true positive"],
    "false-positive": ["已关闭：误报", "closed: false positive"],
    "accepted-risk": ["已关闭：接受风险", "closed: accepted risk"],
  };
  const word = (name) => (words[name] ? words[name][english ? 1 : 0] : name);
  const open = (alert) => alert.state === "new" || alert.state === "acknowledged";
  const fits = (alert) =>
    (!level || alert.rule.level === level) &&
    (!state || alert.state === state || (state === "open" && open(alert)) || (state === "closed" && !open(alert)));

  const make = (name, text, kind) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const cell = (kind, ...parts) => {
    const made = make("td", undefined, kind);
    made.append(...parts);
    return made;
  };
  const time = (text) => {
    const date = new Date(text);
    return isNaN(date) ? text : date.toISOString().slice(0, 19).replace("T", " ");
  };

  const row = (alert) => {
    const made = make("tr", undefined, "arrived");
    made.dataset.id = alert.id;
    const title = make("a", (!english && alert.rule.title_zh) || alert.rule.title);
    title.href = "/alerts/" + encodeURIComponent(alert.id);
    const about = [title];
    if (!english && alert.rule.title_zh) {
      const second = make("small", alert.rule.title, "muted");
      second.lang = "en";
      about.push(make("br"), second);
    }
    const place = alert.site + (alert.system ? " · " + alert.system : "");
    made.append(
      cell("", make("span", word(alert.rule.level), "level " + (words[alert.rule.level] ? alert.rule.level : ""))),
      cell("wide", ...about),
      cell("", make("small", alert.entity.type, "muted"), make("br"), make("code", alert.entity.value)),
      cell("", alert.host, make("br"), make("small", place, "muted")),
      cell("num", String(alert.count)),
      cell("time", time(alert.last_seen)),
      cell("", make("span", word(alert.state), "state")),
    );
    return made;
  };

  const take = (alert) => {
    const old = [...body.rows].find((it) => it.dataset.id === alert.id);
    if (!fits(alert)) {
      if (old) old.remove();
      return;
    }
    if (old) old.replaceWith(row(alert));
    else body.prepend(row(alert));
    while (body.rows.length > MOST) body.rows[body.rows.length - 1].remove();
    const none = document.getElementById("none");
    if (none) none.remove();
  };

  const say = (on) => {
    badge.hidden = false;
    badge.className = on ? "live" : "live off";
    badge.textContent = on ? badge.dataset.on : badge.dataset.off;
  };

  const source = new EventSource("/api/v1/alerts/stream?after=" + encodeURIComponent(after));
  source.addEventListener("open", () => say(true));
  source.addEventListener("alert", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    say(false);
    // Closed for good: signed out, or too many readers. The page itself then says which.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 30000);
  });
})();
