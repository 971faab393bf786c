"""Knows which presets there are, and makes a request concrete outputs: defaults filled in, looks drawn.

A library is made once at start, of the built-in presets and the user's own, and handed to whoever needs it.
"""

from __future__ import annotations

import difflib
import functools
import random
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from daemon.errors import BadParameter, InvalidRequest, UnknownPreset
from daemon.models import Parameters, VariationRequest, Wanted
from daemon.presets.builtin import FOLDER, GROUPS, PRESETS, Preset
from daemon.presets.parameters import Look, RefreshedParameters, RefreshParameters
from daemon.presets.traits import Family, Traits, traits

MAX_VARIATIONS = 200  # of one source
MAX_NAME = 40  # characters of a preset's; to compare longer ones with those there are takes long
ALIKE = 0.65  # of 1, from which on a name may be meant: "rotation" and "captions" have less in common


class Library:
    """Holds the built-in presets and, after them, the user's `own`. It never changes."""

    def __init__(self, own: Iterable[Preset] = ()) -> None:
        self._presets = PRESETS | {preset.name: preset for preset in own}

    def __iter__(self) -> Iterator[Preset]:
        return iter(self._presets.values())

    def find(self, name: str) -> Preset:
        """Returns the preset of that name. Raises UnknownPreset, which names what comes closest, or all there is."""
        if name in self._presets:
            return self._presets[name]
        if len(name) > MAX_NAME:
            raise UnknownPreset(f"there is no preset {name[:MAX_NAME]!r}…: a name has at most {MAX_NAME} characters")
        close = difflib.get_close_matches(name, self._presets)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(self._presets)}"
        raise UnknownPreset(f"there is no preset {name!r}: {hint}")

    def expand(self, requests: Sequence[VariationRequest]) -> tuple[Wanted, ...]:
        """Returns all outputs of one source, in the order asked for: every default filled in, every refresh look drawn.

        Labels are unique. Raises UnknownPreset, BadParameter, or InvalidRequest for none or too many of them.
        """
        if not requests:
            raise InvalidRequest("no variation is asked for: name at least one preset")
        if len(requests) > MAX_VARIATIONS:
            raise _too_many(len(requests))
        wanted: list[Wanted] = []
        looks: set[Look] = set()
        for request in requests:
            preset = self.find(request.preset)
            parameters = resolve(preset, request.overrides)
            taken = sum(other.preset == preset.name for other in wanted)
            if isinstance(parameters, RefreshParameters):
                made = tuple(_refreshed(preset, parameters, looks, taken))
            else:
                made = (_wanted(preset, parameters, preset.name + (f"-{taken + 1}" if taken else "")),)
            wanted += (replace(one, deliver=request.deliver) for one in made)
        if len(wanted) > MAX_VARIATIONS:
            raise _too_many(len(wanted))
        return tuple(wanted)

    def seeded(
        self, requests: Sequence[VariationRequest], earlier: Sequence[Parameters] = ()
    ) -> tuple[VariationRequest, ...]:
        """Returns the requests with a seed wherever looks are to be drawn: that of `earlier` outputs which are like
        them in all else, or a new one. Raises as `expand` does.
        """
        seeds = list(dict.fromkeys(str(one["seed"]) for one in earlier if "seed" in one))
        seeded = list[VariationRequest]()
        for request in requests:
            asked = resolve(self.find(request.preset), request.overrides)
            if isinstance(asked, RefreshParameters) and asked.seed is None:
                drawn = [_with_seed(request, seed) for seed in seeds]
                same = (one for one in drawn if any(want.parameters in earlier for want in self.expand([one])))
                request = next(same, None) or _with_seed(request, _new_seed())
                seeds = [seed for seed in seeds if seed != request.overrides["seed"]]
            seeded.append(request)
        return tuple(seeded)

    def describe(self) -> list[dict[str, Any]]:
        """Returns every preset as JSON, in groups: what it is for, and each parameter's type, default and range.

        `extension` is empty where the output is a folder of files, and `base` None but for the user's own.
        """
        return [_description(preset) for group in GROUPS for preset in self if preset.group == group]


def resolve(preset: Preset, overrides: Parameters) -> Family:
    """Returns the preset's defaults with what overrides them. Raises BadParameter."""
    family = type(preset.defaults)
    for name, value in overrides.items():
        _check(preset, name, value)
    return msgspec.convert({**msgspec.to_builtins(preset.defaults), **overrides}, family)


def _too_many(count: int) -> InvalidRequest:
    return InvalidRequest(f"{count} variations of one source are asked for; {MAX_VARIATIONS} are the limit")


def _wanted(preset: Preset, parameters: Family, label: str) -> Wanted:
    return Wanted(
        preset=preset.name,
        parameters=msgspec.to_builtins(parameters),
        label=label,
        extension=preset.extension,
    )


