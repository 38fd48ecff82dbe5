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
  desk_page: "Деск", quality_page: "Качество данных", quality_link: "качество →", q_ready: "Рынков готово", q_gates: "Закрытые затворы", q_oldest: "Старейшие данные",
  q_gaps: "Разрывы", q_checksums: "Ошибки сумм", q_drops: "Потеряно", q_feeds: "Соединения", q_symbols: "Рынки", q_book: "Книга",
  q_p99: "p99", q_misses: "Опозд.", q_resyncs: "Пересб.", q_checksum: "Суммы", q_ok_failed: "верны / неверны", q_shadow: "Сверка",
  q_shadow_means: "снимков сверено / разошлось", q_drop: "Потери", q_dup: "Повторы", q_late: "поздних", q_rejected: "Не прочит.",
  q_why: "Причина", q_silent: "ядро молчит об этом", q_no_gates: "Все затворы открыты", q_venues: "Площадки", q_venue: "Площадка",
  q_condition: "Состояние", q_health: "Оценка", q_quorum: "Кворум", q_failover: "Переключ.", q_skew: "Часы", q_course: "Ход часов",
  q_course_means: "часы: наши минус площадки, 10 минут", q_needed: "нужно", q_leader: "ведёт", q_ahead: "впереди", q_feed: "Площадка/поток",
  q_region: "Регион", q_role: "Роль", q_reconnects: "Переподкл.", q_channels: "Каналы", q_reserve: "резерв", q_regions: "Регионы",
  q_live: "Живых", q_leaders: "Ведущих", q_out: "Карантин", q_derivatives: "Деривативы", q_basis: "Базис", q_a_year: "В год",
  q_next: "Через", q_due: "пора", q_oi: "ОИ, USD", q_ratio: "Л/Ш", q_index: "индекс", q_last: "последняя", q_flow: "Поток и глубина",
  q_imbalance: "Дисбаланс, 5 уровней", q_spread: "Спред", q_depth: "Глубина 10 bps", q_liquidations: "Ликвидации", q_longs: "лонги",
  q_shorts: "шорты", q_long: "лонг", q_short: "шорт", q_no_liquidations: "ликвидаций не было", q_universe: "Вселенная",
  q_add: "Добавить", q_add_hint: "ПЛОЩАДКА:ТИП:БАЗА-КОТИРОВКА", q_no_universe: "список пуст: ничего не торгуется", q_universe_untold: "деск о списке ещё не сказал", q_tradable: "торгуется",
  q_auto_add: "авто-добавление", q_on: "ВКЛ", q_off: "выкл", q_two_man: "одобряют двое", q_tick: "Шаг цены", q_lot: "Шаг кол-ва",
  q_min_notional: "Мин. сумма", q_version: "Правила", q_namesakes: "Однофамильцы: сверьте и подтвердите каждого", q_operator: "Кто вы (попадёт в журнал)",
  u_draft: "Черновик", u_submit: "На проверку", u_approve: "Одобрить", u_reject: "Вернуть", u_delete: "Убрать", u_review: "на проверке",
  u_second_wanted: "нужен второй", u_approved: "торгуется", u_suspended: "приостановлен", u_delisted: "делистинг",
  v_normal: "норма", v_degraded: "ухудшена", v_post_only: "только мейкер", v_quarantined: "карантин", v_cancel_only: "только отмены",
  v_maintenance: "обслуживание", v_unknown: "неизвестно", v_met: "есть", v_thin: "впритык", v_lost: "потерян", v_leader: "ведущий", v_spare: "запасной",
  v_live: "живо", v_backoff: "ждёт", v_connecting: "соединяется", v_subscribing: "подписка", v_rotating: "смена", v_closed: "закрыто",
  q_age: "Возраст", q_rate: "Сообщ.",
  q_opportunity: "Возможности", q_opps: "В секунду", q_best: "Лучший уровень", q_lots: "лотов", q_dry: "сухо", q_toxic: "токсично", q_calm: "в порядке",
  q_contracts: "Контракты данных", q_contract: "Контракт", q_rule: "Правило", q_times: "Раз", q_newest: "Последнее нарушение", q_ago: "Назад",
  q_kept: "нарушений не было", q_judged: "строк проверено", q_broken: "с нарушением",
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
  desk_page: "Desk", quality_page: "Data quality", quality_link: "quality →", q_ready: "Markets ready", q_gates: "Closed gates", q_oldest: "Oldest data",
  q_gaps: "Gaps", q_checksums: "Checksum errors", q_drops: "Dropped", q_feeds: "Connections", q_symbols: "Markets", q_book: "Book",
  q_p99: "p99", q_misses: "Misses", q_resyncs: "Resyncs", q_checksum: "Checksums", q_ok_failed: "right / wrong", q_shadow: "Shadow",
  q_shadow_means: "snapshots compared / different", q_drop: "Drops", q_dup: "Dupl.", q_late: "late", q_rejected: "Unread",
  q_why: "Reason", q_silent: "the desk is silent about it", q_no_gates: "All gates are open", q_venues: "Venues", q_venue: "Venue",
  q_condition: "Condition", q_health: "Score", q_quorum: "Quorum", q_failover: "Failover", q_skew: "Clock", q_course: "Clock's course",
  q_course_means: "clock: ours less the venue's, 10 minutes", q_needed: "needed", q_leader: "leader", q_ahead: "ahead", q_feed: "Venue/view",
  q_region: "Region", q_role: "Role", q_reconnects: "Reconn.", q_channels: "Channels", q_reserve: "reserve", q_regions: "Regions",
  q_live: "Live", q_leaders: "Leaders", q_out: "Quarant.", q_derivatives: "Derivatives", q_basis: "Basis", q_a_year: "A year",
  q_next: "In", q_due: "due", q_oi: "OI, USD", q_ratio: "L/S", q_index: "index", q_last: "last", q_flow: "Flow and depth",
  q_imbalance: "Imbalance, 5 levels", q_spread: "Spread", q_depth: "Depth 10 bps", q_liquidations: "Liquidations", q_longs: "longs",
  q_shorts: "shorts", q_long: "long", q_short: "short", q_no_liquidations: "there were none", q_universe: "Universe",
  q_add: "Add", q_add_hint: "VENUE:TYPE:BASE-QUOTE", q_no_universe: "the list is empty: nothing is traded", q_universe_untold: "the desk has not told its list yet", q_tradable: "tradable",
  q_auto_add: "auto-add", q_on: "ON", q_off: "off", q_two_man: "two approve", q_tick: "Tick", q_lot: "Lot",
  q_min_notional: "Min notional", q_version: "Rules", q_namesakes: "Namesakes: compare and confirm each", q_operator: "Who you are (goes to the audit trail)",
  u_draft: "Draft", u_submit: "Submit", u_approve: "Approve", u_reject: "Reject", u_delete: "Delete", u_review: "in review",
  u_second_wanted: "second wanted", u_approved: "tradable", u_suspended: "suspended", u_delisted: "delisted",
  v_normal: "normal", v_degraded: "degraded", v_post_only: "post only", v_quarantined: "quarantined", v_cancel_only: "cancel only",
  v_maintenance: "maintenance", v_unknown: "unknown", v_met: "met", v_thin: "thin", v_lost: "lost", v_leader: "leader", v_spare: "spare",
  v_live: "live", v_backoff: "backoff", v_connecting: "connecting", v_subscribing: "subscribing", v_rotating: "rotating", v_closed: "closed",
  q_age: "Age", q_rate: "Msgs",
  q_opportunity: "Opportunities", q_opps: "Per second", q_best: "Best level", q_lots: "lots", q_dry: "dry", q_toxic: "toxic", q_calm: "fine",
  q_contracts: "Data contracts", q_contract: "Contract", q_rule: "Rule", q_times: "Times", q_newest: "Newest breach", q_ago: "Ago",
  q_kept: "none was broken", q_judged: "rows judged", q_broken: "broken",
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
  for (const el of document.querySelectorAll("[data-hint]")) el.placeholder = w(el.dataset.hint);
  for (const el of document.querySelectorAll("[data-aria]")) el.setAttribute("aria-label", w(el.dataset.aria));
  document.getElementById("lang").textContent = language === "ru" ? "EN" : "RU";
}
