"""Run by its path in a process of its own: text in on standard input, 16-bit samples out on standard output.

    python espeak_program.py LIBRARY DATA VOICE < text > samples

The process ends with each text, so nothing of one text is left for the next, and what fails in the C library fails
there. The rate in Hz comes before the samples, as four bytes.
"""

import ctypes
import sys

SYNCHRONOUS, FROM_CHARACTER, UTF8 = 2, 1, 1  # constants of speak_lib.h
KEEP_RUNNING = 0x8000  # an error is returned; without it the library would end the process

Receiver = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main(path: str, data: str, voice: str) -> None:
    """Say what stands on standard input."""
    library = ctypes.CDLL(path)
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetSynthCallback.argtypes = [Receiver]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
        *(ctypes.c_void_p, ctypes.c_void_p),
    ]
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), KEEP_RUNNING)
    if rate <= 0 or library.espeak_SetVoiceByName(voice.encode()):
        sys.exit(f"no voice {voice} in {data}")
    library.espeak_ng_SetRandSeed(1)  # else it is drawn from the clock
    out = sys.stdout.buffer
    out.write(rate.to_bytes(4, "little"))

    @Receiver
    def receive(samples, count, _events):
        if samples and count > 0:
            out.write(ctypes.string_at(samples, 2 * count))
        return 0

    library.espeak_SetSynthCallback(receive)
    text = sys.stdin.buffer.read() + b"\0"
    if library.espeak_Synth(text, len(text), 0, FROM_CHARACTER, 0, UTF8, None, None):
        sys.exit("the text was refused")
    library.espeak_Synchronize()
    out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
