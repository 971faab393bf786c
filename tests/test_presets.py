from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from daemon.errors import BadParameter, InvalidRequest, UnknownPreset
from daemon.models import VariationRequest, Wanted
from daemon.presets.builtin import PRESETS
from daemon.presets.library import Library
from daemon.presets.traits import Traits

BUILT_IN = Library()
TRAITS = msgspec.to_builtins(Traits())
expand, describe = BUILT_IN.expand, BUILT_IN.describe


def ask(preset: str, **overrides: Any) -> VariationRequest:
    return VariationRequest(preset=preset, overrides=overrides)


def looks(wanted: tuple[Wanted, ...]) -> list[tuple[float, ...]]:
    names = ("rotation", "brightness", "contrast", "saturation")
    return [tuple(one.parameters[name] for name in names) for one in wanted]


TRAITS = msgspec.to_builtins(Traits())


def test_every_preset_resolves_to_parameters_that_survive_json() -> None:
    for wanted in expand([ask(name) for name in PRESETS]):
        assert json.loads(json.dumps(wanted.parameters)) == wanted.parameters


def test_overrides_replace_defaults_and_nothing_else() -> None:
    (wanted,) = expand([ask("h264-720p", crf=30)])
    assert wanted == Wanted(
        preset="h264-720p",
        parameters={
            **TRAITS,
            "bit_depth": 8,
            "short_side": 720,
            "crf": 30,
            "target_vmaf": None,
            "speed": "veryfast",
            "max_frame_rate": 60,
            "audio_bitrate_kbps": 160,
            "copy": False,
            "pieces": "auto",
            **TRAITS,
        },
        label="h264-720p",
        extension="mp4",
    )


def test_labels_are_unique_within_a_source() -> None:
    asked = [ask("mp3"), ask("refresh", count=2), ask("mp3", bitrate_kbps=64), ask("refresh"), ask("mp3")]
    labels = [wanted.label for wanted in expand(asked)]
    assert labels == ["mp3", "refresh-01", "refresh-02", "mp3-2", "refresh-03", "mp3-3"]


def test_an_unknown_preset_is_told_with_what_comes_close() -> None:
    with pytest.raises(UnknownPreset, match=r"no preset 'h264-720': did you mean h264-720p"):
        expand([ask("h264-720")])


def test_an_unknown_preset_like_none_is_told_with_all_there_are() -> None:
    with pytest.raises(UnknownPreset, match=r"there are h264-1080p, .*refresh"):
        expand([ask("zzz")])


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask("h264-720p", crf=9), "preset h264-720p: crf is 9, but it takes a number from 10 to 51"),
        (ask("h264-720p", crf="22"), "preset h264-720p: crf is '22', but it takes a number from 10 to 51"),
        (ask("h264-720p", crf=True), "preset h264-720p: crf is True, but it takes a number from 10 to 51"),
        (ask("mp3", bitrate_kbps=None), "mp3: bitrate_kbps is None, but it takes a whole number from 32 to 320"),
        (ask("h264-720p", speed="warp"), "speed is 'warp', but it takes one of ultrafast, veryfast, fast, medium"),
        (ask("gif", seconds=3600), "preset gif: seconds is 3600, but it takes a number from 0.1 to 30"),
        (ask("refresh", count=21), "preset refresh: count is 21, but it takes a whole number from 1 to 20"),
        (ask("refresh", seed=7), "preset refresh: seed is 7, but it takes text of at most 200 characters"),
        (ask("refresh", seed="\ud800"), "seed is '\\ud800', but it takes text"),
        (
            ask("refresh", rotation=1),
            "preset refresh has no parameter 'rotation': it takes count, seed, crf, speed",
        ),
        (ask("h264-720p", alpha_colour="red"), "alpha_colour is 'red', but it takes a colour such as #ffcc00"),
        (ask("h264-720p", bit_depth=9), "bit_depth is 9, but it takes one of 8, 10"),
        (ask("hls", quality="vmaf"), "preset hls has no parameter 'quality', as h264-1080p has: it takes short_side"),
        (ask("mp3", vf="movie=x"), "preset mp3 has no parameter 'vf': it takes bitrate_kbps, loudness_lufs"),
    ],
)
def test_a_bad_parameter_is_told_with_its_range(request_: VariationRequest, words: str) -> None:
    with pytest.raises(BadParameter) as caught:
        expand([request_])
    assert words in str(caught.value)


