// The page's labels in two languages; nothing else decides what an operator reads.

const RU = {
  skip: "К содержанию", synthetic: "СИНТЕТИКА", equity: "Капитал, USD", day_pnl: "PnL за день, USD", profile: "Профиль",
  uptime: "Работает", feed: "Данные", commands: "Команды", pause: "Пауза", resume: "Снять", books: "Стаканы",
  pnl: "Прибыль и убыток", chart: "График PnL: всего и по стратегиям", brakes: "Тормоза", positions: "Позиции",
  tree: "Дерево супервизии", orders: "Заявки", fills: "Сделки", latency: "Задержка по этапам", events: "События",
  instrument: "Инструмент", qty: "Кол-во", avg_px: "Средняя", mark: "Марк", notional: "USD", unrealized: "Нереал.",
  realized: "Реализ.", time: "Время", side: "Стор.", price: "Цена", filled: "Исполн.", status: "Статус",
  strategy: "Стратегия", fee: "Комис.", liquidity: "Ликв.", stage: "Этап", scope: "Область",
  cause: "Причина (попадёт в журнал)", back: "Отмена", close: "Закрыть", buy: "куп.", sell: "прод.",
  permit: "Разрешение", no_permit: "НЕТ РАЗРЕШЕНИЯ", ready_ok: "Готов", ready_degraded: "Готов, с оговорками",
  ready_fail: "Не готов", ready_unknown: "Готовность…", readiness: "Готовность", ready_none: "Причин нет: всё в порядке.",
  no_brakes: "Тормозов нет", release_auto: "снимется само", release_operator: "снимает оператор",
  "release_two-man": "снимают двое", since: "уже", hold_here: "HOLD здесь", lift: "Снять",
  disconnected: "НЕТ СВЯЗИ со службой оператора: на экране последнее известное, торговля от страницы не зависит. Повтор…",
  silent: "Ядро молчит: показания устарели. Без продления разрешение истекает само.",
  age: "возраст", skew: "часы", spread: "спред", msgs: "сообщ.", gaps: "разрывы", net: "нетто", gross: "брутто",
  total: "Всего", fees: "Комиссии", funding: "Фандинг",
  residual: "Невязка", live: "живых", shown: "показано", no_data: "нет данных", all_desk: "весь деск",
  restarts: "перезапусков", heartbeat: "возраст пульса", memory: "память", handled: "сообщений обработано", mailbox: "ждёт",
  permit_seen: "продлевает риск-губернатор; страница слышала об этом, назад:", actors: "акторов", maker: "мейк.", taker: "тейк.",
  t_hold: "Остановить новые заявки", t_pause: "Пауза: без нового риска", t_resume: "Снять тормоза оператора",
  t_kill: "АВАРИЙНЫЙ СТОП", x_hold: "HOLD действует сразу. Отмены остаются разрешены, позиции не трогаются.",
  x_pause: "Новый риск запрещён, сокращение и отмены разрешены.",
  x_resume: "Снимаются тормоза, которые вправе снять оператор; для красных нужен второй человек.",
  x_kill: "Отменить все заявки, закрыть позиции, остаться в HOLD. Действует сразу.",
  c_hold: "оператор, со страницы", c_pause: "оператор, со страницы", c_resume: "", c_kill: "аварийный стоп со страницы",
  sent: "Сделано", failed: "Не сделано", story_of: "История заявки", from_journal: "по журналу",
  from_projection: "по последним известным фактам", asking: "Спрашиваю…",
  mode_run: "ТОРГОВЛЯ", mode_safe: "ОСТОРОЖНО", mode_pause: "ПАУЗА", mode_hold: "HOLD", mode_kill: "KILL",
  mode_unknown: "НЕИЗВЕСТНО", st_synced: "доказана", st_suspect: "под сомнением", st_resync: "пересборка",
  st_halt: "остановлена", ms: "мс", s: "с", min: "мин", h: "ч", d: "д", per_s: "/с",
};

