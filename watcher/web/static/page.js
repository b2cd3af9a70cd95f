// Keeps the page current, puts times into the reader's zone, and carries out what the buttons say. Without it the page
// is as it was drawn. Nothing here writes text as markup but what came from our own server as a section.
"use strict";
(() => {
  const POLL = 5000; // milliseconds
  const page = document.documentElement;
  const pulse = document.getElementById("pulse");
  const live = document.body.dataset.live;
  let clock = 0; // the daemon's clock less ours, in milliseconds
  let heard = Date.now();

  // ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────

  const now = () => Date.now() + clock;
  const sameDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const otherDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

  const length = (milliseconds) => {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds < 120) return `${seconds} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 120) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
  };

  const age = (time) => { time.textContent = length(now() - Date.parse(time.dateTime)); };

  const local = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      time.title = time.dateTime.replace("T", " ").replace("Z", " UTC");
      if (time.classList.contains("for")) {
        time.classList.add("ago");
        age(time);
      } else {
        const today = Math.abs(now() - at) < 12 * 3600e3;
        time.textContent = (today ? sameDay : otherDay).format(at);
      }
    }
  };

  const tick = () => {
    document.querySelectorAll("time.ago").forEach(age);
    const silent = Date.now() - heard;
    const lost = silent > 3 * POLL;
    pulse.classList.toggle("lost", lost);
    const text = lost ? `no answer for ${length(silent)}` : "live";
    if (pulse.textContent !== text) pulse.textContent = text;
  };

  // ── what changed ─────────────────────────────────────────────────────────────────────────────────────────────────

  const tags = {}; // section -> the tag of what is shown
  const asked = {}; // section -> when it was fetched
  let listTag = "";

  const get = async (path, tag) => {
    const headers = tag ? { "if-none-match": tag } : {};
    const answer = await fetch(path, { headers, cache: "no-store", credentials: "same-origin" });
    if (answer.status === 401) location.reload();
    if (!answer.ok && answer.status !== 304) throw new Error(answer.status);
    heard = Date.now();
    const at = Date.parse(answer.headers.get("x-watcher-now"));
    if (at && Math.abs(at - now()) > 10e3) { clock = at - Date.now(); local(document); }
    return answer;
  };

  const replace = (element, markup) => {
    const open = [...element.querySelectorAll("details")].map((one) => one.open);
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const where = focused && (focused.getAttribute("href") || JSON.stringify(focused.dataset));
    element.innerHTML = markup;
    element.querySelectorAll("details").forEach((one, index) => { if (index < open.length) one.open = open[index]; });
    local(element);
    if (where) {
      [...element.querySelectorAll("a, button, summary")]
        .find((one) => (one.getAttribute("href") || JSON.stringify(one.dataset)) === where)?.focus({ preventScroll: true });
    }
  };

  const due = (section) => {
    const wait = 1000 * (section.dataset.every || 0);
    const details = section.querySelector(":scope > details");
    return Date.now() - (asked[section.id] || 0) >= wait && (!details || details.open);
  };

  const sections = async () => {
    const answer = await get("/live", listTag);
    let behind = false;
    if (answer.status !== 304) {
      const found = await answer.json();
      for (const [name, tag] of Object.entries(found.sections)) {
        const section = document.getElementById(name);
        if (!section || tags[name] === tag) continue;
        if (!due(section)) { behind = true; continue; }
        const part = await get(`/live/${name}`, "");
        asked[name] = Date.now();
        tags[name] = part.headers.get("etag");
        replace(section, await part.text());
        if (name === "now") document.getElementById("news").textContent = section.querySelector("h1").textContent;
      }
      document.title = found.title;
      const icon = document.querySelector("link[rel=icon]");
      icon.href = icon.dataset[found.firing ? "firing" : "calm"];
      listTag = behind ? "" : answer.headers.get("etag");
    }
  };

  const whole = async () => {
    const answer = await get(location.pathname, listTag);
    if (answer.status === 304) return;
    const first = !listTag;
    listTag = answer.headers.get("etag");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!first) replace(document.getElementById("main"), fresh.getElementById("main").innerHTML);
  };

  const follow = async () => {
    if (!document.hidden) {
      try { await (live === "self" ? whole() : sections()); } catch { /* said by the pulse */ }
    }
    tick();
  };

  // ── what can be done ─────────────────────────────────────────────────────────────────────────────────────────────

  const say = (dialog, text) => { dialog.querySelector(".wrong").textContent = text; };

  const askToken = (dialog, text) => {
    const label = dialog.querySelector(".token");
    label.hidden = false;
    label.querySelector("input").required = true;
    label.querySelector("input").focus();
    say(dialog, text);
  };

  const send = async (method, path, body) => fetch(path, {
    method,
    credentials: "same-origin",
    headers: body ? { "content-type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
  });

  const signIn = async (token) => {
    const answer = await fetch("/login", { method: "POST", body: new URLSearchParams({ token }), credentials: "same-origin", redirect: "manual" });
    return answer.type === "opaqueredirect";
  };

  const submit = async (dialog, request) => {
    const token = dialog.querySelector("[name=token]");
    if (token.value && !(await signIn(token.value))) return askToken(dialog, "That is not the token.");
    token.value = "";
    const answer = await send(...request);
    if (answer.status === 401) return askToken(dialog, "Show the token once; this browser then stays signed in for twelve hours.");
    if (!answer.ok) {
      const found = await answer.json().catch(() => ({}));
      return say(dialog, found.error || `watcher answered ${answer.status}`);
    }
    dialog.close();
    return follow();
  };

  const open = (dialog) => {
    const author = dialog.querySelector("[name=author]");
    author.value = localStorage.getItem("author") || "";
    const label = dialog.querySelector(".token");
    label.hidden = true;
    label.querySelector("input").required = false;
    say(dialog, "");
    dialog.showModal();
  };

  const matchers = (text) => {
    const found = {};
    for (const word of text.match(/[^\s=]+=(?:"[^"]*"|\S+)/g) || []) {
      const [name, ...rest] = word.split("=");
      found[name] = rest.join("=").replace(/^"|"$/g, "").split(",");
    }
    return found;
  };

  const requests = {
    ack: (form, alert) => ["POST", `/api/v1/alerts/${encodeURIComponent(alert)}/ack`, { author: form.author.value, comment: form.comment.value }],
    silence: (form) => ["POST", "/api/v1/silences", {
      match: matchers(form.match.value),
      seconds: Number(form.seconds.value),
      until_resolved: form.until_resolved.checked,
      author: form.author.value,
      comment: form.comment.value,
    }],
  };

  const expire = async (button) => {
    const answer = await send("DELETE", `/api/v1/silences/${encodeURIComponent(button.dataset.expire)}`);
    if (answer.status === 401) {
      const dialog = document.getElementById("signin");
      dialog.then = () => expire(button);
      dialog.showModal();
      return askToken(dialog, "");
    }
    return follow();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.ack) {
      const dialog = document.getElementById("ack");
      dialog.alert = button.dataset.ack;
      open(dialog);
    } else if (button.dataset.silence !== undefined) {
      const dialog = document.getElementById("silence");
      dialog.querySelector("[name=match]").value = button.dataset.silence;
      open(dialog);
    } else if (button.dataset.expire) {
      expire(button);
    } else if (button.dataset.close !== undefined) {
      button.closest("dialog").close();
    }
  });

  document.addEventListener("submit", async (event) => {
    const dialog = event.target.closest("dialog");
    if (!dialog) return;
    event.preventDefault();
    if (dialog.id === "signin") {
      if (!(await signIn(event.target.token.value))) return askToken(dialog, "That is not the token.");
      event.target.reset();
      dialog.close();
      return dialog.then();
    }
    localStorage.setItem("author", event.target.author.value);
    const request = requests[dialog.id](event.target.elements, dialog.alert);
    if (request[2].match && !Object.keys(request[2].match).length) return say(dialog, "Write it like rule=VideoFreezing.");
    return submit(dialog, request).catch(() => say(dialog, "No answer: try again."));
  });

  // ── start ────────────────────────────────────────────────────────────────────────────────────────────────────────

  page.classList.add("script");
  document.getElementById("zone").textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
  local(document);
  if (live) {
    follow();
    setInterval(follow, POLL);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) follow(); });
    document.addEventListener("toggle", (event) => { if (event.target.open) follow(); }, true);
  } else {
    pulse.hidden = true;
  }
})();
