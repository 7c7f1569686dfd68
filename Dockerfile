# Not covered by the tests; the same steps as `make setup` on Debian 12. Used by deploy/compose.yaml.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --create-home --home-dir /opt/ocr ocr
WORKDIR /opt/ocr
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=ocr . .
RUN mkdir /keys && chown ocr /keys
USER ocr
RUN flask models pull
ENV OCR_BIND=0.0.0.0:8081 OCR_METRICS__BIND=0.0.0.0:9081 OCR_LOG__FILE=-
EXPOSE 8081 9081
CMD ["gunicorn", "--config", "gunicorn.py", "run_ocr_flask:app"]
