"""What two scripts share: one topic a module."""

import os
import sys

# TensorFlow reads these when it is first imported. oneDNN is off by default on processors that it
# does not know well, and training there is a third slower without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A notebook hands its own way of drawing to the scripts that it starts, whose Python may not have
# it. Scripts only save figures.
if "ipykernel" not in sys.modules:
    os.environ["MPLBACKEND"] = "Agg"
