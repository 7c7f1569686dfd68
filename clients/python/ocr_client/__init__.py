"""Client library of the OCR service.

with Client("https://ocr.example.com/ocr", "alice", secret) as ocr:
    print(ocr.read(Path("receipt.jpg")).text)
"""

from ocr_client import errors
from ocr_client.answer import Elapsed, Line, PictureInfo, Quota, Result
from ocr_client.batch import Outcome
from ocr_client.client import AsyncClient, Client
from ocr_client.errors import AnswerLost, NotTheService, OcrError, ServiceError, Unreachable
from ocr_client.request import Options, Picture

__all__ = [
    "AnswerLost",
    "AsyncClient",
    "Client",
    "Elapsed",
    "Line",
    "NotTheService",
    "OcrError",
    "Options",
    "Outcome",
    "Picture",
    "PictureInfo",
    "Quota",
    "Result",
    "ServiceError",
    "Unreachable",
    "errors",
]
