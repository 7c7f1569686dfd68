"""The WSGI application for uWSGI (deploy/uwsgi.ini), loaded in each worker after the fork."""

import gc
import os

from dotenv import load_dotenv
from gevent import monkey

monkey.patch_all()  # before all other imports; uWSGI's own option would patch after loading the app
load_dotenv()  # like gunicorn.py and Flask's command line: the environment wins
os.environ.setdefault("GEVENT_RESOLVER", "ares")  # see gunicorn.py
gc.disable()  # see deploy/gunicorn_hooks.py

from app import create_app  # noqa: E402

app = create_app()
app.extensions["ocr"].start()
gc.freeze()
gc.enable()