def _check(preset: Preset, name: str, value: object) -> None:
    family = type(preset.defaults)
    types = _types(family)
    if name not in types:
        unknown = f"preset {preset.name} has no parameter {_quoted(name)}{_owner(name)}"
        close = difflib.get_close_matches(name[:MAX_NAME], types, cutoff=ALIKE)
        hint = f"did you mean {' or '.join(close)}? It" if close else "it"
        raise BadParameter(f"{unknown}: {hint} takes {', '.join(types)}")
    try:
        msgspec.convert(value, types[name])
        str(value).encode()  # a lone surrogate, from a command line that is not UTF-8, can be stored nowhere
    except (msgspec.ValidationError, UnicodeEncodeError):
        bounds = _bounds(_schema(family)[name])
        raise BadParameter(f"preset {preset.name}: {name} is {_quoted(value)}, but it takes {bounds}") from None


def _owner(name: str) -> str:
    """Which preset has that parameter, if one does."""
    owner = next((preset.name for preset in PRESETS.values() if name in _types(type(preset.defaults))), None)
    return f", as {owner} has" if owner else ""


def _quoted(value: object) -> str:
    words = repr(value)
    return words if len(words) <= 40 else f"{words[:40]}…"


def _bounds(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "minimum" in schema:
        kind = "a whole number" if schema["type"] == "integer" else "a number"
        return f"{kind} from {schema['minimum']} to {schema['maximum']}"
    if schema["type"] == "boolean":
        return "true or false"
    if "pattern" in schema:
        return "a colour such as #ffcc00"
    return f"text of at most {schema['maxLength']} characters"


# How they are described


def _description(preset: Preset) -> dict[str, Any]:
    schemas = _schema(type(preset.defaults))
    return {
        "name": preset.name,
        "group": preset.group,
        "kind": preset.kind,
        "description": preset.description,
        "extension": preset.extension,
        "folder": preset.extension == FOLDER,
        "base": preset.own_of,
        "parameters": [_described(name, schema, getattr(preset.defaults, name)) for name, schema in schemas.items()],
    }


@functools.cache
def _types(family: type[Family]) -> dict[str, Any]:
    """What each parameter takes: first those of the kind itself, then what many kinds have in common."""
    common = {field.name for field in msgspec.structs.fields(Traits)}
    fields = sorted(msgspec.structs.fields(family), key=lambda field: field.name in common)
    return {field.name: field.type for field in fields}


@functools.cache
def _schema(family: type[Family]) -> dict[str, dict[str, Any]]:
    """The JSON Schema of each parameter, made plain for people."""
    properties = msgspec.json.schema(family)["$defs"][family.__name__]["properties"]
    return {name: _plain(properties[name], declared) for name, declared in _types(family).items()}


def _plain(schema: dict[str, Any], declared: Any) -> dict[str, Any]:
    """One that may be null is told as what it is otherwise; choices stand in the order they are declared."""
    if "enum" in schema:
        return {**schema, "enum": list(get_args(get_args(declared)[0]))}
    filled = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return {**schema, **filled[0]} if filled else schema


def _described(name: str, schema: dict[str, Any], default: object) -> dict[str, Any]:
    return {
        "name": name,
        "type": schema.get("type") or ("integer" if isinstance(default, int) else "string"),
        "default": default,
        "minimum": schema.get("minimum"),
        "maximum": schema.get("maximum"),
        "choices": schema.get("enum"),
        "description": schema["description"],
    }


# Looks


def _refreshed(
    preset: Preset, parameters: RefreshParameters, taken_looks: set[Look], taken_labels: int
) -> Iterator[Wanted]:
    seed = _new_seed() if parameters.seed is None else parameters.seed
    for number, look in enumerate(_draw(seed, parameters.count, taken_looks), taken_labels + 1):
        drawn = RefreshedParameters(
            **look._asdict(),
            **traits(parameters),
            seed=seed,
            crf=parameters.crf,
            speed=parameters.speed,
            audio_bitrate_kbps=parameters.audio_bitrate_kbps,
        )
        yield _wanted(preset, drawn, f"{preset.name}-{number:02}")


def _new_seed() -> str:
    return secrets.token_hex(8)


def _with_seed(request: VariationRequest, seed: str) -> VariationRequest:
    return replace(request, overrides={**request.overrides, "seed": seed})


def _draw(seed: str, count: int, taken: set[Look]) -> Iterable[Look]:
    """`count` looks that are not yet taken; they are taken then. The seed alone decides what is drawn."""
    source = random.Random(seed)
    drawn: list[Look] = []
    while len(drawn) < count:
        look = _drawn_look(source)
        if look not in taken:
            taken.add(look)
            drawn.append(look)
    return drawn


def _drawn_look(source: random.Random) -> Look:
    return Look(
        rotation=round(source.uniform(0.001, 0.01), 4),
        brightness=round(source.uniform(-0.05, 0.05), 4),
        contrast=round(source.uniform(0.95, 1.05), 4),
        saturation=round(source.uniform(0.95, 1.05), 4),
    )