const EN = {
  skip: "Skip to content", synthetic: "SYNTHETIC", equity: "Equity, USD", day_pnl: "Day PnL, USD", profile: "Profile",
  uptime: "Up", feed: "Feed", commands: "Commands", pause: "Pause", resume: "Resume", books: "Books",
  pnl: "Profit and loss", chart: "PnL chart: total and by strategy", brakes: "Brakes", positions: "Positions",
  tree: "Supervision tree", orders: "Orders", fills: "Fills", latency: "Latency by stage", events: "Events",
  instrument: "Instrument", qty: "Qty", avg_px: "Avg px", mark: "Mark", notional: "USD", unrealized: "Unreal.",
  realized: "Realized", time: "Time", side: "Side", price: "Price", filled: "Filled", status: "Status",
  strategy: "Strategy", fee: "Fee", liquidity: "Liq.", stage: "Stage", scope: "Scope",
  cause: "Cause (goes to the journal)", back: "Cancel", close: "Close", buy: "buy", sell: "sell",
  permit: "Permit", no_permit: "NO PERMIT", ready_ok: "Ready", ready_degraded: "Ready, degraded",
  ready_fail: "Not ready", ready_unknown: "Readiness…", readiness: "Readiness", ready_none: "No reasons: all is well.",
  no_brakes: "No brakes", release_auto: "releases itself", release_operator: "operator releases",
  "release_two-man": "two people release", since: "for", hold_here: "HOLD here", lift: "Resume",
  disconnected: "DISCONNECTED from the operators' service: this is the last known state; trading does not depend on this page. Retrying…",
  silent: "The desk is silent: readings are old. A permit that is not renewed expires by itself.",
  age: "age", skew: "skew", spread: "spread", msgs: "msgs", gaps: "gaps", net: "net", gross: "gross",
  total: "Total", fees: "Fees", funding: "Funding",
  residual: "Residual", live: "live", shown: "shown", no_data: "no data", all_desk: "the whole desk",
  restarts: "restarts", heartbeat: "heartbeat's age", memory: "memory", handled: "messages handled", mailbox: "waiting",
  permit_seen: "renewed by the governor; this page last heard of it, ago:", actors: "actors", maker: "maker", taker: "taker",
  t_hold: "Stop new orders", t_pause: "Pause: no new risk", t_resume: "Release the operator's brakes",
  t_kill: "EMERGENCY STOP", x_hold: "HOLD acts at once. Cancels stay allowed, positions are not touched.",
  x_pause: "No new risk; reducing and canceling stay allowed.",
  x_resume: "Releases the brakes that an operator may release; red ones need a second person.",
  x_kill: "Cancel every order, flatten positions, stay in HOLD. Acts at once.",
  c_hold: "operator, from the page", c_pause: "operator, from the page", c_resume: "", c_kill: "emergency stop from the page",
  sent: "Done", failed: "Not done", story_of: "The story of order", from_journal: "from the journal",
  from_projection: "from the last known facts", asking: "Asking…",
  mode_run: "TRADING", mode_safe: "SAFE", mode_pause: "PAUSE", mode_hold: "HOLD", mode_kill: "KILL",
  mode_unknown: "UNKNOWN", st_synced: "proved", st_suspect: "suspect", st_resync: "resync",
  st_halt: "halted", ms: "ms", s: "s", min: "m", h: "h", d: "d", per_s: "/s",
};

const LANGUAGES = { ru: RU, en: EN };
let language = localStorage.getItem("language") === "en" ? "en" : "ru";

export const lang = () => language;
export const w = (key) => LANGUAGES[language][key] ?? key;

export function toggleLanguage() {
  language = language === "ru" ? "en" : "ru";
  localStorage.setItem("language", language);
  label();
}

/** Write every static label of the page. */
export function label() {
  document.documentElement.lang = language;
  for (const el of document.querySelectorAll("[data-w]")) el.textContent = w(el.dataset.w);
  for (const el of document.querySelectorAll("[data-aria]")) el.setAttribute("aria-label", w(el.dataset.aria));
  document.getElementById("lang").textContent = language === "ru" ? "EN" : "RU";
}
