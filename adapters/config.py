"""Reading the configuration: a YAML file, then the environment, then the command line; the last one wins.

Owns where values come from and the one clear sentence when one is wrong. The keys are `config_model.py`.
"""

from __future__ import annotations

import copy
import difflib
import re
import typing
from collections.abc import Hashable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from adapters.config_error import ConfigError
from adapters.config_model import PROJECT_ROOT, DeskConfig
from adapters.context_model import CONTEXT_VARIABLES

# In every wheel of PyYAML, and seven times as quick: each process of the desk reads the file when it starts.
if yaml.__with_libyaml__:
    from yaml import CSafeLoader as _InC
else:
    from yaml import SafeLoader as _InC  # type: ignore[assignment]

__all__ = ["PROJECT_ROOT", "ConfigError", "DeskConfig", "load_config"]

PREFIX: Final = "PROPDESK_"
CONFIG_VARIABLE: Final = "PROPDESK_CONFIG"
NATIVE_VARIABLE: Final = "PROPDESK_NATIVE"  # read by `native` when the process starts
SPEC_VARIABLES: Final = {
    "API_HOST": "server.host",
    "API_PORT": "server.port",
    "BINANCE_MIN_NOTIONAL_USD": "execution.min_notional_usd",
    "QUOTE_OVERRIDE": "quotes.override",
    "QUOTE_PREF": "quotes.pref",
    **{variable: f"context.{key}" for variable, key in CONTEXT_VARIABLES.items()},
}
PROFILE_VARIABLE: Final = "DEFAULT_PROFILE"

_UNITS: Final = {
    "ms": "milliseconds",
    "s": "seconds",
    "usd": "US dollars",
    "bps": "basis points",
    "pct": "percent",
}
_NUMBER_WITH_UNIT: Final = re.compile(r"^\s*(-?[0-9][0-9_.]*)\s*([A-Za-z%]+)\s*$")
_SECRETS: Final = re.compile(r"(api_?key|secret|passphrase|token|password)$", re.IGNORECASE)


