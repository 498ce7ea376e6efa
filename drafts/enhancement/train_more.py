"""Training with a development set of real recordings (never the held-out ones); argument: steps. Starts from e2/state.safetensors."""
import sys,time,pathlib,torch,numpy as np
torch.set_num_threads(1)
import shim; E=shim.E
from safetensors.torch import load_file
from course_utils import data,training,metrics,audio
steps=int(sys.argv[1]); out=pathlib.Path('e3'); out.mkdir(exist_ok=True)
def dev():
    r=np.random.default_rng(5); L=64000; sets={'own':[], 'real':[]}
    sp=[u.audio for u in data.speech('valid',kind='sentence')]; nz=[n.audio for n in data.noise('valid')]
    for i in range(14):
        s=sp[r.integers(len(sp))][:L]; n=nz[i%len(nz)][:len(s)]
        sets['own'].append((s,audio.mix(s,n,(0,10)[i%2])[0]))
    rs=data.real('librispeech','train'); ns=[n for n in data.real('esc10','train')]
    for i in range(20):
        s=rs[r.integers(len(rs))].audio[16000:16000+L]; n=np.resize(ns[r.integers(len(ns))].audio,len(s))
        if not n.any(): continue
        sets['real'].append((s,audio.mix(s,n,(0,10)[i%2])[0]))
    return sets

sets=dev()
def ev(m):
    res={}
    for k,v in sets.items(): res[k]=np.mean([metrics.si_sdr(m.enhance(n),s) for s,n in v])
    print(time.strftime('%H:%M:%S'),res,flush=True); return res
torch.manual_seed(0)
m=E.DualPathEnhancer(E.SHIPPED)
st=load_file('e2/state.safetensors'); print(m.load_state_dict({k[6:]:v for k,v in st.items() if k.startswith('model.')}))
t=time.time(); b=E.training_data(0,600,1,seconds=2.0,size=6); print('data',time.time()-t,flush=True)
h=training.fit(m,b,E.loss_fn,steps,learning_rate=2e-3,schedule=lambda p:min(p/.02,1.0,(1-p)/.5),ema=0.995,evaluate=ev,every=400,state=out/'state.safetensors',save_every=100,title='e3')
