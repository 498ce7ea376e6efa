"""Resumable training of the exported model. nice -n 19 python train_run2.py NAME DROPOUT WEIGHT_DECAY STEPS [THREADS]"""
import sys, time, torch, pathlib
torch.set_num_threads(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
import shim
from course_utils import data, training
M = shim.M
name, dropout, decay, steps = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
out = pathlib.Path(__file__).parent / name; out.mkdir(exist_ok=True)
train, valid = data.chorales("train"), data.chorales("valid")
torch.manual_seed(0)
model = M.Composer(M.MusicConfig(d_model=192, n_layers=4, d_head=128, dropout=dropout))
def loss(model, batch):
    with torch.autocast("cpu", torch.bfloat16):
        return M.loss_fn(model, batch)
def ev(m):
    v = M.mean_nats(valid, M.evaluate(m, valid, metre_given=True))
    with open(out / "log.txt", "a") as f: f.write(f"{time.strftime('%H:%M:%S')} cpu {time.process_time():.0f}s valid {v:.4f}\n")
    return {"valid": v}
h = training.fit(model, M.Batches(train, 256, 16), loss, steps, learning_rate=2e-3, schedule=M.plateau, weight_decay=decay, ema=0.995,
    evaluate=ev, every=100, state=out / "state.safetensors", save_every=50, title=name)
print(h.evaluations)
