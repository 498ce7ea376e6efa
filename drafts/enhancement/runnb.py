"""Run the built notebook in one process: CPU seconds per cell, outputs to out/out.html. CUT=steps caps training."""
import os, sys, time, json, html, traceback
T0=time.time()
import nbformat
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
sh=InteractiveShell.instance()
sh.run_line_magic('matplotlib','agg') if False else None
cut=int(os.environ.get('CUT','0')); first=int(os.environ.get('FROM','0')); last=int(os.environ.get('TO','999')); skip=set(map(int,filter(None,os.environ.get('SKIP','').split(','))))
import torch; torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS','1')))
if cut:
    from course_utils import training
    fit=training.fit
    def short(model,batches,loss_fn,steps,*a,**k): return fit(model,batches,loss_fn,min(steps,cut),*a,**k)
    training.fit=short
sys.path.insert(0,'../..')
nb=nbformat.read(os.environ.get('NB','01_speech_enhancement.ipynb'),4)
page=['<meta charset=utf8><body style="font-family:sans-serif;max-width:1000px">']; bad=[]; total=0
def flush(): open('out/out.html','w').write('\n'.join(page))
for i,c in enumerate(nb.cells):
    if c.cell_type!='code':
        page.append(f'<p style="color:#777">[{i}] {html.escape(c.source[:90])}</p>'); continue
    if i>last: break
    if i in skip: continue
    t,w=time.process_time(),time.time()
    with capture_output() as cap:
        r=sh.run_cell(c.source, store_history=True)
    t,w=time.process_time()-t,time.time()-w; total+=t
    e=r.error_before_exec or r.error_in_exec
    line=f'[{i}] cpu {t:.1f} wall {w:.1f}'
    if w>1 or e: print(line, ('ERROR '+type(e).__name__+': '+str(e)[:300]) if e else '', flush=True)
    if e: bad.append(i); open('out/err.txt','a').write(f'--- {i}\n{cap.stdout[-3000:]}\n')
    page.append(f'<div style="border-left:3px solid {"red" if e else "#ccc"};padding-left:8px"><small>{line}</small><pre style="background:#f4f4f4">{html.escape(c.source[:300])}</pre><pre>{html.escape(cap.stdout)}{html.escape(cap.stderr[-1500:])}</pre>')
    outs=list(cap.outputs)
    class O: pass
    if r.result is not None and not e:
        o=O(); f=sh.display_formatter.format(r.result)[0]; o.data=f; outs.append(o)
    for o in outs:
        d=o.data
        if 'text/html' in d: page.append(d['text/html'])
        elif 'text/markdown' in d: page.append('<pre>'+html.escape(d['text/markdown'])+'</pre>')
        else: page.append('<pre>'+html.escape(str(d.get('text/plain')))+'</pre>')
    page.append('</div>'); flush()
flush(); print('total cpu',round(total,1),'wall',round(time.time()-T0),'failed',bad)

ns=sh.user_ns
print({k:{a:round(b,1) for a,b in v.items()} for k,v in ns.get('steps',{}).items()})
from safetensors.torch import save_file
if 'lesson' in ns: save_file(ns['lesson'].state_dict(),'out/lesson.safetensors')
