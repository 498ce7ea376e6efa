# Written from notebooks/04_multispeaker_tts.ipynb by `course export`: edit the notebook, not this file.
"""Text in, speech out: what one does with the synthesiser and the vocoder of notebook 04."""

__all__ = ['euler', 'TextToSpeech']


import numpy as np
import torch
import torch.nn.functional as F
from course_utils.models.tts import Synthesiser, SynthesiserConfig


from course_utils.synthesis.plan import Plan, make_plan
from course_utils.synthesis.speaking import Speaking


@torch.inference_mode()
def euler(model, plan: Plan, noise: torch.Tensor, first=0, end=None, steps=4, guidance=0.5) -> np.ndarray:
    """Frames first to end of a plan -> log-mel (frames, 80), from noise (all frames, 80) in Euler steps."""
    end = plan.n_frames if end is None else end
    x, rows = noise[None, first:end].to(plan.steer.device), len(plan.steer)
    frames, guess = model.frames(plan.hidden, plan.prosody, plan.bounds, F.silu(plan.steer), first, end)
    for step in range(steps):
        t = torch.full((rows,), step / steps, device=x.device)
        velocity = model.flow(x.expand(rows, -1, -1), t, frames, guess, plan.steer)
        if rows == 2:  # away from what anybody would say
            velocity = velocity[:1] + guidance * (velocity[:1] - velocity[1:])
        x = x + velocity / steps
    return (x[0] * model.mel_scale[1] + model.mel_scale[0]).cpu().numpy()


class TextToSpeech(Speaking, Synthesiser):
    """The synthesiser with named voices; `say`, `stream`, `embed` and `mix` come from `Speaking`."""

    plan, decode = make_plan, euler

    def __init__(self, config: SynthesiserConfig, speakers: tuple[str, ...]):
        super().__init__(config)
        self.speakers = tuple(speakers)
        self.register_buffer("voices", torch.zeros(len(self.speakers), config.voice))
        self.context = (config.frame_blocks + config.flow_blocks) * (config.kernel // 2)

    @classmethod
    def from_config(cls, config: dict) -> "TextToSpeech":
        """The untrained model that the configuration of a checkpoint describes."""
        return cls(SynthesiserConfig(**config["network"]), tuple(config["speakers"]))
