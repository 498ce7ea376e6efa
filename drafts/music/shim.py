import importlib.util, sys, pathlib
spec = importlib.util.spec_from_file_location('course_utils.models.music', pathlib.Path(__file__).parent / 'lib' / 'music.py')
import course_utils.models
M = importlib.util.module_from_spec(spec); sys.modules[spec.name] = M; spec.loader.exec_module(M); course_utils.models.music = M
