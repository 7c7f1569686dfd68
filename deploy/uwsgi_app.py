"""What uWSGI serves (deploy/uwsgi.ini), loaded in each of its workers after the fork."""

import gc
import os

from dotenv import load_dotenv
from gevent import monkey

monkey.patch_all()  # first of all; uWSGI's own option would do it after the app is loaded
load_dotenv()  # as gunicorn.py and Flask's command line do it: the environment wins
os.environ.setdefault("GEVENT_RESOLVER", "ares")  # gunicorn.py says why
gc.disable()  # and this, too

from app import create_app  # noqa: E402

app = create_app()
app.extensions["ocr"].start()
gc.freeze()
gc.enable()
