"""A converter that was never trained, with recogniser and vocoder, small enough for tests and as wild as a trained one."""

import torch

from course_utils.models.converter import Converter, ConverterConfig
from course_utils.models.recognition import RecogniserConfig
from course_utils.models.recognition_streams import Recogniser
from course_utils.models.vocoder import Vocoder
from tests.small_speaker import SMALL_VOCODER

SMALL = ConverterConfig(
    content=16, heads=2, match=4, match_dim=8, match_kernel=3, match_ahead=1, bottleneck=4, dim=8, hidden=8, blocks=2,
    kernel=3,
)  # fmt: skip
HEARS = RecogniserConfig(dim=16, layers=3, heads=2, kernel=3, left=12, phones_after=2, mean_frames=12)


def converter(seed: int = 0) -> Converter:
    """Weights that are zero when training begins are drawn at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, recogniser, vocoder = Converter(SMALL), Recogniser(HEARS), Vocoder(SMALL_VOCODER)
        torch.nn.init.normal_(model.head.weight, std=0.1)
        torch.nn.init.normal_(vocoder.spectra.head.weight, std=0.3)
    vars(model).update(recogniser=recogniser.eval(), vocoder=vocoder.eval())
    return model.eval()
