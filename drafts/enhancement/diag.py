import sys,torch,numpy as np; sys.path.insert(0,'lib'); import enhancement as E
torch.set_num_threads(1)
from safetensors.torch import load_file
from course_utils import data,audio,metrics
st=load_file('e1/state.safetensors'); m=E.DualPathEnhancer(E.EnhancerConfig(width=48,blocks=3)); m.load_state_dict({k[len('average.module.'):]:v for k,v in st.items() if k.startswith('average.module.')}); m.eval()
r=np.random.default_rng(7); L=64000
S={'own':[u.audio[:L] for u in data.speech('valid',kind='sentence')[::40]][:8],'real':[x.audio[16000:16000+L] for x in data.real('librispeech','train')[::20]][:8]}
N={'own':[n.audio for n in data.noise('valid')][:14], 'real':[(n.kind if hasattr(n,'kind') else n.id, n.audio) for n in data.real('esc10','train')]}
by={}
for sk in S:
  for nk in N:
    v=[]
    for i in range(24):
        s=S[sk][i%len(S[sk])]; n=N[nk][int(r.integers(len(N[nk])))]
        lab='own'
        if nk=='real': lab,n=n
        n=np.resize(n,len(s))
        if np.mean(n**2)<1e-8: continue
        x=audio.mix(s,n,5)[0]; g=metrics.si_sdr(m.enhance(x),s)-metrics.si_sdr(x,s); v.append(g)
        by.setdefault((sk,nk,lab),[]).append(round(float(g),1))
    print(sk,nk,'gain',round(np.mean(v),2),flush=True)
for k,v in by.items(): print(k,v)
# clean speech through
for sk in S: print('clean',sk,np.mean([min(60,metrics.si_sdr(m.enhance(s),s)) for s in S[sk]]))
for lv in (-45,-35,-25,-15,-5):
    print('level',lv,[round(float(np.mean([metrics.si_sdr(m.enhance(x*10**(lv/20)/x.std()),s)-5 for s in S[sk] for x in [audio.mix(s,N['own'][0],5)[0]]])),2) for sk in S])
