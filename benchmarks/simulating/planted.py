from contextlib import contextmanager
PLANTED={}
@contextmanager
def planted(name):
    yield
