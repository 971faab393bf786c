"""What may be opened at all: the containers and decoders of real media, for the probe and the encoder alike.

Everything else FFmpeg would recognise is refused, above all playlists (HLS, DASH, concat), which name
other files and URLs, and the hundreds of decoders nobody's camera writes.
"""

from __future__ import annotations

# One of a demuxer's names is enough: "mov" stands for "mov,mp4,m4a,3gp,3g2,mj2", "matroska" for WebM too.
# Those that end in "_pipe" read a single picture; never "image2", which takes a name for a pattern of names.
DEMUXERS = (
    *("mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "ogg", "gif", "dv", "mxf", "mjpeg"),
    *("jpeg_pipe", "png_pipe", "apng", "webp_pipe", "webp_anim", "bmp_pipe", "tiff_pipe"),
    *("h264", "hevc", "m4v", "mpegvideo"),
    *("mp3", "aac", "ac3", "eac3", "dts", "wav", "w64", "flac", "amr", "amrnb", "amrwb", "aiff", "caf"),
)

DISCONTINUOUS = {"mpegts", "mpeg", "ogg"}  # whose timestamps may jump in the middle, as of recordings put together
UNSTAMPED = {"h264", "hevc", "m4v", "mpegvideo", "avi", "mpeg"}  # that do not tell of each picture when it is shown
FORWARD_JUMP, BACKWARD_JUMP = 10.0, 0.1  # seconds that are such a jump to FFmpeg, and no gap

_VIDEO_DECODERS = (
    *("h264", "hevc", "vvc", "av1", "libdav1d", "libaom-av1", "vp8", "libvpx", "vp9", "libvpx-vp9"),
    *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "h261", "h263", "h263i", "h263p"),
    *("wmv1", "wmv2", "wmv3", "vc1", "flv", "vp6", "vp6a", "vp6f", "theora", "svq1", "svq3", "cinepak"),
    *("indeo3", "indeo4", "indeo5", "msvideo1", "msrle", "rpza", "qtrle", "tscc2", "camtasia", "zmbv", "flashsv"),
    *("prores", "dnxhd", "dvvideo", "cfhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "lagarith"),
    *("hap", "mjpeg", "jpeg2000", "libopenjpeg", "rawvideo", "v210", "v410", "r210", "gif"),
    *("png", "apng", "webp", "webp_anim", "bmp", "tiff"),
)
_AUDIO_DECODERS = (
    *("aac", "aac_fixed", "aac_latm", "libfdk_aac", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"),
    *("ac3", "ac3_fixed", "eac3", "dca", "truehd", "mlp", "flac", "alac", "opus", "libopus", "vorbis", "libvorbis"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb"),
    *("pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd", "s302m"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "gsm", "gsm_ms", "nellymoser", "speex", "qdm2"),
)
_SUBTITLE_DECODERS = (
    *("mov_text", "ass", "ssa", "srt", "subrip", "webvtt", "text", "pgssub", "dvbsub", "dvdsub", "xsub", "cc_dec"),
)
DECODERS = (*_VIDEO_DECODERS, *_AUDIO_DECODERS, *_SUBTITLE_DECODERS)

MAX_PIXELS = 40_000_000  # of one picture: 8K has 33 million; a small file may claim a billion

# Options that have FFmpeg refuse the rest, spelt alike on its command line and in its library.
GUARDS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(DEMUXERS),
    "codec_whitelist": ",".join(DECODERS),
    "max_pixels": str(MAX_PIXELS),
}
