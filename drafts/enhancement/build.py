"""nb01_*.src + module.py -> 01_speech_enhancement.ipynb. `=== export a` | `=== export a | b` takes sections of module.py."""
import glob, re, statistics, subprocess, sys, nbformat
text = open('module.py').read()
parts = re.split(r'^# --- (.*)\n', text, flags=re.M)
sections = {'head': parts[0].strip('\n')}
for name, body in zip(parts[1::2], parts[2::2]):
    name = name.strip(' -')
    assert name not in sections, name
    sections[name] = body.strip('\n')
used = set()
cells = []
def add(kind, buf):
    s = '\n'.join(buf).strip('\n')
    if kind == 'md':
        if cells and cells[-1].cell_type == 'markdown' and len(cells) > 1: cells[-1].source += '\n\n' + s
        else: cells.append(nbformat.v4.new_markdown_cell(s))
    elif kind.startswith('export'):
        names = [n.strip() for n in kind[6:].split('|')]
        for n in names:
            if n not in sections: print('NO SECTION', n); continue
            if n in used: print('TWICE', n)
            used.add(n)
        body = '\n\n\n'.join(sections[n] for n in names if n in sections)
        cells.append(nbformat.v4.new_code_cell('#| export\n' + body + (('\n' + s) if s else '')))
    else: cells.append(nbformat.v4.new_code_cell(s))
for f in sorted(glob.glob('nb01_?.src')):
    kind, buf = None, []
    for line in open(f).read().split('\n'):
        if line.startswith('=== '):
            if kind: add(kind, buf)
            kind, buf = line[4:].strip(), []
        else: buf.append(line)
    if kind: add(kind, buf)
print('unused sections:', [n for n in sections if n not in used])
for i, c in enumerate(cells): c['id'] = f"c{i:03d}"
nb = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}})
nbformat.validate(nb)
out = sys.argv[1] if len(sys.argv) > 1 else '01_speech_enhancement.ipynb'
nbformat.write(nb, out)
R = '../../.venv/bin/ruff'; C = ['--config', '../../pyproject.toml']
subprocess.run([R, 'check', '-q', *C, '--fix', '--ignore', 'D1,B018,E402', out])
subprocess.run([R, 'format', '-q', *C, out])
cells = nbformat.read(out, as_version=4).cells
code = [c.source for c in cells if c.cell_type == 'code']
L = [len([x for x in s.splitlines() if x.strip()]) for s in code]
print(len(cells), 'cells', len(code), 'code; median', statistics.median(L), 'max', max(L), [(l, s.splitlines()[1][:50]) for l, s in zip(L, code) if l > 38], 'words', sum(len(c.source.split()) for c in cells if c.cell_type != 'code'))
print(sum(s.startswith('#| export') for s in code), 'export cells')
