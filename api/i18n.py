"""The words of the operators' surfaces in Russian and English: advice for readiness reasons, Telegram's phrases.

The page's own labels live in ui/words.js.
"""

from __future__ import annotations

from typing import Literal

Language = Literal["ru", "en"]

ADVICE: dict[str, tuple[str, str]] = {
    "DESK_SILENT": (
        "Ядро не публикует состояние: проверьте процессы (propdesk status), разрешение истечёт само",
        "The desk publishes nothing: look at the processes (propdesk status); the permit expires by itself",
    ),
    "FEED_LATE": (
        "Факты приходят с опозданием: проверьте нагрузку и часы хоста, странице верить нельзя",
        "Facts arrive late: look at the host's load and clocks; do not trust this page",
    ),
    "PERMIT_EXPIRED": (
        "Разрешение на торговлю истекло: риск-губернатор не продлевает его; смотрите дерево и тормоза",
        "The permit to trade has expired: the risk governor does not renew it; look at the tree and the brakes",
    ),
    "BRAKE": (
        "Стоит тормоз: устраните причину; снимает тот, кто указан в release",
        "A brake is on: remove its cause; release names who may lift it",
    ),
    "MODE": (
        "Режим строже RUN: смотрите список тормозов",
        "The mode is stricter than RUN: look at the list of brakes",
    ),
    "NO_BOOKS": (
        "Нет ни одной книги: подождите синхронизации или проверьте подключения площадок",
        "There is no book yet: wait for the synchronisation or check the venues' connections",
    ),
    "BOOK_NOT_SYNCED": (
        "Книга не доказана: дождитесь пересинхронизации; если не проходит, перезапустите поток площадки",
        "The book is not proved: wait for the resync; if it lasts, restart the venue's stream",
    ),
    "BOOK_STALE": (
        "Книга устарела: перезапустите поток площадки; котировки уже сняты",
        "The book is stale: restart the venue's stream; quotes are pulled already",
    ),
    "CLOCK_SKEW": (
        "Часы расходятся с площадкой: проверьте NTP (chrony) на хосте",
        "Clocks differ from the venue's: check NTP (chrony) on the host",
    ),
    "DATA_QUORUM": (
        "Слишком мало свежих потоков площадки: смотрите страницу качества данных (/quality)",
        "Too few of the venue's views are fresh: see the page of data quality (/quality)",
    ),
    "VENUE_DOWN": (
        "Нет связи с площадкой: проверьте сеть и статус площадки; отмены разрешены",
        "The venue is not connected: check the network and the venue's status page; cancels stay allowed",
    ),
    "CELL_SILENT": (
        "Ячейка молчит: супервизор перезапустит её; если нет, смотрите журнал процесса",
        "A cell is silent: the supervisor restarts it; if it does not, read the process's log",
    ),
    "ACTOR_DOWN": (
        "Актор не работает: супервизор перезапускает его, область остаётся в HOLD",
        "An actor is not running: the supervisor restarts it, its scope stays in HOLD",
    ),
    "LEDGER_RESIDUAL": (
        "Бухгалтерия не сходится: остановите торговлю и сверьте журнал (propdesk report)",
        "The ledger does not balance: stop trading and reconcile the journal (propdesk report)",
    ),
    "ORDERS_UNKNOWN": (
        "Есть заявки с неизвестной судьбой: они учтены в экспозиции, ждите ответа площадки",
        "Some orders are UNKNOWN: they count in exposure; wait for the venue's evidence",
    ),
    "ORDER_CYCLE_SLOW": (
        "Цикл тик-заявка медленный: снимите нагрузку с хоста",
        "The tick-to-order cycle is slow: take load off the host",
    ),
}

