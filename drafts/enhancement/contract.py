import sys, pathlib, nbformat, inspect
sys.path.insert(0,'../..')
from tests import test_notebooks as T
nb=nbformat.read('01_speech_enhancement.ipynb',as_version=4); nb['path']=pathlib.Path('01_speech_enhancement.ipynb').resolve()
for n,f in vars(T).items():
    if n.startswith('test_') and 'notebook' in inspect.signature(f).parameters:
        try: f(nb); print('ok',n)
        except AssertionError as e: print('FAIL',n,str(e)[:300])
        except Exception as e: print('ERR',n,repr(e)[:300])
import ast, importlib
public={}
for name in T.HELPERS:
    m=importlib.import_module(f"course_utils.{name}")
    for n,o in vars(m).items():
        if getattr(o,"__module__",None)==m.__name__ and n[0]!='_': public[n]=name
d={x.name for t in T.trees(nb) for x in t.body if isinstance(x,(ast.FunctionDef,ast.ClassDef))}
print({x:public[x] for x in d&set(public)})
