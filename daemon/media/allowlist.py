"""Lists what may be opened at all: the containers and decoders of real media, for the probe and the encoder alike.

Everything else FFmpeg would recognise is refused, above all playlists (HLS, DASH, concat), which name
other files and URLs, and the decoders of what is no media one owns: games' films, drawings and text.
"""

from __future__ import annotations

# One of a demuxer's names is enough: "mov" stands for "mov,mp4,m4a,3gp,3g2,mj2", "matroska" for WebM too.
# Those that end in "_pipe" read a single picture; never "image2", which takes a name for a pattern of names.
DEMUXERS = (
    *("mov", "matroska", "avi", "flv", "live_flv", "mpegts", "mpeg", "asf", "ogg", "gif", "dv", "mxf", "mjpeg"),
    *("jpeg_pipe", "png_pipe", "apng", "webp_pipe", "webp_anim", "bmp_pipe", "tiff_pipe"),
    *("h264", "hevc", "m4v", "mpegvideo"),
    *("mp3", "aac", "ac3", "eac3", "dts", "wav", "w64", "flac", "amr", "amrnb", "amrwb", "aiff", "caf"),
    *("wv", "tta", "ape", "mpc", "mpc8", "tak", "dsf", "iff", "shn", "au", "voc", "qcp", "loas", "truehd", "mlp"),
    *("rm", "wtv", "nut", "ivf", "obu", "yuv4mpegpipe", "dhav"),
)

RESTARTABLE = "live_flv"  # for an FLV file whose sender came back and began to count anew
# Whose timestamps may jump in the middle, as of recordings put together.
DISCONTINUOUS = {"mpegts", "mpeg", "ogg", RESTARTABLE}
UNSTAMPED = {"h264", "hevc", "m4v", "mpegvideo", "avi", "mpeg"}  # that do not tell of each picture when it is shown
# In which a track may be told of long before it begins; what it holds is then looked for that far.
ANNOUNCING = {"mpegts", "mpeg"}
# Whose tracks have no length of their own: where one has, FFmpeg found no packet of it and took that of the whole.
LENGTHLESS = {"matroska,webm", "nut"}
READ_ON = {"probesize": str(64 * 1024**2), "analyzeduration": str(600 * 10**6)}  # bytes, microseconds
FORWARD_JUMP, BACKWARD_JUMP = 10.0, 0.1  # seconds that are such a jump to FFmpeg, and no gap

_VIDEO_DECODERS = (
    *("h264", "hevc", "vvc", "av1", "libdav1d", "libaom-av1", "vp8", "libvpx", "vp9", "libvpx-vp9"),
    *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "h261", "h263", "h263i", "h263p"),
    *("wmv1", "wmv2", "wmv3", "vc1", "flv", "vp6", "vp6a", "vp6f", "theora", "svq1", "svq3", "cinepak"),
    *("indeo3", "indeo4", "indeo5", "msvideo1", "msrle", "rpza", "qtrle", "tscc2", "camtasia", "zmbv", "flashsv"),
    *("prores", "dnxhd", "dvvideo", "cfhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "lagarith"),
    *("hap", "mjpeg", "jpeg2000", "libopenjpeg", "rawvideo", "v210", "v410", "r210", "gif"),
    *("png", "apng", "webp", "webp_anim", "bmp", "tiff"),
    *("rv10", "rv20", "rv30", "rv40", "rv60", "vp3", "vp4", "vp5", "vp7", "cavs", "dirac", "snow", "indeo2", "vb"),
    *("mss1", "mss2", "msa1", "mts2", "mscc", "rscc", "g2m", "flashsv2", "screenpresso", "fraps", "dxtory", "fic"),
    *("mszh", "zlib", "loco", "vble", "ylc", "lscr", "camstudio", "vmnc", "wnv1", "xl", "smc", "8bps", "mjpegb"),
    *("dxv", "hqx", "hq_hqa", "cllc", "aic", "notchlc", "sheervideo", "speedhq", "pixlet", "media100", "cljr"),
    *("v308", "v408", "y41p", "yuv4", "r10k", "012v", "avrp", "avui", "asv1", "asv2", "mimic", "sp5x", "amv"),
    *("prores_raw", "apv", "jpegls", "bitpacked", "imm4", "truemotion1", "truemotion2", "ultimotion"),
)
_AUDIO_DECODERS = (
    *("aac", "aac_fixed", "aac_latm", "libfdk_aac", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"),
    *("ac3", "ac3_fixed", "eac3", "dca", "truehd", "mlp", "flac", "alac", "opus", "libopus", "vorbis", "libvorbis"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb"),
    *("pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd", "s302m"),
    *("pcm_s16le_planar", "pcm_s16be_planar", "pcm_s24le_planar", "pcm_s32le_planar", "pcm_s8_planar", "pcm_vidc"),
    *("pcm_u16le", "pcm_u16be", "pcm_u24le", "pcm_u24be", "pcm_u32le", "pcm_u32be", "pcm_s64le", "pcm_s64be"),
    *("pcm_f16le", "pcm_f24le", "pcm_lxf", "pcm_s24daud", "dvaudio", "dolby_e"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "gsm", "gsm_ms", "nellymoser", "speex", "qdm2"),
    *("adpcm_ima_amv", "adpcm_ima_dk3", "adpcm_ima_dk4", "adpcm_ima_oki", "adpcm_yamaha", "adpcm_ct", "adpcm_adx"),
    *("adpcm_sbpro_2", "adpcm_sbpro_3", "adpcm_sbpro_4", "adpcm_sanyo", "g722", "g723_1", "g726", "g726le", "g728"),
    *("g729", "ilbc", "qcelp", "evrc", "truespeech", "wmavoice", "msnsiren", "siren", "comfortnoise", "dss_sp"),
    *("real_144", "real_288", "ralf", "cook", "sipr", "atrac1", "atrac3", "atrac3al", "atrac3plus", "atrac3plusal"),
    *("atrac9", "wavpack", "tta", "ape", "mpc7", "mpc8", "tak", "als", "shorten", "dst", "apac", "sbc", "aptx"),
    *("dsd_lsbf", "dsd_lsbf_planar", "dsd_msbf", "dsd_msbf_planar", "mp3adu", "mp3adufloat", "mp3on4", "mp3on4float"),
    *(
        "aptx_hd",
        "imc",
        "iac",
        "metasound",
        "on2avc",
        "qdmc",
        "mace3",
        "mace6",
        "twinvq",
        "hca",
        "8svx_exp",
        "8svx_fib",
    ),
)
_SUBTITLE_DECODERS = (
    *("mov_text", "ass", "ssa", "srt", "subrip", "webvtt", "text", "pgssub", "dvbsub", "dvdsub", "xsub", "cc_dec"),
)
DECODERS = (*_VIDEO_DECODERS, *_AUDIO_DECODERS, *_SUBTITLE_DECODERS)

MAX_PIXELS = 40_000_000  # of one picture: 8K has 33 million; a small file may claim a billion
LIMIT = f"{MAX_PIXELS // 10**6} megapixels are the limit"
TOO_LARGE = f"{LIMIT}; make it smaller first"  # ends what is told of a larger one

# Options that have FFmpeg refuse the rest, spelt alike on its command line and in its library.
GUARDS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(DEMUXERS),
    "codec_whitelist": ",".join(DECODERS),
    "max_pixels": str(MAX_PIXELS),
}
