"""Decode the first frame of a WebP in 12 bytes per pixel, of which 8 are freed after decoding."""

from __future__ import annotations

from typing import Any

from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile


class WebPPicture(WebPImageFile):
    """Shares the frame's memory and frees libwebp's two canvases (8 bytes per pixel). Pillow copies the frame
    and keeps the canvases.
    """

    def load(self) -> Any:
        if self._decoder is not None:
            frame, _, _ = self._get_next()
            self._decoder = None
            # rawmode is "RGBX" if the file has no alpha. frombuffer shares the frame's memory.
            self.im = Image.frombuffer(self.rawmode, self.size, frame, "raw", self.rawmode, 0, 1).im
            self._mode = self.rawmode
            self.tile = []
        return Image.Image.load(self)
