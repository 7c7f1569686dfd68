"""The first frame of a WebP in 12 bytes a pixel, of which 4 are left once it is decoded."""

from __future__ import annotations

from typing import Any

from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile


class WebPPicture(WebPImageFile):
    """Pillow copies the frame, 4 bytes a pixel, and keeps libwebp's two canvases, which take 8."""

    def load(self) -> Any:
        if self._decoder is not None:
            frame, _, _ = self._get_next()
            self._decoder = None
            # "RGBX" where the file has no alpha. Shares the memory of the frame.
            self.im = Image.frombuffer(self.rawmode, self.size, frame, "raw", self.rawmode, 0, 1).im
            self._mode = self.rawmode
            self.tile = []
        return Image.Image.load(self)
