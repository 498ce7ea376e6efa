import sys,torch,numpy as np; sys.path.insert(0,'lib'); import enhancement as E
torch.set_num_threads(1)
from safetensors.torch import load_file
from course_utils import data,audio,metrics,features
st=load_file('e1/state.safetensors'); m=E.DualPathEnhancer(E.EnhancerConfig(width=48,blocks=3)); m.load_state_dict({k[len('average.module.'):]:v for k,v in st.items() if k.startswith('average.module.')}); m.eval()
L=64000
S={'own':[u.audio[:L] for u in data.speech('valid',kind='sentence')[::40]][:8],'real':[x.audio[16000:16000+L] for x in data.real('librispeech','train')[::20]][:8]}
bands=[0,2,4,6,10,16,24,32,48,64,96,128,192,257]
for k in S:
    P=[];Er=[];M=[];Ph=[]
    for s in S[k]:
        X=features.stft(s); e=features.stft(m.enhance(s)); 
        g=(e*X.conj()).real.sum()/ (abs(X)**2).sum(); 
        P.append((abs(X)**2).sum(0)); Er.append((abs(e-X)**2).sum(0)); M.append(((abs(e)-abs(X))**2).sum(0))
        print(k, 'gain',round(float(g),3), 'sisdr',round(float(metrics.si_sdr(m.enhance(s),s)),1))
    P,Er,M=sum(P),sum(Er),sum(M)
    for a,b in zip(bands,bands[1:]): print(k,f"{a*31.25:.0f}-{b*31.25:.0f} Hz share {P[a:b].sum()/P.sum():.4f} err/total {Er[a:b].sum()/P.sum():.5f} err dB {10*np.log10(Er[a:b].sum()/P[a:b].sum()):.1f} magerr dB {10*np.log10(M[a:b].sum()/P[a:b].sum()):.1f}")
