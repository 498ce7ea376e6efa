"""A text-to-speech model that was never trained, small enough for tests, and as wild as a trained one."""

import torch

from course_utils.models.tts import SynthesiserConfig
from course_utils.models.tts_speech import TextToSpeech
from course_utils.models.vocoder import Vocoder, VocoderConfig

SMALL = SynthesiserConfig(
    dim=16, encoder_blocks=1, predictor_blocks=1, frame_blocks=1, flow_dim=16, flow_blocks=2, kernel=3, cond=8, voice=8,
    voice_dim=16, voice_blocks=1,
)  # fmt: skip
SMALL_VOCODER = VocoderConfig(
    dim=16, hidden=16, slow_blocks=1, fast_blocks=1, kernel=3, first_kernel=3, first_ahead=1
)


def speaker(seed: int = 0, frames_a_phone: float = 2.5) -> TextToSpeech:
    """Three voices, a vocoder, and weights that are zero when training begins drawn at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TextToSpeech(SMALL, ("f01", "m02", "c03"))
        for layer in (model.flow.out, model.prosody.out, model.frames.out):
            torch.nn.init.normal_(layer.weight, std=0.1)
        for name, weight in model.named_parameters():
            if "film" in name:
                torch.nn.init.normal_(weight, std=0.1)
        model.duration_scale.fill_(frames_a_phone)
        model.voices.copy_(torch.nn.functional.normalize(torch.randn(3, SMALL.voice), dim=-1))
        vocoder = Vocoder(SMALL_VOCODER)
        torch.nn.init.normal_(vocoder.spectra.head.weight, std=0.3)
    vars(model)["vocoder"] = vocoder.eval()
    return model.eval()