@pytest.mark.parametrize("asked", [[], [ask("mp3")] * 201, [ask("refresh", count=20)] * 11])
def test_none_and_more_than_200_variations_are_refused(asked: list[VariationRequest]) -> None:
    with pytest.raises(InvalidRequest):
        expand(asked)


def test_200_variations_are_accepted() -> None:
    assert len(expand([ask("refresh", count=20)] * 10)) == 200


def test_one_seed_gives_the_same_looks_for_ever() -> None:
    (first, *_) = expand([ask("refresh", count=3, seed="summer")])
    assert first.parameters == {
        **TRAITS,
        "rotation": 0.0061,
        "brightness": -0.0158,
        "contrast": 1.0015,
        "saturation": 0.9618,
        "seed": "summer",
        "crf": 20,
        "speed": "veryfast",
        "audio_bitrate_kbps": 160,
        **TRAITS,
    }


def test_a_smaller_count_gives_the_first_of_the_same_looks() -> None:
    few, many = expand([ask("refresh", count=3, seed="a")]), expand([ask("refresh", count=20, seed="a")])
    assert looks(many)[:3] == looks(few)


def test_looks_stay_in_their_ranges_and_are_unique_across_entries() -> None:
    drawn = looks(expand([ask("refresh", count=20, seed="a")] * 10))
    assert len(set(drawn)) == 200
    for rotation, brightness, contrast, saturation in drawn:
        assert 0.001 <= rotation <= 0.01
        assert -0.05 <= brightness <= 0.05
        assert 0.95 <= contrast <= 1.05
        assert 0.95 <= saturation <= 1.05


def test_without_a_seed_one_is_drawn_and_told() -> None:
    drawn = expand([ask("refresh", count=2)])
    (seed,) = {wanted.parameters["seed"] for wanted in drawn}
    assert looks(expand([ask("refresh", count=2, seed=seed)])) == looks(drawn)
    assert seed != expand([ask("refresh")])[0].parameters["seed"]


def test_every_parameter_is_described_with_its_default_and_range() -> None:
    described = {preset["name"]: preset for preset in json.loads(msgspec.json.encode(describe()))}
    assert list(described) == list(PRESETS)
    parameters = {parameter["name"]: parameter for parameter in described["h264-720p"]["parameters"]}
    assert parameters["crf"] == {
        "name": "crf",
        "type": "number",
        "default": 21,
        "minimum": 10,
        "maximum": 51,
        "choices": None,
        "description": "constant rate factor: lower is better and larger; encoders differ in scale; "
        "VP9 and AV1 round it",
    }
    for parameter in (one for preset in described.values() for one in preset["parameters"]):
        assert parameter["description"]
        bounded = None not in (parameter["minimum"], parameter["maximum"])
        assert bounded or parameter["choices"] or parameter["type"] in {"boolean", "string"}, parameter
    assert parameters["speed"]["choices"] == ["ultrafast", "veryfast", "fast", "medium", "slow"]


def test_every_described_bound_is_accepted_and_the_next_is_not() -> None:
    for preset in describe():
        for parameter in preset["parameters"]:
            for bound, step in ((parameter["minimum"], -1), (parameter["maximum"], 1)):
                if bound is not None:
                    assert expand([ask(preset["name"], **{parameter["name"]: bound})])
                    with pytest.raises(BadParameter):
                        expand([ask(preset["name"], **{parameter["name"]: bound + step})])
