"""nb02_*.src -> 02_music_generation.ipynb"""
import glob, sys, nbformat, hashlib
cells=[]
for f in sorted(glob.glob('nb02_?.src')):
    kind=None; buf=[]
    def flush():
        if kind:
            s='\n'.join(buf).strip('\n')
            c=nbformat.v4.new_markdown_cell(s) if kind=='md' else nbformat.v4.new_code_cell(s)
            c['id']=f"c{len(cells):03d}"; cells.append(c)
    for line in open(f).read().split('\n'):
        if line.startswith('=== '):
            flush(); kind=line[4:].strip(); buf=[]
        else: buf.append(line)
    flush()
merged=[]
for c in cells:
    if len(merged)>1 and merged[-1].cell_type==c.cell_type=='markdown':
        merged[-1].source += '\n\n' + c.source
    else: merged.append(c)
cells=merged
for i,c in enumerate(cells): c['id']=f"c{i:03d}"
nb=nbformat.v4.new_notebook(cells=cells,metadata={"kernelspec":{"display_name":"Python 3","language":"python","name":"python3"},"language_info":{"name":"python"}})
nbformat.validate(nb)
out=sys.argv[1] if len(sys.argv)>1 else '02_music_generation.ipynb'
nbformat.write(nb,out)
import subprocess
R='.venv/bin/ruff'; C=['--config','pyproject.toml']
subprocess.run([R,'check','-q',*C,'--fix','--ignore','D1,B018,E402',out])
subprocess.run([R,'format','-q',*C,out])
cells=nbformat.read(out,as_version=4).cells
code=[c.source for c in cells if c.cell_type=='code']
import statistics
L=[len([x for x in s.splitlines() if x.strip()]) for s in code]
print(len(cells),'cells',len(code),'code; median',statistics.median(L),'max',max(L),[ (l,s.splitlines()[1][:50]) for l,s in zip(L,code) if l>38],'words',sum(len(c.source.split()) for c in cells if c.cell_type!='code'))