PHRASES: dict[str, tuple[str, str]] = {
    "help": (
        (
            "/status состояние и режим\n/health готовность и причины\n/positions позиции\n/pnl прибыль и убыток\n"
            "/start снять паузу, только если готовность зелёная\n/pause [область] [причина] без нового риска\n"
            "/hold [область] [причина] стоп заявкам\n/resume [область] снять тормоза оператора\n"
            "/unlock <площадка> [причина] снова открыть связь с ней\n"
            "/kill [причина] отменить всё, закрыть, HOLD\n/why <cl_ord_id> история заявки\n"
            "/alerts on|off уведомления\n/lang ru|en язык\n/help эта справка"
        ),
        (
            "/status state and mode\n/health readiness and reasons\n/positions positions\n/pnl profit and loss\n"
            "/start lift the pause, only if readiness is green\n/pause [scope] [cause] no new risk\n"
            "/hold [scope] [cause] no new orders\n/resume [scope] release the operator's brakes\n"
            "/unlock <venue> [cause] let its locked link try again\n"
            "/kill [cause] cancel all, flatten, HOLD\n/why <cl_ord_id> the story of an order\n"
            "/alerts on|off notifications\n/lang ru|en language\n/help this text"
        ),
    ),
    "unknown": ("Не понял. Команды:", "I did not understand. Commands:"),
    "no_positions": ("Позиций нет", "No positions"),
    "no_pnl": ("PnL ещё не опубликован", "No PnL has been published yet"),
    "why_usage": ("Напишите /why <cl_ord_id>", "Write /why <cl_ord_id>"),
    "alerts_usage": ("Напишите /alerts on или /alerts off", "Write /alerts on or /alerts off"),
    "alerts_on": ("Уведомления включены", "Notifications are on"),
    "alerts_off": ("Уведомления выключены", "Notifications are off"),
    "lang": ("Язык: русский", "Language: English"),
    "stale": (
        "Команда устарела (ей больше минуты) и не выполнена: повторите",
        "The command is older than a minute and was not carried out: send it again",
    ),
    "not_ready": ("Не готово, торговля не начата:", "Not ready, trading was not started:"),
    "no_cause": ("без причины, Telegram", "no cause given, Telegram"),
    "done": ("Сделано", "Done"),
    "refused": ("Отказано", "Refused"),
    "unanswered": (
        "Ядро не ответило за 2 с. Команда могла дойти: смотрите /status. Для остановки без ядра: propdesk hold",
        (
            "The desk did not answer within 2 s. The command may have arrived: see /status. "
            "To stop without the desk: propdesk hold"
        ),
    ),
    "unreachable": (
        "Команда не отправлена: нет связи с ядром. Для остановки без ядра: propdesk hold",
        "The command was not sent: the desk cannot be reached. To stop without the desk: propdesk hold",
    ),
    "busy": ("Слишком много команд ждут ответа, повторите", "Too many commands await an answer, try again"),
    "brake_on": ("Тормоз", "Brake"),
    "brake_off": ("Тормоз снят", "Brake released"),
    "scope": ("область", "scope"),
    "release": ("снимает", "released by"),
    "mode": ("Режим", "Mode"),
    "permit": ("Разрешение", "Permit"),
    "valid": ("действует", "valid"),
    "expired": ("истекло", "expired"),
    "readiness": ("Готовность", "Readiness"),
    "day_pnl": ("PnL за день", "Day PnL"),
    "venues": ("Площадки", "Venues"),
    "instruments": ("Инструменты", "Instruments"),
    "brakes": ("Тормоза", "Brakes"),
    "none": ("нет", "none"),
    "synthetic": ("ДАННЫЕ СИНТЕТИЧЕСКИЕ", "SYNTHETIC DATA"),
    "merged": ("и ещё", "and more:"),
}


def phrase(key: str, language: Language) -> str:
    """One phrase of ``PHRASES``."""
    return PHRASES[key][0 if language == "ru" else 1]


def advice(code: str, language: Language) -> str:
    """What an operator should do about a readiness reason."""
    return ADVICE[code][0 if language == "ru" else 1]
