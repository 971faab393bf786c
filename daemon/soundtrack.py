"""The kind of recipe that keeps the sound alone."""

from __future__ import annotations

from daemon.errors import UnsuitableSource
from daemon.models import Media
from daemon.plans import Options, Plan, Recipe
from daemon.presets import AudioParameters, Preset
from daemon.sound import default_first, narrowed
from daemon.tags import written


def audio(media: Media, preset: Preset, wanted: AudioParameters) -> Recipe:
    if not media.audio:
        raise UnsuitableSource(f"the source has no sound, which the preset {preset.name} needs")
    first = default_first(media.audio)[0]
    duration = first.duration_seconds or media.duration_seconds
    chapters = len(media.chapters) if wanted.chapters == "keep" else 0
    planned = Plan(container=preset.container, duration_seconds=duration, video=None, audio=1, chapters=chapters)
    encoder = {"mp3": "libmp3lame", "aac": "aac"}[preset.encoder]

    def options(_threads: int) -> Options:
        return {
            "c:a": encoder,
            "b:a": f"{wanted.bitrate_kbps}k",
            **narrowed([first], rewound=True),
            **written(wanted.metadata, wanted.chapters, [first]),
        }

    return Recipe(planned, None, (first,), options)
