"""The WSGI application: `gunicorn --config gunicorn.py run_ocr_flask:app`."""

from app import create_app

app = create_app()