def load_config(
    path: Path | str | None = None,
    profile: str | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> DeskConfig:
    """The desk's configuration; ``ConfigError`` names the first thing that is wrong and its mend.

    Without ``path`` it is ``PROPDESK_CONFIG``, else ``configs/<profile>.yaml`` of the project, else the defaults.
    ``env`` overrides the file: ``PROPDESK_SERVER__PORT=8001`` is ``server.port``, as is ``API_PORT``. ``overrides``
    are dotted keys (``{"server.port": 8001}``) and win; texts are read as YAML. ``env`` None means no environment.
    """
    environment = env or {}
    wanted = profile or environment.get(PROFILE_VARIABLE) or "paper"
    tree = _read(path or environment.get(CONFIG_VARIABLE), wanted)
    if profile is not None or PROFILE_VARIABLE in environment:
        tree["profile"] = wanted
    for key, variable in _env_keys(environment):
        _put(tree, key, _scalar(environment[variable], variable), variable)
    for dotted, value in (overrides or {}).items():
        _put(tree, dotted.split("."), _scalar(value, dotted) if isinstance(value, str) else value, dotted)
    try:
        return DeskConfig.model_validate(tree)
    except ValidationError as error:
        raise _worded(error) from error


class _Loader(yaml.SafeLoader):
    """YAML in which a number with a point is exact and a key may not come twice."""


class _QuickLoader(_InC):
    """The same, read in C."""


def _mapping(loader: _Loader | _QuickLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise ConfigError(f"line {key_node.start_mark.line + 1}", f"the key {key!r} comes twice", "keep one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


def _exact(_: _Loader | _QuickLoader, node: yaml.ScalarNode) -> Decimal | float:
    text = node.value.replace("_", "")
    return Decimal(text) if re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", text) else float("nan")


for _reading in (_Loader, _QuickLoader):
    _reading.add_constructor("tag:yaml.org,2002:map", _mapping)
    _reading.add_constructor("tag:yaml.org,2002:float", _exact)


def _parsed(text: str) -> Any:
    """The tree of a text; what is wrong with one is told in the words, and at the line, of the reader in Python."""
    try:
        return yaml.load(text, Loader=_QuickLoader)  # noqa: S506  # derives from SafeLoader
    except yaml.YAMLError:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # derives from SafeLoader


def _read(path: Path | str | None, profile: str) -> dict[str, Any]:
    file = Path(path) if path else PROJECT_ROOT / "configs" / f"{profile}.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if path or profile != "paper":
            raise ConfigError(str(file), "there is no such file", "give the path of a configuration file") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), f"unreadable ({error})", "it must be a UTF-8 text file") from error
    try:
        tree = _parsed(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file} line {mark.line + 1}" if mark else str(file)
        raise ConfigError(
            where, f"not YAML ({getattr(error, 'problem', error)})", "mind indentation and colons"
        ) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(str(file), "not a table of keys", "start with a key such as `profile: paper`")
    return tree


def _env_keys(env: Mapping[str, str]) -> list[tuple[list[str], str]]:
    keys = [(dotted.split("."), variable) for variable, dotted in SPEC_VARIABLES.items() if env.get(variable)]
    no_keys = {CONFIG_VARIABLE, NATIVE_VARIABLE}
    own = (variable for variable in sorted(env) if variable.startswith(PREFIX) and variable not in no_keys)
    return keys + [(variable.removeprefix(PREFIX).lower().split("__"), variable) for variable in own]


def _scalar(text: object, where: str) -> object:
    try:
        return _parsed(str(text))
    except yaml.YAMLError as error:
        raise ConfigError(where, f"{text!r} is not a YAML value", "quote it or mend it") from error


def _put(tree: dict[str, Any], keys: list[str], value: object, where: str) -> None:
    """Set a nested key beside its defaults. Names match without case: variables are upper case, some keys are not."""
    defaults: Any = DeskConfig().model_dump()
    for depth, key in enumerate(keys):
        known = {str(name).lower(): name for name in (*defaults, *tree)}
        name = known.get(key.lower(), key)
        if depth == len(keys) - 1:
            tree[name] = value
            return
        defaults = defaults.get(name) if isinstance(defaults.get(name), dict) else {}
        below = tree.setdefault(name, copy.deepcopy(defaults))
        if not isinstance(below, dict):
            raise ConfigError(where, f"{'.'.join(keys[: depth + 1])} has no keys below it", "shorten the name")
        tree = below


def _worded(error: ValidationError) -> ConfigError:
    problems = error.errors(include_url=False)
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    loc = tuple(str(part) for part in first["loc"] if part != "[key]")
    field = ".".join(loc) or "configuration"
    given = first.get("input")
    problem, mend = _sentence(first["type"], first["msg"], loc, given)
    if not loc and ": " in problem:
        field, _, problem = problem.partition(": ")  # rules between keys name the key themselves
    if len(problems) > 1:
        mend = f"{mend} (and {len(problems) - 1} more)" if mend else f"({len(problems) - 1} more)"
    return ConfigError(field, problem, mend)


def _sentence(kind: str, message: str, loc: tuple[str, ...], given: object) -> tuple[str, str]:
    if kind == "extra_forbidden":
        return "unknown key", _unknown_key(loc)
    if kind == "missing":
        return "missing", "add it"
    if kind in {"value_error", "assertion_error"}:
        problem, _, mend = message.removeprefix("Value error, ").partition("; ")
        return problem, mend
    unit = _UNITS.get(_unit(loc))
    with_unit = _NUMBER_WITH_UNIT.match(given) if isinstance(given, str) else None
    if with_unit is not None:
        in_unit = f" in {unit}" if unit else ""
        return f"{given!r} is not a number", f"write the number alone{in_unit}, without {with_unit.group(2)!r}"
    value = str(given) if isinstance(given, Decimal) else repr(given)
    shown = "" if _SECRETS.search(loc[-1] if loc else "") else f", not {value}"
    return f"{message[0].lower()}{message[1:]}{shown}", f"the unit is {unit}" if unit else ""


def _unit(loc: tuple[str, ...]) -> str:
    for name in reversed(loc):
        ending = name.rpartition("_")[2]
        if ending in _UNITS:
            return ending
    return ""


def _unknown_key(loc: tuple[str, ...]) -> str:
    *parents, key = loc
    known = list(_fields_at(tuple(parents)))
    stem = key.rpartition("_")[0] if key.rpartition("_")[2] in {*_UNITS, "sec", "us", "ns", "min", "eur"} else key
    for name in known:
        ending = name.rpartition("_")[2]
        if ending in _UNITS and name.rpartition("_")[0] == stem:
            return f"did you mean {name} ({_UNITS[ending]})?"
    if _SECRETS.search(key):
        return "secrets do not belong into the configuration; put them into the environment"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"known keys here: {', '.join(sorted(known))}" if known else "remove it"


def _fields_at(loc: tuple[str, ...]) -> Mapping[str, Any]:
    found: Any = DeskConfig
    for name in loc:
        if _is_model(found):
            field = found.model_fields.get(name)
            found = field.annotation if field is not None else None
        elif typing.get_origin(found) is dict:
            found = typing.get_args(found)[1]
        else:
            return {}
    return found.model_fields if _is_model(found) else {}


def _is_model(found: object) -> bool:
    return isinstance(found, type) and typing.get_origin(found) is None and issubclass(found, BaseModel)
