"""OKX's codes as verdicts: those of a whole answer (``code``) and those of one order in it (``sCode``).

Source: "Error Code", okx.com/docs-v5 (read 2026-11). A code that is not here is AMBIGUOUS. 50004 says itself that it is
neither success nor failure; 50001, 50005, 50013 and 50026 are a venue in trouble and prove nothing; 51149 is an order
that timed out on its way.
"""

from __future__ import annotations

from adapters.orders.replies import Verdict

_V = Verdict

_REFUSED = (
    *(50000, 50002, 50006, 50014, 50015, 50016, 50024, 50025, 50036, 50037, 50044, 50115, 60012, 60013),
    *(51000, 51001, 51002, 51003, 51004, 51005, 51006, 51007, 51008, 51009, 51010, 51011, 51012, 51014, 51015, 51017),
    *(51018, 51019, 51020, 51021, 51022, 51023, 51024, 51025, 51026, 51027, 51028, 51029, 51030, 51031, 51032, 51033),
    *(51041, 51042, 51043, 51044, 51046, 51047, 51048, 51050, 51051, 51072, 51073, 51074, 51090, 51091, 51092, 51093),
    *(51094, 51095, 51096, 51098, 51099, 51100, 51101, 51102, 51103, 51104, 51105, 51106, 51107, 51108, 51109, 51110),
    *(51111, 51112, 51115, 51116, 51117, 51118, 51119, 51120, 51121, 51122, 51124, 51125, 51126, 51127, 51128, 51129),
    *(51130, 51131, 51132, 51133, 51134, 51135, 51136, 51137, 51138, 51139, 51147, 51148, 51155, 51156, 51159, 51162),
    *(51163, 51166, 51169, 51170, 51171, 51172, 51173, 51174, 51175, 51176, 51177, 51178, 51179, 51180, 51181, 51182),
    *(51185, 51277, 51278, 51279, 51280, 51201, 51202, 51203, 51204, 51205, 51206),
    *(51403, 51404, 51405, 51406, 51407, 51408, 51409, 51500, 51501, 51502, 51504, 51505, 51506, 51508, 51509, 51510),
    *(51511, 51512, 51523, 51524, 51525, 51526, 51600, 51601, 51602, 54000, 54001, 54004, 54005, 54006, 54007, 54008),
    *(54009, 54011, 54012, 54018, 54019),
)
_CODES: dict[int, Verdict] = {
    **dict.fromkeys(_REFUSED, _V.REFUSED),
    1: _V.AMBIGUOUS,
    50001: _V.AMBIGUOUS,
    50004: _V.AMBIGUOUS,
    50005: _V.AMBIGUOUS,
    50007: _V.AUTH,
    50008: _V.AUTH,
    50009: _V.AUTH,
    50011: _V.LIMITED,
    50013: _V.AMBIGUOUS,
    50026: _V.AMBIGUOUS,
    50027: _V.AUTH,
    50040: _V.LIMITED,
    50061: _V.LIMITED,
    50100: _V.AUTH,
    50101: _V.AUTH,
    50102: _V.CLOCK,
    50103: _V.AUTH,
    50104: _V.AUTH,
    50105: _V.AUTH,
    50106: _V.AUTH,
    50107: _V.AUTH,
    50110: _V.AUTH,
    50111: _V.AUTH,
    50112: _V.CLOCK,
    50113: _V.AUTH,
    50114: _V.AUTH,
    50119: _V.AUTH,
    50120: _V.AUTH,
    51016: _V.EXISTS,
    51113: _V.LIMITED,
    51149: _V.AMBIGUOUS,
    51400: _V.UNKNOWN_ORDER,
    51401: _V.UNKNOWN_ORDER,
    51402: _V.UNKNOWN_ORDER,
    51410: _V.AMBIGUOUS,
    51503: _V.UNKNOWN_ORDER,
    51513: _V.AMBIGUOUS,
    51603: _V.UNKNOWN_ORDER,
    60014: _V.LIMITED,
}


def verdict_of(code: str) -> Verdict:
    """What a code says; AMBIGUOUS for what the document does not list."""
    return _CODES.get(int(code), _V.AMBIGUOUS) if code.isascii() and code.isdigit() else _V.AMBIGUOUS
